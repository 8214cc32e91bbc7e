r"""Initial complex weights, stored as real tensors with a last axis of two.

A Rayleigh modulus with a uniform phase, as Deep Complex Networks (arXiv:1705.09792) draws them, is a circular complex
normal distribution: both parts are independent normals with half the variance $E|W|^2$. PyTorch's own uniform
initialisations give each part of a complex weight the whole variance; the paper's code forgets a square root.
"""

import math

import torch
from torch import Tensor, nn

from gantools.errors import GantoolsError


def fans(weight: Tensor, transposed: bool = False) -> tuple[int, int]:
    """Return inputs and outputs of a unit for a weight (out, in, *kernel, 2); (in, out, *kernel, 2) if transposed."""
    if weight.dim() < 3 or weight.shape[-1] != 2:
        raise GantoolsError(
            f"A complex weight is stored as (out, in, ..., 2), and this has shape {tuple(weight.shape)}: "
            "add the last axis."
        )
    area = math.prod(weight.shape[2:-1])
    first, second = weight.shape[0] * area, weight.shape[1] * area
    return (first, second) if transposed else (second, first)


def complex_normal_(weight: Tensor, variance: float, rng: torch.Generator | None = None) -> Tensor:
    r"""Draw weights (..., 2) with Rayleigh modulus, uniform phase and $E|W|^2$ = `variance`; return them."""
    return nn.init.normal_(weight, std=math.sqrt(variance / 2), generator=rng)


def complex_independent_(weight: Tensor, variance: float, rng: torch.Generator | None = None) -> Tensor:
    r"""Make the weights the columns of a semi-unitary matrix, each part rescaled to the variance `variance` / 2.

    As in the code of arXiv:1705.09792: kernels of k numbers are the rows of a random complex (out * in, k) matrix, that
    is replaced by the semi-unitary one nearest to it (from its SVD); a linear layer's is (out, in) itself.
    """
    numbers = weight.shape[:-1]
    rows = numbers[0] if len(numbers) == 2 else numbers[0] * numbers[1]
    draw = torch.randn(rows, math.prod(numbers) // rows, 2, generator=rng, dtype=torch.float64)
    left, _, right = torch.linalg.svd(torch.view_as_complex(draw), full_matrices=False)
    parts = torch.view_as_real(left @ right).reshape(weight.shape)
    scale = parts.square().mean(tuple(range(parts.dim() - 1))).rsqrt() * math.sqrt(variance / 2)
    with torch.no_grad():
        return weight.copy_(parts * scale)


def complex_he_(
    weight: Tensor, rng: torch.Generator | None = None, transposed: bool = False, independent: bool = False
) -> Tensor:
    r"""Draw weights with He's variance for rectified parts, $E|W|^2 = 2/n_{in}$ (arXiv:1705.09792, section 3.6).

    Raises:
        GantoolsError: for a weight that is not stored as (out, in, ..., 2).
    """
    draw = complex_independent_ if independent else complex_normal_
    return draw(weight, 2 / fans(weight, transposed)[0], rng)


def complex_glorot_(
    weight: Tensor, rng: torch.Generator | None = None, transposed: bool = False, independent: bool = False
) -> Tensor:
    r"""Draw weights with Glorot's variance, $E|W|^2 = 2/(n_{in} + n_{out})$ (arXiv:1705.09792, section 3.6).

    Raises:
        GantoolsError: for a weight that is not stored as (out, in, ..., 2).
    """
    draw = complex_independent_ if independent else complex_normal_
    return draw(weight, 2 / sum(fans(weight, transposed)), rng)
