"""What a step moves and reads again though no optimizer holds it: target networks, averages, controllers."""

from collections import deque
from collections.abc import Iterator
from types import FunctionType
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from gantools.errors import GantoolsError
from gantools.watching.copies import Copies
from gantools.watching.places import Here, Place, holds

UNREAD = (
    "Your step leaves behind what its next one reads, {what}, which is a constant of the map that was looked at: with "
    "it the eigenvalues may be others, and a step that seems stable may not be."
)

UNKNOWN = (
    "Whether your step leaves behind what its next one reads could not be seen, since steps in a row fail on copies "
    "({error}): if it does, that is a constant of the map that was looked at, and its eigenvalues may be others."
)


class Map(Protocol):
    """A step as a map of the vector of what is at some places."""

    places: list[Place]
    rounding: float

    def take(self, places: list[Place]) -> None:
        """Make the vector of what is at these places."""

    def put(self, world: Copies, y: Tensor | None = None) -> Copies:
        """Move a world to `y` units away from the present point."""
        ...

    def step(self, world: Copies) -> Tensor:
        """Make the step in a world, and return the vector, in units from the present point."""
        ...

    def pair(self) -> tuple[Copies, Copies]:
        """Return two worlds after a step: from the present point, and from one nearby."""
        ...


def close(function: Map, copies: Copies, pair: tuple[Copies, Copies]) -> str | None:
    """Add to the vector what the step moves and reads again; return a sentence on what could not be.

    Two worlds that made a step from different points get the same vector, and make another one: these differ where
    something else was left behind, and read.

    Args:
        function: the step.
        copies: the world that it runs in copies of.
        pair: what `function.pair()` returned; used up.
    """
    try:
        if not _reads(function, pair):
            return None
    except Exception as error:  # an iterator that ends, say
        return UNKNOWN.format(error=f"{type(error).__name__}: {error}")
    largest = 3 * sum(len(place.vector(Here())) for place in function.places)
    left = _groups(_moved(function, copies, function.pair()), copies)
    while fresh := [group for group in left if _is_read(function, group)]:  # what these are made of comes next
        left = [group for group in left if group not in fresh]
        places = [*function.places, *(place for group in fresh for place, _ in group)]
        if sum(len(place.vector(Here())) for place in places) > largest:
            return UNREAD.format(what=f"of more numbers than the optimizers hold ({_named(fresh)})")
        function.take(places)
    if _reads(function, function.pair()):
        return UNREAD.format(what="in no tensor or number that a look can reach")
    return None


Group = list[tuple[Place, Tensor]]  # with how far it was moved


def _reads(function: Map, pair: tuple[Copies, Copies]) -> bool:
    for _ in range(2):  # what is read a step later, too
        here, there = (function.step(function.put(world)) for world in pair)
        if _differ(function, here, there):
            return True
    return False


def _differ(function: Map, one: Tensor, other: Tensor) -> bool:
    return not float((one - other).abs().max()) <= 1e3 * function.rounding


def _is_read(function: Map, group: Group) -> bool:
    """Whether the vector after the step is another if what is at these places is moved before."""
    world = function.put(Copies(grads=True))
    for place, shift in group:
        place.set(world, place.vector(Here()) + shift)
    return _differ(function, function.step(function.put(Copies(grads=True))), function.step(world))


def _moved(function: Map, copies: Copies, pair: tuple[Copies, Copies]) -> Group:
    """Return the places, of those not in the vector, whose values after the step depend on the vector."""
    known, found = {place.identity() for place in function.places}, []
    for place in _places(copies):
        if place.identity() in known:
            continue
        try:
            here, there = (place.vector(world) for world in pair)
        except (KeyError, IndexError, AttributeError, TypeError, ValueError, RuntimeError):  # it is gone after a step
            continue
        if len(here) == len(there) == len(place.vector(Here())) and not torch.equal(here, there):
            found.append((place, there - here))
            known.add(place.identity())
    return found


def _places(copies: Copies) -> Iterator[Place]:
    """Yield the places of all numbers and tensors in objects, containers, variables and gradients of a world."""
    for original, x in list(copies.memo.items()):
        if id(x) == original or isinstance(x, (type, torch.optim.Optimizer)):
            continue
        paths: list[tuple[Any, ...]] = []
        if isinstance(x, Tensor):
            paths = [("grad",)] if x.is_leaf and x.grad is not None else []
        elif isinstance(x, dict):
            paths = [(key,) for key in x]
        elif isinstance(x, (list, tuple, deque)):
            paths = [(i,) for i in range(len(x))]
        elif isinstance(x, FunctionType):
            names = [name for name in x.__code__.co_names if name in x.__globals__]
            paths = [("__globals__", name) for name in names]
            paths += [("__closure__", i, "cell_contents") for i in range(len(x.__closure__ or ()))]
        elif hasattr(x, "__dict__"):
            paths = [(key,) for key in vars(x)]
        for path in paths:
            place = Place(x, path)
            try:
                if holds(place.get(Here())):
                    yield place
            except (ValueError, AttributeError, GantoolsError):  # a variable that has no value yet
                continue


def _groups(found: Group, copies: Copies) -> list[Group]:
    """Return what is tested together: the weights of a whole network, its biases, what is in one container."""
    outer = _outermost(copies.modules)
    groups: dict[Any, Group] = {}
    for place, shift in found:
        key: Any = (id(place.holder), None if isinstance(place.holder, (dict, list, tuple, deque)) else place.path)
        if id(place.holder) in outer:
            key = (outer[id(place.holder)], place.path)
        groups.setdefault(key, []).append((place, shift))
    return list(groups.values())


def _outermost(modules: list[nn.Module]) -> dict[int, int]:
    """Return, by the identity of a module's table of parameters or buffers, the largest module that it is in."""
    found: dict[int, int] = {}
    for module in sorted(modules, key=lambda m: sum(1 for _ in m.modules()), reverse=True):
        for part in module.modules():
            for table in (part._parameters, part._buffers):
                found.setdefault(id(table), id(module))
    return found


def _named(groups: list[Group]) -> str:
    names = {str(key) for group in groups for place, _ in group for key in place.path[-1:]}
    return ", ".join(sorted(names)[:4])
