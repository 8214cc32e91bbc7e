"""Counts of negative, zero and positive eigenvalues of a whole matrix, and the tolerance for zero."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import ldl

from gantools.errors import GantoolsError

Array = NDArray[Any]


def counts_from_factors(matrix: Array, tau: float) -> dict[str, int]:
    r"""Count the eigenvalues of a symmetric matrix (n, n) below -tau, within, and above tau, without computing them.

    Sylvester's law of inertia: $A + \tau I = L D L^\top$ has as many negative eigenvalues as D, whose blocks are 1 x 1
    and 2 x 2 (Bunch and Kaufman 1977). Two factorisations instead of one eigenvalue problem: several times faster.

    Raises:
        GantoolsError: for tau = 0, where rounding alone decides on which side an exact zero falls.
    """
    if not tau > 0:
        raise GantoolsError("Counting by factors needs tol= > 0: at 0 rounding decides where exact zeros fall.")
    shift = tau * np.eye(len(matrix))
    negative = _negative_pivots(matrix + shift)
    not_positive = _negative_pivots(matrix - shift)
    return {"negative": negative, "zero": not_positive - negative, "positive": len(matrix) - not_positive}


def _negative_pivots(matrix: Array) -> int:
    _, blocks, _ = ldl(matrix, lower=True, overwrite_a=True, check_finite=False)
    # A 2 x 2 pivot is indefinite: one eigenvalue on each side, whatever its diagonal.
    below = np.diag(blocks, -1) != 0.0
    paired = np.append(below, False) | np.append(False, below)
    return int(below.sum()) + int((np.diag(blocks)[~paired] < 0.0).sum())


def finest_tolerance(epsilon: float, scale: float) -> float:
    """Return the size below which no eigenvalue is told from zero where no gap sets zeros apart: 4 eps the largest."""
    return 4 * epsilon * scale


def gap_tolerance(magnitudes: Array, epsilon: float, scale: float | None = None) -> tuple[float, str]:
    r"""Return the size up to which an eigenvalue counts as zero, and the reason in words.

    The textbook tolerance $n \epsilon \|A\|$ bounds rounding at its worst and swallows genuine small eigenvalues in
    float32 (31 of 1 491 in a trained network); 0 splits the structural zeros at random. But rounded zeros end well
    below that bound, and the genuine eigenvalues mostly begin well above: the tolerance is put in the widest gap, on a
    logarithmic scale, whose lower side can still be rounding, of products, $\epsilon \|A\|_F$, or of LAPACK,
    $n \epsilon_{64} \|A\|_F$, and is below $10^{-5} \|A\|$. Sizes below $\epsilon \|A\| / 8$ are not told
    apart. A gap below a factor of 10 proves nothing: then $4 \epsilon \|A\|$ is taken. No rule can recognise a genuine
    eigenvalue that is itself as small as rounding.

    Args:
        magnitudes: (n,), sizes of the eigenvalues.
        epsilon: of the products' dtype.
        scale: what rounding is relative to, by default the largest magnitude.
    """
    scale = float(magnitudes.max()) if scale is None else scale
    if scale == 0.0:
        return 0.0, "All eigenvalues are exactly zero."
    norm = max(float(np.linalg.norm(magnitudes)), scale)
    rounding = min((epsilon + len(magnitudes) * float(np.finfo(float).eps)) * norm, 1e-5 * scale)
    floor = epsilon * scale / 8
    sizes = np.concatenate([[floor], np.maximum(np.sort(magnitudes), floor)])
    lower, upper = sizes[:-1], sizes[1:]
    ratios = np.where(lower <= rounding, upper / lower, 1.0)
    widest = int(ratios.argmax())
    if ratios[widest] < 10.0:
        tau = finest_tolerance(epsilon, scale)
        return tau, "That is 4 eps times the largest: no gap sets zeros apart."
    tau = max(float(np.sqrt(lower[widest] * min(upper[widest], 1e-5 * scale))), float(lower[widest]))
    return tau, (f"No size lies between {lower[widest]:.1e}, still rounding, and {upper[widest]:.1e}.")
