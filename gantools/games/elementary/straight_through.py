"""Functions whose gradient is not the derivative of their value: roundings, choices.

Each is a custom function: its own backward serves the field, as PyTorch's does, and the derivative of its forward all
else (`stop_gradients`).
"""

from typing import Any

import torch
from torch import Tensor


class _Hard(torch.autograd.Function):
    """One-hot vectors of the largest entries; straight through, the gradient is that by the soft ones."""

    like_a_users = True

    @staticmethod
    def forward(ctx: Any, soft: Tensor, dim: int) -> Tensor:
        return torch.zeros_like(soft).scatter(dim, soft.max(dim, keepdim=True).indices, 1.0)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return gradients[0], None


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """Do what `torch.nn.functional.gumbel_softmax` does, from the same random numbers."""
    noise = -torch.empty_like(logits, memory_format=torch.legacy_contiguous_format).exponential_().log()
    soft = ((logits + noise) / tau).softmax(dim)
    return _Hard.apply(soft, dim) if hard else soft  # type: ignore[return-value]


class _FakelyQuantized(torch.autograd.Function):
    """Rounded to a grid and clamped; straight through inside the clamp."""

    like_a_users = True

    @staticmethod
    def forward(ctx: Any, x: Tensor, scale: Any, zero: Any, low: int, high: int) -> Tensor:
        level = (x / scale).round() + zero
        ctx.inside = (level >= low) & (level <= high)
        return (level.clamp(low, high) - zero) * scale

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return gradients[0] * ctx.inside, None, None, None, None


def fake_quantize_per_tensor_affine(x: Tensor, scale: Any, zero_point: Any, quant_min: int, quant_max: int) -> Tensor:
    """Do what `torch.fake_quantize_per_tensor_affine` does."""
    return _FakelyQuantized.apply(x, scale, zero_point, quant_min, quant_max)  # type: ignore[return-value]
