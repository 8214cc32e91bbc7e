"""Where the parameters of a game live in a flat vector that is divided among processes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from gantools.errors import GantoolsError
from gantools.games.flat_vector import Layout
from gantools.games.functional import as_real
from gantools.games.sharding.division import Division, Join, Place, Split
from gantools.games.sharding.lazy import LazyParameter


class ShardedLayout(Layout):
    """The vector (n,) of which this process holds a range; slices and places are those of the whole.

    Args:
        layout: of the undivided vector.
        group: of `torch.distributed`; by default all processes.

    Attributes:
        division: the processes' ranges.
    """

    divided = True

    def __init__(self, layout: Layout, group: dist.ProcessGroup | None):
        super().__init__(layout.names, layout.parameters, layout.owned)
        self._undivided = layout
        self.division = Division(self.size, group)
        self._within = [Place(self.division, p.start, s) for p, s in zip(self.places, self._shapes, strict=True)]
        self._held = [place.own.stop - place.own.start for place in self._within]

    @property
    def undivided(self) -> Layout:
        return self._undivided

    def unflatten(self, w: Tensor, dtype: torch.dtype | None = None) -> list[Tensor]:
        """Split this process's range into what it holds of each parameter: (m,), some of length 0."""
        if dtype is None and torch.promote_types(w.dtype, self.dtype) != self.dtype:
            dtype = w.dtype
        pieces: Any = Split.apply(w, self._held)
        return [piece.to(dtype or d) for piece, d in zip(pieces, self._dtypes, strict=True)]

    def flatten(self, tensors: Sequence[Tensor]) -> Tensor:
        return Join.apply(self._held, *tensors)  # type: ignore[return-value]

    def in_modules(self, leaves: Sequence[Tensor]) -> list[Tensor]:
        return [LazyParameter(leaf, place) for leaf, place in zip(leaves, self._within, strict=True)]

    def held_vector(self) -> Tensor:
        """Return a copy of this process's range of the parameters, which are gathered one by one where they are spread.

        Every process has to call it.
        """
        found = torch.empty(sum(self._held), dtype=self.dtype, device=self.device)
        for piece, p, place in zip(found.split(self._held), self.parameters, self._within, strict=True):
            piece.copy_(as_real(unspread(p.detach())).reshape(-1)[place.own])
        return found

    def load(self, w: Tensor) -> None:
        raise self._refused("its parameters are not moved")

    def norm(self, part: Tensor) -> Tensor:
        raise self._refused("it is not trained")

    def dot(self, one: Tensor, other: Tensor) -> Tensor:
        raise self._refused("it is not trained")

    def part(self, chosen: Sequence[int]) -> Layout:
        raise self._refused("parts of its parameters are not analysed alone")

    def require_whole(self) -> None:
        raise self._refused("this needs its parameters whole")

    def require_separable(self, method: str, couples: str) -> None:
        raise self._refused("it is not trained")

    def _refused(self, why: str) -> GantoolsError:
        return GantoolsError(
            f"A sharded game has jacobian, hessian and what follows from their products; {why}: use "
            "gantools.replicated(game), whose parameters each process holds whole."
        )


def unspread(p: Any) -> Tensor:
    """Return the whole of a parameter that FSDP2 spreads over processes, gathered; any other as it is."""
    return p.full_tensor() if hasattr(p, "full_tensor") else p
