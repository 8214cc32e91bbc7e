r"""Bounds on the eigenvalues in each half-plane, for non-symmetric operators too large for their whole matrix.

No law of inertia counts them from products alone. Two facts bound them: eigenvalues that converged at either end of the
real axis exist; and all real parts lie between the least and the largest eigenvalue of $S = (A + A^\top)/2$ (Bendixson
1902), which often decides everything at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gantools.analysis.eigen.eigenvalues import eigenvalues
from gantools.analysis.eigen.spectrum import Spectrum
from gantools.analysis.estimates.index_result import NAMES, Index, Interval
from gantools.analysis.krylov.gram_schmidt import ROUNDING
from gantools.analysis.nonnormal.condition import conditions
from gantools.analysis.operators.algebra import symmetric_part
from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.errors import GantoolsError

Array = NDArray[Any]

ENDS = ("SR", "LR")
BOX = {"SA": -1, "LA": 1}
PRODUCTS = 1000
# Residual times condition number bounds an error to first order only.
CAUTION = 10.0
# The condition number assumed where there is no transpose to compute it from.
UNKNOWN_CONDITION = 1e3


@dataclass(frozen=True)
class _End:
    """Eigenvalues at one end of the real axis, outermost first.

    Attributes:
        real: (k,) real parts.
        margin: (k,) bounds on their errors, infinite where no condition number was looked for.
        error: (k,) bounds on their errors as if the operator were normal.
        converged: (k,) bool.
        rightmost: whether it is the right end.
        products: with A and its transpose.
    """

    real: Array
    margin: Array
    error: Array
    converged: Array
    rightmost: bool
    products: int

    def certain(self, tau: float, sign: int) -> Array:
        """Return a mask (k,) of the eigenvalues that certainly lie beyond tau on the side of this sign."""
        return self.converged & (sign * self.real - self.margin > tau)

    def beyond(self, tau: float, n: int) -> int | None:
        """Return how many lie beyond tau at this end if none was missed; None where the ones found do not decide it."""
        outward = self.real if self.rightmost else -self.real
        found = int(np.append(self.converged, False).argmin())
        if (np.abs(outward[:found] - tau) <= self.error[:found]).any():
            return None
        if found == n or (found and outward[found - 1] <= tau):
            return int((outward[:found] > tau).sum())
        return None

    def not_opposite(self, tau: float) -> int | None:
        """Return how many do not lie beyond tau at the other end, if none was missed and the ones found reach there."""
        outward = self.real if self.rightmost else -self.real
        found = int(np.append(self.converged, False).argmin())
        if (np.abs(outward[:found] + tau) <= self.error[:found]).any():
            return None
        return int((outward[:found] >= -tau).sum()) if found and outward[found - 1] < -tau else None


def leading_half_planes(
    A: LinearOperator, tol: float | None, k: int, confidence: float, seed: int, zero_rows: int
) -> Index:
    r"""Bound how many eigenvalues have real parts below $-\tau$, within, and above $\tau$.

    The box of Bendixson comes first; where it decides everything no eigenvalue is computed. Otherwise an eigenvalue is
    certain where its real part is beyond $\tau$ by ten times its error, the residual times the condition number $1 /
    |y^* x|$ from the left eigenvector y; without a transpose, by a thousand times the residual.

    Args:
        A: not symmetric; without a transpose there is no box.
        tol: $\tau$, by default 32 eps times the largest |A v| seen.
        k: how many eigenvalues at each end.
        confidence: see `index`.
        seed: see `index`.
        zero_rows: rows of A that are zero, each of which makes an eigenvalue zero.
    """
    if k < 1:
        raise GantoolsError(f"k = {k} leaves no eigenvalue to look at: ask for at least 1 at each end.")
    relative = 32 * A.precision
    box, scale, products = _bendixson(A, relative, tol, seed) if A.has_transpose else (None, 0.0, 0)
    tau = relative * scale if tol is None else tol
    spectra: list[Spectrum] = []
    ends: list[_End] = []
    certain = {"negative": 0, "positive": 0}
    low, high = _bounds(certain, box, tau, A.n, zero_rows)
    if low != high:
        spectra = [eigenvalues(A, min(k, A.n), which, max_matvecs=PRODUCTS, seed=seed, guard=False) for which in ENDS]
        scale = max(scale, *(s.scale for s in spectra))
        tau = relative * scale if tol is None else tol
        ends = [_end(A, s, tau) for s in spectra]
        certain = {name: _certain(ends, tau, sign) for name, sign in (("negative", -1), ("positive", 1))}
        low, high = _bounds(certain, box, tau, A.n, zero_rows)
    counts = low if low == high else None
    shares = {name: low[name] / A.n for name in NAMES} if counts else _if_none_missed(ends, tau, A.n, low, high)
    return Index(
        negative=shares["negative"],
        zero=shares["zero"],
        positive=shares["positive"],
        interval={name: (low[name] / A.n, high[name] / A.n) for name in NAMES},
        tolerance=tau,
        method="leading",
        counts=counts,
        symmetric=False,
        n=A.n,
        matvecs=sum(end.products for end in ends) + products + 1,
        confidence=confidence,
        seed=seed,
        message=_message(spectra, ends, certain, box, counts, tau, A.n),
        certain={name: low[name] for name in certain},
        zero_rows=zero_rows,
        box=box,
        scale=scale,
    )


def _end(A: LinearOperator, s: Spectrum, tau: float) -> _End:
    """Return the result of one search, with left eigenvectors only where they can make a value certain."""
    real, residuals = s.values.real.numpy(), s.residuals.numpy()
    numbers, products = np.full(len(s), UNKNOWN_CONDITION / CAUTION), s.matvecs + s.check_matvecs
    if A.has_transpose:
        numbers = np.full(len(s), np.inf)
        if (s.converged.numpy() & (np.abs(real) - CAUTION * residuals > tau)).any():
            found = conditions(A, s, max_matvecs=PRODUCTS)
            numbers, products = np.nan_to_num(found.numbers.numpy(), nan=np.inf), products + found.matvecs
    with np.errstate(invalid="ignore", over="ignore"):
        margin = np.nan_to_num(CAUTION * numbers * np.maximum(residuals, 1e-300), nan=np.inf)
    return _End(real, margin, CAUTION * residuals, s.converged.numpy(), s.which == "LR", products)


def _bendixson(A: LinearOperator, relative: float, tol: float | None, seed: int) -> tuple[Interval, float, int]:
    """Return the interval that holds all real parts, the largest |A v| seen, and the products spent.

    An end is infinite where its search did not settle: its residual, by which it is moved outwards, is above a tenth of
    it and of the tolerance. An end that proves something is searched for twice, from independent starts: an eigenvalue
    hidden from one start is not hidden from the other.
    """
    S, generator = symmetric_part(A), torch.Generator().manual_seed(seed)
    u = A.space.normal(A.dtype, A.device, generator)
    scale = float(A.space.norm((A @ u).double()) / A.space.norm(u.double()))
    first = [_outermost(S, which, seed) for which in BOX]
    scale = max(scale, *(s.scale for s in first))
    rounding = ROUNDING * A.precision * scale
    tau = relative * scale if tol is None else tol
    box = []
    for (which, sign), found in zip(BOX.items(), first, strict=True):
        end, settled = -math.inf, True
        for s in (found, None):
            if s is None and end > tau:
                break
            s = s or _outermost(S, which, seed + 1)
            value, residual = float(s.values[0]), float(s.residuals[0])
            end = max(end, sign * value + residual + rounding)
            settled &= residual <= 0.1 * max(abs(value), tau)
        box.append(sign * (end if settled else math.inf))
    return (box[0], box[1]), scale, 2 * S.matvecs + 1


def _outermost(S: LinearOperator, which: str, seed: int) -> Spectrum:
    # A few digits will do, since the residual is allowed for. The edge of a spectrum is dense: a large basis pays.
    basis, limit = min(40, S.n), PRODUCTS // 2
    return eigenvalues(S, 1, which, tol=1e-3, seed=seed, basis=basis, max_matvecs=limit, vectors=False, guard=False)


def _certain(ends: list[_End], tau: float, sign: int) -> int:
    """Count the certain eigenvalues: at both ends where these share none, else at the end with more."""
    left, right = (end.certain(tau, sign) for end in ends)
    if not (left.any() and right.any()):
        return int(left.sum() + right.sum())
    inner = (ends[0].real + ends[0].margin)[left].max(), (ends[1].real - ends[1].margin)[right].min()
    return int(left.sum() + right.sum() if inner[0] < inner[1] else max(left.sum(), right.sum()))


def _bounds(
    certain: dict[str, int], box: Interval | None, tau: float, n: int, zero_rows: int
) -> tuple[dict[str, int], dict[str, int]]:
    """Return the least and the greatest counts by name that are compatible with all that is known."""
    least, largest = box or (-math.inf, math.inf)
    low = {"negative": certain["negative"], "zero": zero_rows, "positive": certain["positive"]}
    high = {"negative": 0 if least >= -tau else n, "zero": n, "positive": 0 if largest <= tau else n}
    if least > tau or largest < -tau:
        high["zero"] = 0
    if least > tau:
        high["negative"] = 0
    if largest < -tau:
        high["positive"] = 0
    high = {name: max(min(high[name], n - sum(low.values()) + low[name]), 0) for name in NAMES}
    low = {name: min(max(low[name], n - sum(high.values()) + high[name]), high[name]) for name in NAMES}
    return low, high


def _if_none_missed(
    ends: list[_End], tau: float, n: int, low: dict[str, int], high: dict[str, int]
) -> dict[str, float]:
    """Return the fractions that follow if the searches missed nothing, NaN where nothing follows."""
    found: dict[str, int] = {}
    for name, own, other in (("negative", *ends), ("positive", *reversed(ends))):
        count, rest = own.beyond(tau, n), other.not_opposite(tau)
        if low[name] == high[name]:
            count = low[name]
        elif count is None and rest is not None:
            count = n - rest
        if count is not None:
            found[name] = min(max(count, low[name]), high[name])
    if len(found) == 2:
        found["zero"] = n - sum(found.values())
    return {name: found[name] / n if name in found else math.nan for name in NAMES}


def _message(
    spectra: list[Spectrum],
    ends: list[_End],
    certain: dict[str, int],
    box: Interval | None,
    counts: dict[str, int] | None,
    tau: float,
    n: int,
) -> str:
    words = []
    if box is not None:
        decided = ", which decides it" if counts else ""
        words.append(f"All real parts lie in [{box[0]:.3g}, {box[1]:.3g}] (Bendixson){decided}.")
    if counts:
        return " ".join(words)
    words.append(
        f"Of {len(ends[0].real)} leftmost and {len(ends[1].real)} rightmost eigenvalues {certain['negative']} are "
        f"certainly in the left half-plane and {certain['positive']} in the right one."
    )
    for s, end, side in zip(spectra, ends, ("left", "right"), strict=True):
        count = end.beyond(tau, n)
        if count is not None:
            words.append(f"If the search for the {side}most omitted none, exactly {count} are in the {side} one.")
        elif end.converged.all():
            words.append(f"All of the {side}most found are in the {side} one: there may be more, and k= finds more.")
        if not end.converged.all():
            words.append(f"{int((~end.converged).sum())} of the {side}most did not converge ({s.matvecs} products).")
    return " ".join(words)
