"""Places that hold a number or a floating tensor among all that a step reaches: of optimizers' memory, say."""

import dataclasses
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from gantools.games.functional import as_real


class World(Protocol):
    """Where `of(x)` is the copy of an object x."""

    def of(self, x: Any) -> Any:
        """Return the copy."""


class Here:
    """The world where each object is itself."""

    def of(self, x: Any) -> Any:
        """Return the object."""
        return x


@dataclasses.dataclass(frozen=True, eq=False)
class Place:
    """Where a number or tensor is found in each world of copies, whatever object it is there.

    Attributes:
        holder: an object of the world that the copies are made of.
        path: attributes and keys that lead from it to the value; empty if the holder is the value.
    """

    holder: Any
    path: tuple[Any, ...] = ()

    def get(self, world: World) -> Any:
        """Return the value, a float, a tensor or an array."""
        x = world.of(self.holder)
        for key in self.path:
            x = _part(x, world.of(key))
        return x

    def identity(self) -> Any:
        """Return what tells whether two places are one: the tensor, or the variable that holds a number."""
        x = self.get(Here())
        return (id(Place(self.holder, self.path[:-1]).get(Here())), self.path[-1]) if isinstance(x, float) else id(x)

    def set(self, world: World, piece: Tensor) -> None:
        """Give the value these numbers (m,): a tensor or array is written to, so that all who hold it see it."""
        x = self.get(world)
        if isinstance(x, Tensor):
            view = as_real(x.detach())
            view.copy_(piece.view_as(view))
            return
        if isinstance(x, np.ndarray):
            np.copyto(x, piece.cpu().numpy().reshape(x.shape), casting="same_kind")
            return
        container = Place(self.holder, self.path[:-1]).get(world)
        _put(container, world.of(self.path[-1]), float(piece))

    def vector(self, world: World) -> Tensor:
        """Return the value as one vector in float64; a complex one as its real view."""
        x = self.get(world)
        x = x if isinstance(x, Tensor) else torch.tensor(np.asarray(x), dtype=torch.float64)
        return as_real(x.detach()).reshape(-1).double()


def _part(x: Any, key: Any) -> Any:
    return x[key] if isinstance(x, (Mapping, list, tuple, deque)) else getattr(x, key)


def _put(x: Any, key: Any, value: float) -> None:
    if isinstance(x, (dict, list, deque)):
        x[key] = value
    else:
        setattr(x, key, value)


def holds(x: Any) -> bool:
    """Whether a value is a number that can be moved a little, or a tensor of such."""
    if isinstance(x, Tensor):
        return x.is_floating_point() or x.is_complex()
    return isinstance(x, float) or (isinstance(x, np.ndarray) and np.issubdtype(x.dtype, np.floating))


def memory_of(optimizer: torch.optim.Optimizer, p: Any) -> list[Place]:
    """Return the places of what an optimizer remembers of a parameter, in lists and dictionaries too."""
    found = _inside(optimizer.state.get(p, {}))
    return [Place(optimizer, ("state", p, *path)) for path in found]


def _inside(x: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if holds(x):
        yield path
    parts: Iterable[tuple[Any, Any]] = ()
    if isinstance(x, Mapping):
        parts = x.items()
    elif isinstance(x, (list, tuple)):
        parts = enumerate(x)
    for key, part in parts:
        yield from _inside(part, (*path, key))
