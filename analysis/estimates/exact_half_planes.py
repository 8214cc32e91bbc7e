"""Counts of a whole non-symmetric matrix's eigenvalues in each half-plane, and of those that rounding leaves open."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gantools.analysis.eigen.uncertainty import negligible, values_and_errors
from gantools.analysis.estimates.index_result import IndexCurve
from gantools.analysis.estimates.inertia import gap_tolerance

Array = NDArray[Any]


def real_parts(matrix: Array, epsilon: float) -> tuple[Array, Array, Array]:
    r"""Return the eigenvalues' real parts (n,), the errors (n,) of these, and whether each may count as neutral (n,).

    A real part within its error, the rounding of the matrix times the eigenvalue's condition number, is neutral where
    that error is no more than rounding (`negligible`). Structural zeros are recognised by the gap in the moduli
    (`gap_tolerance`), which bounds their errors too; there is no such gap in the real parts of values that rotate.

    Args:
        matrix: (n, n).
        epsilon: of the dtype in which the matrix was computed.
    """
    values, errors = values_and_errors(matrix, epsilon)
    sizes, real = np.abs(values), np.real(values)
    gap = gap_tolerance(sizes, epsilon)[0]
    zeros = sizes <= gap
    errors = np.where(zeros, np.minimum(errors, gap), errors)
    close = np.abs(real) <= errors
    return real, errors, zeros | (close & (errors <= negligible(epsilon, float(sizes.max()))))


def counted(real: Array, errors: Array, neutral: Array, tol: float | None) -> tuple[dict[str, int], int, float, str]:
    """Count what `real_parts` returned: certain counts by name, undecided ones, the tolerance, and the reason in words.

    Args:
        real: (n,).
        errors: (n,).
        neutral: (n,) bool; used without a tolerance.
        tol: size up to which a real part counts as zero, or None for its own error.
    """
    if tol is not None:
        tau, reason = tol, "That tolerance was asked for."
        zero = np.abs(real) + errors <= tol
        negative, positive = real + errors < -tol, real - errors > tol
    else:
        zero, tau = neutral, float(np.maximum(errors, np.abs(real))[neutral].max(initial=0.0))
        negative, positive = (real < -errors) & ~neutral, (real > errors) & ~neutral
        reason = "Real parts within the rounding of their eigenvalues count as zero."
    counts = {"negative": int(negative.sum()), "zero": int(zero.sum()), "positive": int(positive.sum())}
    open_ones = ~(negative | zero | positive)
    if open_ones.any():
        far = "zero" if not tol else f"{tol:.1e}"
        reason += (
            f" {int(open_ones.sum())} are undecided: rounding times condition number, up to "
            f"{errors[open_ones].max():.1e}, exceeds the distance of their real parts from {far}."
        )
    return counts, int(open_ones.sum()), tau, reason


def bounded_curve(real: Array, errors: Array, taus: Array) -> IndexCurve:
    """Return bounds on the fractions at every tolerance (t,), from real parts (n,) and their errors (n,)."""

    def shares(low: Array, high: Array) -> Array:
        return np.stack([np.searchsorted(np.sort(edge), -taus, side="left") for edge in (low, high)], axis=1) / len(
            real
        )

    negative, positive = shares(real + errors, real - errors), shares(errors - real, -errors - real)
    least = np.searchsorted(np.sort(np.abs(real) + errors), taus, side="right") / len(real)
    most = 1 - negative[:, 0] - positive[:, 0]
    return IndexCurve(taus, negative, np.stack([np.minimum(least, most), most], axis=1), positive)
