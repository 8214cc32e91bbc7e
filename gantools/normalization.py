"""Normalizations from elementary operations, for derivatives that PyTorch's fused kernels get silently wrong.

The fused batch, instance and layer norms save the mean and deviation without their history, so that everything from the
third derivative on is wrong, without an error (pytorch issues 175754, 186256): the Jacobian of a game with a gradient
penalty, the update operator of consensus. The fused weight norm is wrong from the second derivative on.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


def _standardize(x: Tensor, dims: list[int], eps: float) -> tuple[Tensor, Tensor, Tensor]:
    mean = x.mean(dims, keepdim=True)
    centred = x - mean
    variance = centred.square().mean(dims, keepdim=True)
    return centred * (variance + eps).rsqrt(), mean, variance


def _affine(x: Tensor, weight: Tensor | None, bias: Tensor | None, shape: Sequence[int]) -> Tensor:
    x = x if weight is None else x * weight.reshape(shape)
    return x if bias is None else x + bias.reshape(shape)


def _track(running: Tensor | None, value: Tensor, momentum: float) -> None:
    if running is not None:
        running.mul_(1 - momentum).add_(value.detach().flatten(), alpha=momentum)


def batch_norm(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Do what `torch.nn.functional.batch_norm` does."""
    count = input.numel() // input.shape[1]
    if not training or count == 1:  # an affine map with constant statistics; one value a channel raises
        return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)
    x, mean, variance = _standardize(input, [0, *range(2, input.dim())], eps)
    with torch.no_grad():
        _track(running_mean, mean, momentum)
        _track(running_var, variance * (count / (count - 1)), momentum)
    return _affine(x, weight, bias, [1, -1] + [1] * (input.dim() - 2))


def instance_norm(
    input: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Do what `torch.nn.functional.instance_norm` does."""
    count = input[0, 0].numel()
    if not use_input_stats or count == 1:
        return F.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)
    x, mean, variance = _standardize(input, list(range(2, input.dim())), eps)
    with torch.no_grad():
        _track(running_mean, mean.mean(0), momentum)
        _track(running_var, variance.mean(0) * (count / (count - 1)), momentum)
    return _affine(x, weight, bias, [1, -1] + [1] * (input.dim() - 2))


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
) -> Tensor:
    """Do what `torch.nn.functional.layer_norm` does."""
    shape = tuple(normalized_shape)
    if tuple(input.shape[input.dim() - len(shape) :]) != shape:
        return F.layer_norm(input, normalized_shape, weight, bias, eps)  # raises
    x, _, _ = _standardize(input, list(range(-len(shape), 0)), eps)
    return _affine(x, weight, bias, shape)


def weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """Do what `torch._weight_norm` does, which stands behind both forms of weight normalization."""
    dims = [d for d in range(v.dim()) if d != dim % v.dim()] if dim != -1 else list(range(v.dim()))
    return v * (g / v.square().sum(dims, keepdim=True).sqrt())


class ExactNormalization(TorchFunctionMode):
    """Within this block, normalizations are made of elementary operations.

    Attributes:
        used: whether there was any so far.
    """

    REPLACEMENTS: dict[Callable[..., Any], Callable[..., Any]] = {
        F.batch_norm: batch_norm,
        F.instance_norm: instance_norm,
        F.layer_norm: layer_norm,
        torch._weight_norm: weight_norm,
    }

    def __init__(self) -> None:
        super().__init__()
        self.used = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        exact = self.REPLACEMENTS.get(func)
        if exact is None:
            return func(*args, **(kwargs or {}))
        self.used = True
        return exact(*args, **(kwargs or {}))
