r"""The Jacobian of a user's own training step by central differences, on float64 copies of all that it moves.

$$U u \approx \frac{F(z + h u) - F(z - h u)}{2 h}, \qquad z = (\text{parameters}, \text{optimizer states})$$

No derivative of the step is needed, so whatever it does is in it: lazy penalties, clipping, terms added to gradients.
Coordinates are scaled by the size of what they stand for, which changes no eigenvalue and lets one $h$ serve second
moments of 1e-8 beside weights of 1.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.data.random_state import random_state
from gantools.errors import GantoolsError, NonFiniteFieldError
from gantools.watching import feedback
from gantools.watching.copies import Copies
from gantools.watching.namespaces import Namespaces
from gantools.watching.places import Here, Place, memory_of
from gantools.watching.stillness import repeating

STEPS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)


class StepOperator(LinearOperator):
    """The Jacobian of a user's step by central differences, in scaled coordinates, which change no eigenvalue.

    Attributes:
        error: relative error of a product, from two step sizes.
        step: the step size h of the differences, relative to the coordinates' sizes.
        evaluated_in: dtype of the copies that the step was evaluated on; None for the originals', whatever these are.
        refusal: what the step said to float64 copies; None where it took them.
    """

    refusal: str | None = None

    def __init__(self, function: "StepFunction"):
        self.function = function
        self.evaluated_in = function.dtype
        self.step, self.error = _best_step(function)
        super().__init__(self._difference, len(function.size), torch.float64, function.size.device, kind="map")

    def _difference(self, u: Tensor) -> Tensor:
        return _difference(self.function, u, self.step)

    @classmethod
    def of(
        cls, update: Callable[..., Any], optimizers: Mapping[str, torch.optim.Optimizer], batches: tuple[Any, ...]
    ) -> "StepOperator":
        """Return the operator from float64 copies; from copies as they are, where the step insists on its dtypes.

        The reason is then in `refusal`.
        """
        try:
            return cls(StepFunction(update, optimizers, batches))
        except GantoolsError:
            raise
        except RuntimeError as error:  # "expected Float but found Double", in many wordings
            U = cls(StepFunction(update, optimizers, batches, None))
            U.refusal = str(error).splitlines()[0]
            return U


class StepFunction:
    """A user's step as a function of one vector, in coordinates relative to the size of each.

    Args:
        update: `update(*batches)` makes one step of the loop: it moves parameters by the optimizers.
        optimizers: by name; their groups' parameters, and what they remember of them, are the vector. No part of it is
            what no parameter moves: counts of steps, and rates that follow a schedule. Other numbers and tensors that
            the step moves and reads again belong to it, too.
        batches: what the step is given.
        dtype: of the copies that it runs on; None for the originals'.

    Attributes:
        size: (n,) what one unit of each coordinate is.
        unread: a sentence on what the step reads again and is not in the vector; None where that is all.
        rounding: relative error of a number that the step is evaluated in.
    """

    def __init__(
        self,
        update: Callable[..., Any],
        optimizers: Mapping[str, torch.optim.Optimizer],
        batches: tuple[Any, ...],
        dtype: torch.dtype | None = torch.float64,
    ):
        copies = Copies(dtype, grads=True)
        self.optimizers = copies.of(dict(optimizers))  # before the step: all tensors of modules are copied
        self.update, self.batches = copies.of(update), copies.of(batches)
        self.namespaces = Namespaces(copies)
        self.dtype, self.shared, self.random = dtype, copies.shared, random_state()
        self.rounding = torch.finfo(dtype or torch.get_default_dtype()).eps
        memory = self._memory(self.optimizers)
        single = [place for place in memory if not _is_array(place.get(Here()))]
        self.remembered = len(memory)
        groups = [group for o in self.optimizers.values() for group in o.param_groups]
        first = [Place(p) for group in groups for p in group["params"]]
        first += [place for place in memory if _is_array(place.get(Here()))]
        self.take(list({id(place.get(Here())): place for place in first}.values()))
        pair = self.pair()
        while moved := _moved_by_the_vector(single, pair):  # what these move in turn is found in the next round
            single = [place for place in single if place not in moved]
            self.take([*self.places, *moved])
            pair = self.pair()
        self.unread = feedback.close(self, copies, pair)

    @staticmethod
    def _memory(optimizers: Mapping[str, torch.optim.Optimizer]) -> list[Place]:
        return [place for o in optimizers.values() for key in o.state for place in memory_of(o, key)]

    def take(self, places: list[Place]) -> None:
        """Make the vector of the values at these places."""
        self.places = places
        vectors = [place.vector(Here()) for place in places]
        self.lengths, self.start = [len(x) for x in vectors], torch.cat(vectors)
        largest = _largest(places)
        self.size = torch.cat([_size(place, 1e3 * self.rounding, largest) for place in places])

    def pair(self) -> tuple[Copies, Copies]:
        """Return two worlds after a step: from the present point, and from one nearby."""
        source = torch.Generator().manual_seed(4)
        nearby = 1e-3 * torch.randn(len(self.size), generator=source, dtype=torch.float64).to(self.size.device)
        here, there = self.put(Copies(grads=True)), self.put(Copies(grads=True), nearby)
        self.step(here)
        self.step(there)
        return here, there

    def put(self, world: Copies, y: Tensor | None = None) -> Copies:
        """Move a world to `y` (n,) units away from the present point, or to this point; return it."""
        world.of(self.optimizers)
        world.of(self.update)  # a variable is written to once all functions that name it are copied
        at = self.start if y is None else self.start + self.size * y
        for place, piece in zip(self.places, at.split(self.lengths), strict=True):
            place.set(world, piece)
        return world

    def step(self, world: Copies) -> Tensor:
        """Make the step in a world; return where it leads, in units from the present point (n,)."""
        update, batches = world.of(self.update), world.of(self.batches)
        with self.namespaces.holding(world), repeating(self.random, self.dtype):
            update(*batches)
        if len(self._memory(world.of(self.optimizers))) > self.remembered:
            raise GantoolsError(_GROWS)
        moved = torch.cat([place.vector(world) for place in self.places])
        return torch.where(self.size > 0, (moved - self.start) / self.size, 0.0)

    def __call__(self, y: Tensor) -> Tensor:
        """Return where the step leads from `y` (n,) units away from the present point, in the same units."""
        return self.step(self.put(Copies(grads=True), y))


_GROWS = (
    "The step adds to the optimizers' state: the Jacobian of the step is taken once each of them has stepped, and one "
    "with a history of steps (LBFGS) has filled it."
)


def _moved_by_the_vector(places: list[Place], pair: tuple[Copies, Copies]) -> list[Place]:
    """Return which of these places hold another value in two worlds after a step; lists are taken whole."""
    here, there = pair
    moved = [place for place in places if not torch.equal(place.vector(here), place.vector(there))]
    lists = {place.path[:-1] for place in moved if isinstance(place.path[-1], int)}
    return [place for place in places if place in moved or place.path[:-1] in lists]


def _is_array(x: Any) -> bool:
    return isinstance(x, Tensor) and x.dim() > 0


def _largest(places: list[Place]) -> dict[Any, float]:
    """Return the largest number in each kind of an optimizer's memory, second moments say, over its parameters."""
    found: dict[Any, float] = {}
    for place in places:
        if place.path and len(values := place.vector(Here())):
            found[_kind(place)] = max(found.get(_kind(place), 0.0), float(values.max()))
    return found


