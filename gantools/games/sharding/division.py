r"""The division of a flat vector among processes by ranges, and what they gather and sum up of it.

Gather takes the ranges of a tensor from all processes that hold one to the whole in each; Scatter takes a whole tensor
of each process to the ranges of their sum. Each is the transpose of the other, and so the other's derivative, of any
order: a field whose parameters are gathered has exact products $J u$ and $J^\top u$ on the ranges.

What autograd saves of gathered tensors is not their values but the ranges that they were gathered from: they are
gathered again where a derivative needs them.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from gantools.games.replicas import communicating


class Division:
    """The ranges of a vector (n,) that the processes of a group hold, by default as equal as they can be.

    Args:
        n: the length of the vector.
        group: of `torch.distributed`; by default all processes.
        bounds: of the ranges, where these are given.

    Attributes:
        rank: this process's place in the group.
        count: how many there are.
        bounds: (count + 1,), the range of the process at a place is from its bound to the next.
    """

    def __init__(self, n: int, group: dist.ProcessGroup | None, bounds: list[int] | None = None):
        self.n, self.group = n, group
        self.rank, self.count = dist.get_rank(group), dist.get_world_size(group)
        step = -(-n // self.count)
        self.bounds = bounds or [min(rank * step, n) for rank in range(self.count + 1)]

    @property
    def start(self) -> int:
        """The first entry that this process holds."""
        return self.bounds[self.rank]

    @property
    def stop(self) -> int:
        """The entry after the last one that this process holds."""
        return self.bounds[self.rank + 1]

    def owners(self, start: int, stop: int) -> list[tuple[int, slice]]:
        """Return the processes, as ranks of all, that hold entries of a range, with which of the range's these are."""
        found = []
        for rank in range(self.count):
            low, high = max(start, self.bounds[rank]), min(stop, self.bounds[rank + 1])
            if low < high:
                world = rank if self.group is None else dist.get_global_rank(self.group, rank)
                found.append((world, slice(low - start, high - start)))
        return found

    def own(self, start: int, stop: int) -> slice:
        """Return which entries of a range this process holds; an empty slice where none."""
        low, high = max(start, self.start), min(stop, self.stop)
        return slice(low - start, max(low, high) - start) if low < high else slice(0, 0)


class Place:
    """A tensor's range of a divided vector.

    Args:
        division: of the vector.
        start: of the range.
        shape: of the tensor.
    """

    def __init__(self, division: Division, start: int, shape: torch.Size):
        self.division, self.shape = division, shape
        self.numel = shape.numel()
        self.own = division.own(start, start + self.numel)
        self._owners = division.owners(start, start + self.numel)

    def parameter(self, piece: Tensor) -> Tensor:
        """Return the whole tensor of which this process holds `piece`, differentiable by it."""
        return _Gather.apply(piece, self).view(self.shape)  # type: ignore[union-attr]

    def gathered(self, piece: Tensor) -> Tensor:
        """Return the whole (numel,) of what each process holds of it."""
        # Past the modes that losses are evaluated in: nothing here is part of a loss.
        with torch._C.DisableTorchFunction():
            piece = piece.detach()
            whole, me = piece.new_empty(self.numel), dist.get_rank()
            for rank, part in self._owners:
                sent = whole[part]
                if rank == me:
                    sent.copy_(piece)
                with communicating():
                    dist.broadcast(sent, rank, self.division.group)
            # Where it came from goes with its memory, whatever views of it autograd saves.
            whole.untyped_storage().gathered_from = self, piece  # type: ignore[attr-defined]
        return whole

    def scattered(self, whole: Tensor) -> Tensor:
        """Return this process's part of the sum over all processes of tensors (numel,)."""
        with torch._C.DisableTorchFunction():
            sums, me = whole.detach().clone(memory_format=torch.contiguous_format), dist.get_rank()
            own = sums.new_empty(0)
            for rank, part in self._owners:
                with communicating():
                    dist.reduce(sums[part], rank, group=self.division.group)
                if rank == me:
                    own = sums[part].clone()
        return own


class _Gather(torch.autograd.Function):
    """The whole of a tensor from the processes' parts."""

    @staticmethod
    def forward(piece: Tensor, place: Place) -> Tensor:
        return place.gathered(piece)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.place = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return _Scatter.apply(gradients[0], ctx.place), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return _Gather.apply(tangents[0], ctx.place)


class _Scatter(torch.autograd.Function):
    """This process's part of the sum of the processes' tensors."""

    @staticmethod
    def forward(whole: Tensor, place: Place) -> Tensor:
        return place.scattered(whole)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.place = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return _Gather.apply(gradients[0], ctx.place), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return _Scatter.apply(tangents[0], ctx.place)


class Split(torch.autograd.Function):
    """A range of a vector as pieces, some of length 0; through PyTorch's own functions these would lose their graph.

    The graph must be the same in all processes, whichever of them holds entries: each gathers and scatters in the order
    of its graph.
    """

    @staticmethod
    def forward(w: Tensor, sizes: list[int]) -> tuple[Tensor, ...]:
        return w.split(sizes)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.sizes = inputs[1]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return Join.apply(ctx.sizes, *gradients), None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return Split.apply(tangents[0], ctx.sizes)


class Join(torch.autograd.Function):
    """A range of a vector from its pieces."""

    @staticmethod
    def forward(sizes: list[int], *pieces: Tensor) -> Tensor:
        return torch.cat(pieces)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        ctx.sizes = inputs[0]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return None, *Split.apply(gradients[0], ctx.sizes)  # type: ignore[misc]

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Any:
        return Join.apply(ctx.sizes, *tangents[1:])


class _Saved:
    """What is saved of a gathered tensor, or a view of it: how to gather it again."""

    def __init__(self, x: Tensor, place: Place, piece: Tensor):
        self._place, self._piece, self._view = place, piece, (x.shape, x.stride(), x.storage_offset())

    def again(self) -> Tensor:
        return self._place.gathered(self._piece).as_strided(*self._view)


def _packed(x: Tensor) -> Tensor | _Saved:
    source = getattr(x.untyped_storage(), "gathered_from", None) if x.layout == torch.strided else None
    return x if source is None or source[1].dtype != x.dtype else _Saved(x, *source)


def _unpacked(saved: Tensor | _Saved) -> Tensor:
    return saved.again() if isinstance(saved, _Saved) else saved


def gathered_again() -> torch.autograd.graph.saved_tensors_hooks:
    """Save, of graphs that are made in this block, no gathered tensor: backward passes gather it again."""
    return torch.autograd.graph.saved_tensors_hooks(_packed, _unpacked)
