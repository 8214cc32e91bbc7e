"""Inertia: how many eigenvalues are negative, zero and positive, and how surely."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gantools.analysis.dense import assemble
from gantools.analysis.linear_operator import LinearOperator
from gantools.analysis.quadrature import ProbeMeasure, fraction_interval, pooled, probe_measures
from gantools.errors import GantoolsError

Array = NDArray[Any]
Interval = tuple[float, float]

NAMES = ("negative", "zero", "positive")


@dataclass(frozen=True)
class Index:
    """Fractions of eigenvalues below -tolerance, within it, and above it.

    For a non-symmetric operator the same of their real parts: left half-plane, neutral, right half-plane.

    Attributes:
        negative, zero, positive: fractions, which sum to one.
        interval: by those names, (low, high): a point if exact, else covering with probability `confidence`, each
            interval by itself.
        tolerance: what counts as zero, in eigenvalue units.
        method: "exact" or "estimate".
        counts: by those names, if exact, else None.
        n, matvecs, confidence, seed: order, products spent, and what it was made with.
        message: how the tolerance was chosen.
    """

    negative: float
    zero: float
    positive: float
    interval: dict[str, Interval]
    tolerance: float
    method: str
    counts: dict[str, int] | None
    symmetric: bool
    n: int
    matvecs: int
    confidence: float
    seed: int
    message: str

    def __str__(self) -> str:
        places = NAMES if self.symmetric else ("in the left half-plane", "neutral", "in the right half-plane")
        parts = []
        for name, place in zip(NAMES, places, strict=True):
            low, high = self.interval[name]
            if self.counts is not None:
                parts.append(f"{self.counts[name]} {place} ({getattr(self, name):.2%})")
            else:
                parts.append(f"{getattr(self, name):.2%} {place} ({low:.2%} to {high:.2%})")
        sure = "" if self.counts is not None else f", intervals at {self.confidence:.0%}"
        return f"Of {self.n} eigenvalues: {', '.join(parts)}{sure}. {self.message}"


def index(
    A: LinearOperator,
    tol: float | None = None,
    method: str = "auto",
    probes: int = 10,
    steps: int | None = None,
    max_exact: int = 4096,
    confidence: float = 0.95,
    seed: int = 0,
) -> Index:
    r"""Count the negative, zero and positive eigenvalues of a symmetric operator: all of them, or by estimate.

    Exact: the whole matrix, `eigvalsh` in float64. Estimate: Lanczos quadrature; per probe a Gauss-Radau bracket of the
    mass below $-\tau$ and above $\tau$, which holds whatever the number of steps, and the exact law of the pooled
    probes for the rest (see `quadrature`). More steps narrow it most: the width falls like 1 / steps.

    Args:
        A: the operator. If not symmetric, the whole matrix is used and real parts are counted.
        tol: $\tau$, what counts as zero, absolute. By default, if exact, from the gap between the structural zeros
            and the rest (`gap_tolerance`); if estimated, max(1e-6, 32 eps) times the largest |eigenvalue| seen.
        method: "exact", "estimate", or "auto": exact up to n = `max_exact`.
        probes, steps: of the estimate; steps default to 160. They cost probes * steps products.
        confidence: of each interval.

    Raises:
        GantoolsError: for an unknown method, an update map (its eigenvalues are judged by the unit circle), and a
            non-symmetric operator too large for its whole matrix.
    """
    if method not in ("auto", "exact", "estimate"):
        raise GantoolsError(f"Unknown method {method!r} of index: use 'auto', 'exact' or 'estimate'.")
    if not 0 < confidence < 1:
        raise GantoolsError(f"confidence = {confidence} is not a probability: give one between 0 and 1, such as 0.95.")
    if tol is not None and not tol >= 0:
        raise GantoolsError(
            f"tol = {tol} is negative: give the absolute size below which an eigenvalue counts as zero."
        )
    if A.kind == "map":
        raise GantoolsError(
            "The eigenvalues of an update map are judged by the unit circle: use stability(spectrum(U))."
        )
    if not A.symmetric and (method == "estimate" or (method == "auto" and A.n > max_exact)):
        raise GantoolsError(
            f"Half-planes of a non-symmetric operator are counted from the whole matrix only, and n = {A.n} "
            f"(max_exact = {max_exact}): raise max_exact=, or take each player's Hessian, or eigenvalues(which='SR')."
        )
    if method == "exact" or (method == "auto" and max_exact >= A.n):
        return _exact(A, tol, max(max_exact, A.n if method == "exact" else 0), confidence, seed)
    return _estimate(A, tol, probes, min(steps or 160, A.n), confidence, seed)


def gap_tolerance(magnitudes: Array, epsilon: float, scale: float | None = None) -> tuple[float, str]:
    r"""Return what counts as zero among eigenvalues of these sizes, and the reason in words.

    The textbook tolerance $n \epsilon \|A\|$ bounds rounding at its worst and swallows genuine small eigenvalues in
    float32 (31 of 1 491 in a trained network); 0 splits the structural zeros at random. But rounded zeros end well
    below that bound, and the genuine eigenvalues mostly begin well above: the tolerance is put in the widest gap, on a
    logarithmic scale, whose lower side can still be rounding, of products, $\epsilon \|A\|_F$, or of LAPACK,
    $n \epsilon_{64} \|A\|_F$, and is below $10^{-5} \|A\|$. Sizes below $\epsilon \|A\| / 8$ are not told
    apart. A gap below a factor of 10 proves nothing: then $4 \epsilon \|A\|$ is taken. No rule can recognise a genuine
    eigenvalue that is itself as small as rounding.

    Args:
        magnitudes: (n,), nonnegative.
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
        tau = 4 * epsilon * scale
        return tau, f"Sizes up to {tau:.1e} count as zero, 4 eps times the largest: no gap sets zeros apart."
    tau = max(float(np.sqrt(lower[widest] * min(upper[widest], 1e-5 * scale))), float(lower[widest]))
    return tau, (
        f"Sizes up to {tau:.1e} count as zero: between {lower[widest]:.1e}, still rounding, and {upper[widest]:.1e} "
        "there is no eigenvalue."
    )