def _kind(place: Place) -> Any:
    return id(place.holder), place.path[2:]


def _size(place: Place, rounding: float, largest: Mapping[Any, float]) -> Tensor:
    """Return what a unit is in each coordinate of a tensor (m,), or of a number: about the size of the tensor.

    Where no number is negative, as in second moments, it is the number itself: no step may make it negative. It is 0,
    for a constant, where the number is the square of rounding errors beside the largest of its kind: what Adam knows of
    a bias before batch normalization.
    """
    values, parameter = place.vector(Here()), isinstance(place.get(Here()), torch.nn.Parameter)
    if isinstance(place.holder, torch.optim.Optimizer) and bool((values >= 0).all()):
        return torch.where(values > rounding**2 * largest[_kind(place)], values, 0.0)
    if not parameter and bool((values > 0).all()):
        return values
    return values.abs() + values.square().mean().sqrt().clamp_min(1e-8)


def _difference(function: StepFunction, u: Tensor, step: float) -> Tensor:
    scaled = step / float(u.norm().clamp_min(1e-300)) * len(u) ** 0.5
    return (function(scaled * u) - function(-scaled * u)) / (2 * scaled)


def _best_step(function: StepFunction) -> tuple[float, float]:
    """Return the step size at which differences of neighbouring sizes agree best, and how far they differ there."""
    source = torch.Generator().manual_seed(3)
    u = torch.randn(len(function.size), generator=source, dtype=torch.float64).to(function.size.device)
    found = [_difference(function, u, step) for step in STEPS]
    if not all(x.isfinite().all() for x in found):
        raise NonFiniteFieldError("The step from these parameters is NaN or infinite: there is no map to linearise.")
    errors = [float((a - b).norm() / b.norm().clamp_min(1e-300)) for a, b in itertools.pairwise(found)]
    best = min(range(len(errors)), key=errors.__getitem__)
    return STEPS[best + 1], errors[best]
