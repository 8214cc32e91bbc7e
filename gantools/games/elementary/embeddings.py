"""Embeddings, whose gradient is not the derivative of their value where rows are bounded, padding or weighted.

See `straight_through` on how the custom functions serve the field and its derivatives.
"""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F


class _Shortened(torch.autograd.Function):
    """Rows of a matrix, those that are used shortened to a norm; the gradient is that by the shortened ones."""

    like_a_users = True  # its own backward inside the field, the derivative of its forward otherwise

    @staticmethod
    def forward(ctx: Any, weight: Tensor, used: Tensor, longest: float, p: float) -> Tensor:
        norms = torch.linalg.vector_norm(weight, p, dim=1, keepdim=True)
        among = torch.zeros(len(weight), 1, dtype=torch.bool, device=weight.device).index_fill(0, used.flatten(), True)
        return torch.where(among & (norms > longest), weight * (longest / (norms + 1e-7)), weight)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return gradients[0], None, None, None


class _Weighted(torch.autograd.Function):
    """The identity, whose gradient is a share of the true one: none for the padding row of an embedding."""

    like_a_users = True

    @staticmethod
    def forward(ctx: Any, x: Tensor, share: Tensor) -> Tensor:
        ctx.share = share
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return gradients[0] * ctx.share, None


def embedding(
    input: Tensor,
    weight: Tensor,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Tensor:
    """Do what `torch.nn.functional.embedding` does, with a dense gradient."""
    if max_norm is not None:
        weight = _Shortened.apply(weight, input, max_norm, norm_type)  # type: ignore[assignment]
    rows = F.embedding(input, weight)
    if padding_idx is None and not scale_grad_by_freq:
        return rows
    share = torch.ones_like(input, dtype=rows.dtype)
    if scale_grad_by_freq:
        share = share / torch.bincount(input.flatten())[input]
    if padding_idx is not None:
        share = share * (input != padding_idx % len(weight))
    return _Weighted.apply(rows, share[..., None])  # type: ignore[return-value]


def embedding_bag(
    input: Tensor,
    weight: Tensor,
    offsets: Tensor | None = None,
    max_norm: float | None = None,
    norm_type: float = 2,
    scale_grad_by_freq: bool = False,
    mode: str = "mean",
    sparse: bool = False,
    per_sample_weights: Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int | None = None,
) -> Tensor:
    """Do what `torch.nn.functional.embedding_bag` does."""
    if scale_grad_by_freq:  # PyTorch divides by other numbers than the counts, and so does training
        return F.embedding_bag(
            input, weight, offsets, max_norm, norm_type, True, mode, sparse, per_sample_weights, include_last_offset,
            padding_idx,
        )  # fmt: skip
    if max_norm is not None:
        weight = _Shortened.apply(weight, input, max_norm, norm_type)  # type: ignore[assignment]
    flat, bags, count = input.reshape(-1), *_bags(input, offsets, include_last_offset)
    scales = None if per_sample_weights is None else per_sample_weights.reshape(-1)
    if padding_idx is not None:
        kept = (flat != padding_idx % len(weight)).nonzero().squeeze(1)
        flat, bags, scales = flat[kept], bags[kept], None if scales is None else scales[kept]
    rows = F.embedding(flat, weight)
    if scales is not None:
        rows = rows * scales[:, None]
    if mode == "max":
        where = bags[:, None].expand_as(rows)
        return rows.new_zeros(count, rows.shape[1]).scatter_reduce(0, where, rows, "amax", include_self=False)
    total = rows.new_zeros(count, rows.shape[1]).index_add(0, bags, rows)
    sizes = torch.zeros(count, dtype=rows.dtype, device=rows.device).index_add(0, bags, torch.ones_like(rows[:, 0]))
    return total / sizes.clamp_min(1)[:, None] if mode == "mean" else total


def _bags(input: Tensor, offsets: Tensor | None, include_last_offset: bool) -> tuple[Tensor, int]:
    """Return the number of the bag of each index, and how many bags there are."""
    if input.dim() == 2:
        return torch.arange(len(input), device=input.device).repeat_interleave(input.shape[1]), len(input)
    assert offsets is not None
    starts = offsets[:-1] if include_last_offset else offsets
    ends = torch.cat([starts[1:], starts.new_tensor([len(input)])])
    return torch.arange(len(starts), device=input.device).repeat_interleave(ends - starts), len(starts)
