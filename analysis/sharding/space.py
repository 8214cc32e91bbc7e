"""The space of an operator's vectors: whole in one process, or divided among several, each with a range of the entries.

Methods on vectors work on what this process holds, and take sums over all entries from here.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from gantools.games.replicas import communicating
from gantools.games.sharding.division import Division
from gantools.random_vectors import normal_entries, random_key

T = TypeVar("T")


class Space:
    """The space of vectors (n,) that this process holds whole.

    Attributes:
        n: the dimension.
        start: the first entry that this process holds.
        stop: the entry after the last one that this process holds.
        shared: whether other processes hold the other entries.
        processes: how many hold entries.
    """

    shared = False
    processes = 1

    def __init__(self, n: int):
        self.n, self.start, self.stop = int(n), 0, int(n)

    def __eq__(self, other: object) -> bool:
        same = isinstance(other, Space) and self.shared == other.shared
        return same and (self.n, self.start, self.stop) == (other.n, other.start, other.stop)  # type: ignore[union-attr]

    __hash__ = None  # type: ignore[assignment]

    @property
    def held(self) -> int:
        """How many entries this process holds."""
        return self.stop - self.start

    def part(self, places: Tensor) -> Space:
        """Return the space of some entries; `places` (k,) are those of them that this process holds, among its own."""
        return Space(len(places))

    def below(self, places: Tensor, bounds: Sequence[int]) -> list[int]:
        """Return how many of some entries, see `part`, come before each bound."""
        return self.total(torch.searchsorted(places.cpu() + self.start, torch.tensor(bounds))).tolist()

    def total(self, numbers: Tensor) -> Tensor:
        """Return the sums over all entries from those over the entries held, (...)."""
        return numbers

    def norm(self, x: Tensor, dim: int | None = None, dtype: torch.dtype | None = None) -> Tensor:
        """Return the norms of vectors along a dimension."""
        return torch.linalg.vector_norm(x, dim=dim, dtype=dtype)

    def orthonormal(self, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Return orthonormal columns (n, k) and a triangle (k, k) whose product are the given ones."""
        return torch.linalg.qr(columns)

    def agreed(self, thing: T) -> T:
        """Return what the first process computed, in place of what this one did: the same to the last bit in all."""
        return thing

    def joined(self, x: Tensor) -> Tensor:
        """Return whole vectors (n, ...) from what each process holds of them."""
        return x

    def own(self, x: Tensor) -> Tensor:
        """Return what this process holds of whole vectors (n, ...)."""
        return x

    def normal(self, dtype: torch.dtype, device: torch.device | str, generator: torch.Generator) -> Tensor:
        """Return the entries held of a standard normal vector, which depends on the generator alone."""
        return normal_entries(random_key(generator), self.start, self.stop, dtype, device)

    def normal_columns(
        self, k: int, dtype: torch.dtype, device: torch.device | str, generator: torch.Generator
    ) -> Tensor:
        """Return the entries held of k standard normal columns."""
        return torch.stack([self.normal(dtype, device, generator) for _ in range(k)], dim=1)


class SharedSpace(Space):
    """The space of vectors (n,) of which this process holds a range.

    Args:
        division: the processes' ranges.
        device: where numbers are sent from.
    """

    shared = True

    def __init__(self, division: Division, device: torch.device):
        super().__init__(division.n)
        self.start, self.stop = division.start, division.stop
        self._group, self._device, self.processes = division.group, device, division.count

    def part(self, places: Tensor) -> Space:
        bounds = [0, *itertools.accumulate(self._gathered(len(places)))]
        return SharedSpace(Division(bounds[-1], self._group, bounds), self._device)

    def total(self, numbers: Tensor) -> Tensor:
        sums = numbers.detach().to(self._device).contiguous().clone()
        with communicating():
            dist.all_reduce(sums, group=self._group)
        return sums.to(numbers.device)

    def norm(self, x: Tensor, dim: int | None = None, dtype: torch.dtype | None = None) -> Tensor:
        # Squared in float64: in float32 they would overflow, or vanish, where norms do not.
        norms = torch.linalg.vector_norm(x, dim=dim, dtype=dtype)
        return self.total(norms.double().square()).sqrt().to(norms.dtype)

    def orthonormal(self, columns: Tensor) -> tuple[Tensor, Tensor]:
        """Return the columns of a QR decomposition of the triangles of those of all processes (Demmel et al. 2012)."""
        Q, R = torch.linalg.qr(columns)
        triangles = self._gathered(R.cpu())
        start = sum(len(t) for t in triangles[: self._rank])
        inner, triangle = self.agreed(tuple(torch.linalg.qr(torch.cat(triangles))))
        return Q @ inner[start : start + len(R)].to(Q), triangle.to(Q)

    def agreed(self, thing: T) -> T:
        things: list[Any] = [thing]
        first = 0 if self._group is None else dist.get_global_rank(self._group, 0)
        with communicating():
            dist.broadcast_object_list(things, first, self._group)
        return things[0]

    def joined(self, x: Tensor) -> Tensor:
        return torch.cat(self._gathered(x.detach().cpu())).to(x.device)

    def own(self, x: Tensor) -> Tensor:
        return x[self.start : self.stop]

    @property
    def _rank(self) -> int:
        return dist.get_rank(self._group)

    def _gathered(self, x: T) -> list[T]:
        found: list[Any] = [None] * dist.get_world_size(self._group)
        with communicating():
            dist.all_gather_object(found, x, self._group)
        return found
