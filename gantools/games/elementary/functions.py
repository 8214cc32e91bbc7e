"""Normalizations, activations, distances, attention and transposed convolutions from elementary operations."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from gantools.errors import GantoolsError


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
    if training and count == 1:
        raise GantoolsError(
            f"Batch norm in training mode got one value a channel (an input of shape {tuple(input.shape)}), of which "
            "it leaves nothing: pass more samples, or call .eval() on it."
        )
    if not training:  # an affine map with constant statistics
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
    if use_input_stats and count == 1:
        raise GantoolsError(
            f"Instance norm got one value a channel (an input of shape {tuple(input.shape)}), of which it leaves "
            "nothing: use it where samples have more."
        )
    if not use_input_stats:
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


def group_norm(
    input: Tensor, num_groups: int, weight: Tensor | None = None, bias: Tensor | None = None, eps: float = 1e-5
) -> Tensor:
    """Do what `torch.nn.functional.group_norm` does."""
    if input.dim() < 2 or input.shape[1] % num_groups:
        return F.group_norm(input, num_groups, weight, bias, eps)  # raises
    x, _, _ = _standardize(input.reshape(len(input), num_groups, -1), [2], eps)
    return _affine(x.view_as(input), weight, bias, [1, -1] + [1] * (input.dim() - 2))


def _activation(function: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    def activation(input: Tensor, inplace: bool = False) -> Tensor:
        # What the formula saves must not be what is overwritten.
        return input.copy_(function(input.clone())) if inplace else function(input)

    return activation


silu = _activation(lambda x: x * x.sigmoid())
mish = _activation(lambda x: x * F.softplus(x).tanh())
hardsigmoid = _activation(lambda x: (x / 6 + 0.5).clamp(0, 1))


def _distance(difference: Tensor, p: float) -> Tensor:
    """Return the p-norm over the last axis, with derivative 0 where it is 0, as the fused kernels have it."""
    size = difference.abs()
    if p == 0:
        return (size > 0).to(size.dtype).sum(-1)
    if p == 1:
        return size.sum(-1)
    if p == float("inf"):
        return size.amax(-1)
    apart = (size > 0).any(-1, keepdim=True)
    # A root of 0 has no derivative: take that of 1 there, and leave it out.
    powers = torch.where(apart & (size > 0), size, 1.0) ** p * (size > 0)
    total = torch.where(apart[..., 0], powers.sum(-1), 1.0)
    return torch.where(apart[..., 0], total ** (1 / p), 0.0)


def cdist(x1: Tensor, x2: Tensor, p: float = 2.0, compute_mode: str = "") -> Tensor:
    """Do what `torch.cdist` does, by the direct differences in every mode."""
    return _distance(x1.unsqueeze(-2) - x2.unsqueeze(-3), p)


def pdist(input: Tensor, p: float = 2.0) -> Tensor:
    """Do what `torch.nn.functional.pdist` does."""
    first, second = torch.triu_indices(len(input), len(input), 1, device=input.device)
    return _distance(input[first] - input[second], p)


def by_plain_attention(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with all derivatives of the attention in it, whichever kernel the model itself names."""

    def plain(*args: Any, **kwargs: Any) -> Any:
        with sdpa_kernel(SDPBackend.MATH):
            return function(*args, **kwargs)

    return plain


def conv_transpose(convolution: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return what does the same as `torch.nn.functional.conv_transpose1d`, `2d` or `3d`, without output padding.

    The third derivative of PyTorch's hands the output padding on to a convolution that knows none.
    """

    def padded(
        input: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        output_padding: Any = 0,
        groups: int = 1,
        dilation: Any = 1,
    ) -> Tensor:
        def each(value: Any) -> Sequence[int]:
            return [value] * dims if isinstance(value, int) else value

        dims = weight.dim() - 2
        extra, steps = each(output_padding), zip(each(stride), each(dilation), strict=False)
        if not any(extra) or any(e >= max(pair) for e, pair in zip(extra, steps, strict=False)):
            return convolution(input, weight, bias, stride, padding, output_padding, groups, dilation)
        whole = convolution(input, weight, None, stride, 0, 0, groups, dilation)
        cuts = [(-p, e - p) for p, e in zip(each(padding), extra, strict=True)]
        return _affine(F.pad(whole, [n for cut in reversed(cuts) for n in cut]), None, bias, [-1] + [1] * dims)

    return padded