def _exact(A: LinearOperator, tol: float | None, limit: int, confidence: float, seed: int) -> Index:
    matrix = assemble(A, limit)
    values = np.linalg.eigvalsh(matrix) if A.symmetric else np.linalg.eigvals(matrix).real
    tau, reason = gap_tolerance(np.abs(values), float(torch.finfo(A.dtype).eps))
    if tol is not None:
        tau, reason = tol, f"Sizes up to {tol:.1e} count as zero, as asked."
    counts = {"negative": int((values < -tau).sum()), "positive": int((values > tau).sum())}
    counts["zero"] = A.n - counts["negative"] - counts["positive"]
    shares = {name: counts[name] / A.n for name in NAMES}
    interval = {name: (shares[name], shares[name]) for name in NAMES}
    return Index(
        **shares,
        interval=interval,
        tolerance=tau,
        method="exact",
        counts={name: counts[name] for name in NAMES},
        symmetric=A.symmetric,
        n=A.n,
        matvecs=A.n,
        confidence=confidence,
        seed=seed,
        message=reason,
    )


def _estimate(A: LinearOperator, tol: float | None, probes: int, steps: int, confidence: float, seed: int) -> Index:
    measures, scale, products = probe_measures(A, probes, steps, seed)
    tau = max(1e-6, 32 * float(torch.finfo(A.dtype).eps)) * scale if tol is None else tol
    tau = tau or float(np.finfo(float).tiny)
    below = np.array([measure.bracket(-tau) for measure in measures])
    upto = np.array([measure.bracket(tau) for measure in measures])
    shares = {
        "negative": below,
        "zero": np.stack([np.maximum(upto[:, 0] - below[:, 1], 0.0), upto[:, 1] - below[:, 0]], axis=1),
        "positive": 1.0 - upto[:, ::-1],
    }
    known = _certified(measures, tau)
    middle, interval = {}, {}
    for name, bounds in shares.items():
        low, high = pooled(measures, bounds)
        bottom, top = fraction_interval(np.array(low), np.array(high), A.n, probes, confidence)
        bottom = max(float(bottom), known.get(name, 0) / A.n)
        interval[name] = (bottom, max(float(top), bottom))
        middle[name] = float((low + high) / 2)
    middle["zero"] = max(0.0, 1.0 - middle["negative"] - middle["positive"])
    return Index(
        **middle,
        interval=interval,
        tolerance=tau,
        method="estimate",
        counts=None,
        symmetric=True,
        n=A.n,
        matvecs=products,
        confidence=confidence,
        seed=seed,
        message=f"Sizes up to {tau:.1e} count as zero; estimated from {probes} probes of {steps} steps: more steps "
        "narrow it.",
    )


def _certified(measures: list[ProbeMeasure], tau: float) -> dict[str, int]:
    """Return how many eigenvalues lie beyond -tau and tau at least: Ritz values interlace (Cauchy)."""
    negative = max(int((measure.nodes < -tau - measure.margin).sum()) for measure in measures)
    positive = max(int((measure.nodes > tau + measure.margin).sum()) for measure in measures)
    return {"negative": negative, "positive": positive}
