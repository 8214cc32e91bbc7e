r"""Gauss-Radau rules with one prescribed node, many at once and without an eigenvalue problem.

A rule's weights left of its node $x$ follow from the resolvent $m(z) = e_1^\top (z - T)^{-1} e_1$ of its Jacobi matrix
T, a continued fraction: $\frac2\pi \int_0^\infty \mathrm{Re}\, m(x + i y)\, dy$ is the mass below x minus that above.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

# The integral over log y by the trapezoidal rule, whose error is 2 exp(-pi^2 / STEP) of each weight; and the range of y
# in units of the matrix. The rule's own node is met to its rounding, well within the nearest y; other nodes are told
# from it at a thousand times the nearest.
STEP, NEAREST, FARTHEST = 0.46, 1e-14, 1e3
TINY = 1e-30  # a pivot in place of 0
AT_ONCE = 128  # points whose work stays within a processor's cache


def radau_masses(diagonal: Array, off_diagonal: Array, points: Array) -> tuple[Array, Array]:
    """Return the masses left of each point and at it, of the Gauss-Radau rules with a node there.

    The bounds of Chebyshev, Markov and Stieltjes: every measure with this Jacobi matrix has at least the first below
    the point, and at most their sum up to it. A last coupling of 0 means that the measure is the rule itself.

    Args:
        diagonal: (m,), of the Jacobi matrix.
        off_diagonal: (m,), the last entry couples to the vector that was not added.
        points: (p,).

    Returns:
        Both (p,), to about 1e-9 of each node's weight, of the mass at the point to 1 %.
    """
    size = float((np.abs(diagonal) + off_diagonal + np.append(0.0, off_diagonal[:-1])).max())
    unit = max(size, float(np.abs(points).max(initial=0.0))) or 1.0
    diagonal, squares, points = diagonal / unit, (off_diagonal / unit) ** 2, points / unit
    parts = [points[start : start + AT_ONCE] for start in range(0, len(points), AT_ONCE)]
    both = [_masses(diagonal, squares, part) for part in parts]
    below, at = (np.concatenate(part) for part in zip(*both, strict=True))
    return np.clip(below, 0.0, 1.0), np.clip(at, 0.0, 1.0)


def _masses(diagonal: Array, squares: Array, points: Array) -> tuple[Array, Array]:
    corner = squares[-1] / _last_pivot(diagonal, squares, points)
    count = int(np.ceil(np.log(FARTHEST / NEAREST) / STEP)) + 1
    heights = NEAREST * np.exp(STEP * np.arange(count))[:, None]
    # The continued fraction z - T from its last entry upwards, z = point + i height, in real and imaginary parts.
    real, imaginary = np.tile(-corner, (count, 1)), np.tile(heights, (1, len(points)))
    ratio, square = np.empty_like(real), np.empty_like(real)
    for entry, coupling in zip(diagonal[::-1], squares[::-1], strict=True):
        np.multiply(real, real, out=ratio)
        np.multiply(imaginary, imaginary, out=square)
        ratio += square
        np.divide(coupling, ratio, out=ratio)
        imaginary *= ratio
        imaginary += heights
        real *= ratio
        np.subtract(points - entry, real, out=real)
    modulus = real**2 + imaginary**2
    # Beyond both ends the integrand falls geometrically, so that the end terms stand for the rest as well.
    weights = np.full((count, 1), STEP)
    weights[[0, -1]] *= np.exp(STEP) / np.expm1(STEP)
    difference = 2 / np.pi * (weights * heights * real / modulus).sum(axis=0)
    at = heights[0] * imaginary[0] / modulus[0]
    return (1.0 + difference - at) / 2, at


def _last_pivot(diagonal: Array, squares: Array, points: Array) -> Array:
    """Return the last pivot (p,) of T - x by elimination, never 0: the corner of the Radau rule follows from it."""
    pivot = np.full_like(points, np.inf)
    for entry, coupling in zip(diagonal, np.append(0.0, squares[:-1]), strict=True):
        pivot = entry - points - coupling / pivot
        pivot = np.where(np.abs(pivot) < TINY, TINY, pivot)
    return pivot
