"""What made the first number that is not finite: every operation of the losses is looked at, forward and backward."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves


@dataclasses.dataclass(frozen=True)
class Place:
    """An operation of the losses.

    Attributes:
        operation: its name, such as "log".
        layer: the innermost module that was running, as "player, layer 'net.2' (Linear)"; empty outside of all.
        player: the player that the module belongs to, if any.
        line: the line of the user's own code, as "model.py, line 12"; empty where there is none.
        given: what was not finite before any operation, such as an entry of the batch; empty for an operation.
        largest: the largest absolute value among the operation's operands.
        overflow: whether finite operands of that size can only be told from infinity by a wider dtype.
    """

    operation: str
    layer: str = ""
    player: str | None = None
    line: str = ""
    given: str = ""
    largest: float = 0.0
    overflow: bool = False


def is_finite(x: Tensor) -> bool:
    """Return whether all entries are finite; a tensor that cannot be looked at (under vmap) counts as finite."""
    if not (x.is_floating_point() or x.is_complex()):
        return True
    try:
        return bool(x.detach().isfinite().all())
    except (RuntimeError, NotImplementedError):
        return True


def tensors_in(tree: Any) -> list[Tensor]:
    """Return the tensors of a tree of arguments or results."""
    return [x for x in tree_leaves(tree) if isinstance(x, Tensor)]


class Recorder(TorchFunctionMode):
    """Follows numbers that are not finite through the operations in its block, each to the place where it arose.

    An infinity that a user's code writes by itself (a mask) is none of them, until an operation makes a NaN of it.

    Attributes:
        origins: the place where the first bad entry of a tensor arose, by the tensor's identity.
        nodes: the place that made each node of the autograd graph.
    """

    def __init__(self, modules: Mapping[nn.Module, tuple[str, str]], given: Iterable[tuple[Tensor, str]]):
        """Follow what the losses do.

        Args:
            modules: player and description of every module.
            given: tensors from before the losses with what they are; those that are not finite are origins.
        """
        super().__init__()
        self._modules, self._running = modules, []
        self._kept: list[Tensor] = []  # an identity is one tensor's while the tensor lives
        self.origins: dict[int, Place] = {}
        self.nodes: dict[Any, Place] = {}
        for x, what in given:
            if not is_finite(x):
                self._mark(x, Place("", given=what))

    @contextmanager
    def recording(self) -> Iterator[Recorder]:
        """Record what runs in this block."""
        entered = register_module_forward_pre_hook(lambda module, _: self._running.append(module))
        left = register_module_forward_hook(lambda *_: self._running.pop() and None, always_call=True)
        try:
            # Nodes that a gradient adds know then which node they are the derivative of.
            with torch.autograd.set_detect_anomaly(True, check_nan=False), self:
                yield self
        finally:
            entered.remove()
            left.remove()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        operands = tensors_in((args, kwargs))
        bad = [x for x in operands if not is_finite(x)]
        had_nan = any(x.isnan().any() for x in bad)
        place = self._place(getattr(func, "__name__", str(func)), operands)
        with watched(_roots(args, kwargs), self._place_of) if func is torch.autograd.grad else nothing() as found:
            out = func(*args, **kwargs)
        for x in tensors_in(out):
            self._name_new(x.grad_fn, place)
            if not is_finite(x):
                known = next((self.origins[id(b)] for b in bad if id(b) in self.origins), None)
                if found:
                    known = known or found[0]
                elif known is None and bad:
                    known = Place(place.operation, given=f"a tensor of shape {tuple(bad[0].shape)} that it is given")
                deliberate = known is None and _infinite_constant(func, args, kwargs)
                if known is not None and known.operation == _MASK and bool(x.isnan().any()) and not had_nan:
                    known = None
                self._mark(x, known or (Place(_MASK) if deliberate else place))
        return out

    def origin_of(self, x: Tensor) -> Place | None:
        """Return where the bad entries of a tensor arose."""
        return self.origins.get(id(x))

    def _mark(self, x: Tensor, place: Place) -> None:
        self._kept.append(x)
        self.origins[id(x)] = place

    def _place(self, operation: str, operands: list[Tensor]) -> Place:
        player, layer = next((self._modules[m] for m in reversed(self._running) if m in self._modules), (None, ""))
        largest, overflow = _sizes(operands)
        return Place(operation, layer, player, _line(), largest=largest, overflow=overflow)

    def _name_new(self, node: Any, place: Place) -> None:
        for new in nodes_behind(node, self.nodes):
            parent = new.metadata.get("parent_")
            self.nodes[new] = self.nodes.get(parent, place) if parent is not None else place

    def _place_of(self, node: Any) -> Place:
        """Return the place of a node; one that a later gradient added stands for that which it is the derivative of."""
        at = node
        while at is not None and at not in self.nodes:
            at = at.metadata.get("parent_")
        return self.nodes.get(at, Place(node.name().rstrip("0123456789").removesuffix("Backward").lower()))

    @contextmanager
    def watching(self, roots: Iterable[Tensor]) -> Iterator[list[Place]]:
        """Yield a list to which backward passes in this block add the places that made the first bad gradient."""
        with watched(roots, self._place_of) as found:
            yield found


_MASK = "an infinite constant"


@contextmanager
def nothing() -> Iterator[list[Place]]:
    """Yield an empty list."""
    yield []


@contextmanager
def watched(roots: Iterable[Tensor], place_of: Callable[[Any], Place]) -> Iterator[list[Place]]:
    """Look at every node behind these tensors while a backward pass runs through them, see `Recorder.watching`."""
    found: list[Place] = []

    def look(node: Any, gradients: tuple[Any, ...], given: tuple[Any, ...]) -> None:
        if not found and all(map(is_finite, tensors_in(given))) and not all(map(is_finite, tensors_in(gradients))):
            largest, overflow = _sizes(tensors_in(given))
            found.append(dataclasses.replace(place_of(node), largest=largest, overflow=overflow))

    handles, seen = [], {}
    for root in roots:
        for node in nodes_behind(root.grad_fn, seen):
            seen[node] = True
            handles.append(node.register_hook(lambda gradients, given, node=node: look(node, gradients, given)))
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def nodes_behind(node: Any, known: Mapping[Any, Any]) -> Iterator[Any]:
    """Yield the nodes of the graph behind one, itself included, but none behind a known one."""
    waiting, seen = [node], set()
    while waiting:
        here = waiting.pop()
        if here is None or here in seen or here in known:
            continue
        seen.add(here)
        yield here
        waiting += [following for following, _ in here.next_functions]


def _roots(args: Any, kwargs: Any) -> list[Tensor]:
    return [x for x in tensors_in(args[0] if args else kwargs.get("outputs")) if x.grad_fn is not None]


def _infinite_constant(func: Any, args: Any, kwargs: Any) -> bool:
    numbers = [x for x in tree_leaves((args, kwargs)) if isinstance(x, float)]
    return any(x != x or x in (float("inf"), -float("inf")) for x in numbers)


def _sizes(operands: list[Tensor]) -> tuple[float, bool]:
    """Return the largest absolute value of some tensors, and whether its square is beyond their dtype."""
    floats = [x.detach() for x in operands if x.numel() and (x.is_floating_point() or x.is_complex()) and is_finite(x)]
    try:
        largest = max((float(x.abs().max()) for x in floats), default=0.0)
        return largest, any(largest > torch.finfo(x.dtype).max ** 0.4 for x in floats)
    except RuntimeError:  # under vmap
        return 0.0, False


def _line() -> str:
    """Return the innermost line that runs outside of torch and this package, up to the losses' caller."""
    frame = sys._getframe(1)
    while frame is not None:
        room = str(frame.f_globals.get("__name__"))
        if room == "gantools.games.functional":  # which calls the losses
            return ""
        if room.partition(".")[0] not in ("torch", "gantools"):
            return f"{Path(frame.f_code.co_filename).name}, line {frame.f_lineno}"
        frame = frame.f_back
    return ""
