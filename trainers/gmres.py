"""GMRES: a linear system whose matrix is known by its products, solved where its vectors live."""

from collections.abc import Callable

import torch
from torch import Tensor


def gmres(product: Callable[[Tensor], Tensor], b: Tensor, tolerance: float, iterations: int) -> tuple[Tensor, Tensor]:
    r"""Solve $A x = b$ from $x = 0$ without restarts (Saad and Schultz 1986).

    Args:
        product: u (n,) -> A u (n,).
        b: (n,).
        tolerance: of the residual, relative to the norm of b.
        iterations: products at most, and vectors kept.

    Returns:
        x (n,), and the residual's norm relative to that of b, a scalar tensor.
    """
    norm = b.norm()
    if not norm > 0:
        return torch.zeros_like(b), norm
    basis = [b / norm]
    projected = b.new_zeros(iterations + 1, iterations)
    y, residual, size = b.new_zeros(0), b.new_ones(()), 0
    tolerance = max(tolerance, 10 * torch.finfo(b.dtype).eps)
    while residual > tolerance and size < min(iterations, b.numel()):
        v = product(basis[-1])
        vectors = torch.stack(basis)
        for _ in range(2):  # twice is enough
            part = vectors @ v
            v = v - part @ vectors
            projected[: size + 1, size] += part
        below = v.norm()
        projected[size + 1, size] = below
        size += 1
        target = b.new_zeros(size + 1)
        target[0] = 1
        small = projected[: size + 1, :size]
        y = torch.linalg.lstsq(small, target.unsqueeze(1)).solution.squeeze(1)
        residual = (target - small @ y).norm()
        if below <= torch.finfo(b.dtype).eps * small.norm():
            break
        basis.append(v / below)
    x = norm * (y @ torch.stack(basis[:size])) if size else torch.zeros_like(b)
    return x, residual
