r"""The kernel polynomial method: a spectral density independent of Lanczos, to check one against the other."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from gantools.analysis.estimates.density import Density
from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.errors import GantoolsError
from gantools.random_vectors import normal_columns


def kernel_polynomial(
    A: LinearOperator, grid: Tensor, moments: int = 160, probes: int = 10, seed: int = 0
) -> tuple[Tensor, Tensor]:
    r"""Return a density (points,) and distribution function (points,) on the grid, from Chebyshev moments.

    $\mu_j = \frac1n \mathrm{tr}\, T_j(\tilde A)$ by random probes, damped by Jackson's kernel, which keeps the density
    positive (Weisse et al., Rev. Mod. Phys. 78, 2006). Two moments come from each product. The resolution is about
    $\pi / $ moments of the half-width.

    Args:
        A: a symmetric operator, whose spectrum must lie within the grid.
        grid: (points,) ascending, such as that of `spectral_density`.
        moments: Chebyshev moments; moments / 2 * probes products are spent.
        probes: random vectors, in lock-step.
        seed: of the random vectors.

    Raises:
        GantoolsError: for a non-symmetric operator, and a spectrum that leaves the grid.
    """
    if not A.symmetric:
        raise GantoolsError("The kernel polynomial method needs a symmetric operator.")
    x = grid.numpy().astype(float)
    middle, half = (x[0] + x[-1]) / 2, (x[-1] - x[0]) / 2
    mu = _moments(A, middle, half, moments, probes, seed)
    j = np.arange(moments)
    step = np.pi / (moments + 1)
    jackson = ((moments - j + 1) * np.cos(step * j) + np.sin(step * j) / np.tan(step)) / (moments + 1)
    damped = jackson * mu
    angle = np.arccos(np.clip((x - middle) / half, -1, 1))
    cosines = np.cos(j[:, None] * angle)
    with np.errstate(divide="ignore", invalid="ignore"):
        density = (damped[0] + 2 * damped[1:] @ cosines[1:]) / (np.pi * np.sin(angle) * half)
    density[[0, -1]] = 0.0
    # The integral of T_j over the Chebyshev weight is known: no quadrature on the grid.
    share = (damped[0] * (np.pi - angle) - 2 * (damped[1:] / j[1:]) @ np.sin(j[1:, None] * angle)) / np.pi
    return torch.from_numpy(density), torch.from_numpy(share)


def _moments(A: LinearOperator, middle: float, half: float, moments: int, probes: int, seed: int) -> np.ndarray:
    generator = torch.Generator().manual_seed(seed)
    start = normal_columns(A.n, probes, A.dtype, A.device, generator)
    total = float(start.double().square().sum())
    before, now = start, (A @ start - middle * start) / half
    mu = [1.0, float((start * now).sum(dtype=torch.float64)) / total]
    while len(mu) < moments:
        # T_2k = 2 T_k^2 - 1 and T_2k+1 = 2 T_k+1 T_k - T_1: two moments from one product.
        mu.append(2 * float((now * now).sum(dtype=torch.float64)) / total - 1.0)
        before, now = now, 2 * (A @ now - middle * now) / half - before
        mu.append(2 * float((now * before).sum(dtype=torch.float64)) / total - mu[1])
        if not np.abs(mu[-2:]).max() < 1.5:
            raise GantoolsError(
                "The spectrum leaves the grid, or a product is not finite: give a grid that holds all eigenvalues, "
                "such as spectral_density(A).grid."
            )
    return np.array(mu[:moments])


def cross_check(A: LinearOperator, density: Density, moments: int = 160, probes: int = 10, seed: int = 1) -> float:
    """Return by how much, at most, the kernel polynomial distribution function leaves the envelope of `density`.

    It is blurred by its resolution, so it is compared with the envelope within that distance of each point. About the
    statistical error of the probes, 1 / sqrt(probes n), is to be expected; much more means that one is wrong.
    """
    _, share = kernel_polynomial(A, density.grid, moments, probes, seed)
    grid, blur = density.grid.numpy(), np.pi * float(density.grid[-1] - density.grid[0]) / moments
    left = np.clip(np.searchsorted(grid, grid - blur) - 1, 0, None)
    right = np.clip(np.searchsorted(grid, grid + blur), None, len(grid) - 1)
    over = share.numpy() - density.upper.numpy()[right]
    under = density.lower.numpy()[left] - share.numpy()
    return float(max(over.max(), under.max(), 0.0))
