"""Inertia: the numbers of negative, zero and positive eigenvalues, exact or with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gantools.analysis.eigen.dense import assemble
from gantools.analysis.estimates.exact_half_planes import bounded_curve, counted, real_parts
from gantools.analysis.estimates.half_planes import leading_half_planes
from gantools.analysis.estimates.index_result import NAMES, Index, IndexCurve
from gantools.analysis.estimates.inertia import counts_from_factors, gap_tolerance
from gantools.analysis.estimates.quadrature import ProbeMeasure, fraction_interval, pooled, probe_measures
from gantools.analysis.krylov.gram_schmidt import random_vector
from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.errors import GantoolsError

Array = NDArray[Any]

METHODS = ("auto", "exact", "factors", "estimate", "leading")
CURVE_POINTS, SHARP_EVERY = 40, 3  # tolerances of a curve; which of them get a rule of their own


def index(
    A: LinearOperator,
    tol: float | None = None,
    method: str = "auto",
    probes: int | None = None,
    steps: int | None = None,
    max_exact: int = 4096,
    confidence: float = 0.95,
    seed: int = 0,
    k: int = 10,
) -> Index:
    r"""Count the negative, zero and positive eigenvalues of an operator, or bound how many there are.

    Exact: the whole matrix, LAPACK in float64; if not symmetric, real parts within the rounding of their eigenvalues
    are neutral, and where that is large, undecided (see `exact_half_planes`). Factors: the same matrix, $LDL^\top$ at
    $\pm\tau$. Estimate: Lanczos quadrature; per probe a Gauss-Radau bracket of the mass below $-\tau$ and above $\tau$,
    which holds whatever the number of steps, and the exact law of the pooled probes for the rest (see `quadrature`).
    Leading, of non-symmetric operators, which have no such law: eigenvalues at both ends, and a box around all (see
    `half_planes`).

    Args:
        A: the operator. If not symmetric, real parts are counted.
        tol: $\tau$, the size up to which an eigenvalue counts as zero, absolute. By default, if exact, from the gap
            between the structural zeros and the rest (`gap_tolerance`), or, if not symmetric, each eigenvalue's own
            error; otherwise max(1e-6, 32 eps) times the largest |eigenvalue| (of "leading", the largest |A v|) seen.
        method: "exact", "factors" (needs tol=; several times faster), "estimate" (if symmetric), "leading" (if not), or
            "auto": exact up to n = `max_exact`.
        probes: random vectors of the estimate, which costs probes * steps products. By default 1600 products, split so
            as to make the interval narrow: its width has a part that falls like 1 / steps and one like 1 / sqrt(probes
            n).
        steps: Lanczos steps from each of them.
        max_exact: largest n for which "auto" forms the whole matrix.
        confidence: of each interval that is estimated.
        seed: of the random vectors.
        k: how many leading eigenvalues at each end.

    Raises:
        GantoolsError: for an unknown method, one that is not for this operator, and an update map (its eigenvalues are
            judged by the unit circle).
    """
    _check(A, tol, method, confidence)
    if method in ("exact", "factors") or (method == "auto" and max_exact >= A.n):
        result = _whole(A, tol, max(max_exact, A.n if method != "auto" else 0), confidence, seed, method == "factors")
    elif not A.symmetric:
        result = leading_half_planes(A, tol, k, confidence, seed, _zero_rows(A, seed))
    else:
        probes, steps = split_products(A.n, probes, steps)
        result = _estimate(A, tol, probes, steps, confidence, seed)
    return replace(result, gradient_norm=getattr(A, "field_norm", None))


def _check(A: LinearOperator, tol: float | None, method: str, confidence: float) -> None:
    if method not in METHODS:
        raise GantoolsError(f"Unknown method {method!r} of index: use {', '.join(map(repr, METHODS))}.")
    if not 0 < confidence < 1:
        raise GantoolsError(f"confidence = {confidence} is not a probability: give one between 0 and 1, such as 0.95.")
    if tol is not None and not tol >= 0:
        raise GantoolsError(
            f"tol = {tol} is not a size: give the absolute size, 0 or more, up to which an eigenvalue counts as zero."
        )
    if A.kind == "map":
        raise GantoolsError(
            "The eigenvalues of an update map are judged by the unit circle: use stability(spectrum(U))."
        )
    if method == "factors" and (tol is None or not A.symmetric):
        raise GantoolsError("method='factors' counts at a given tol= and for symmetric operators: use 'exact'.")
    if method == "estimate" and not A.symmetric:
        raise GantoolsError(
            "method='estimate' is for symmetric operators: half-planes of others are counted by 'exact', or bounded by "
            "'leading'."
        )
    if method == "leading" and A.symmetric:
        raise GantoolsError("method='leading' is for non-symmetric operators: use 'estimate' for a symmetric one.")


def split_products(n: int, probes: int | None, steps: int | None, products: int = 1600) -> tuple[int, int]:
    r"""Return how many probes of how many steps make the narrowest interval of a fraction, if they are not given.

    With $m = N / R$ steps for R probes the bracket is about $18 / m$ wide (measured on Hessians of classifiers) and the
    probes' part $3.9 \sqrt{2 \cdot 0.23 / (R n)}$; their sum is least at $R^{3/2} = 1.3 N / (18 \sqrt n)$.
    """
    if probes is None and steps is None:
        probes = int(np.clip(round((1.3 * products / (18 * np.sqrt(n))) ** (2 / 3)), 1, 16))
    if probes is None:
        assert steps is not None
        probes = max(1, products // max(steps, 1))
    # A probe's basis of more vectors than that costs more time in orthogonalisation than in products.
    steps = min(products // max(probes, 1), 800) if steps is None else steps
    return probes, min(max(steps, 1), n) if steps > 0 else steps


def _whole(A: LinearOperator, tol: float | None, limit: int, confidence: float, seed: int, factors: bool) -> Index:
    matrix, epsilon = assemble(A, limit), A.precision
    curve, undecided = None, 0
    if factors:
        assert tol is not None
        counts, tau = counts_from_factors(matrix, tol), tol
        reason = f"Sizes up to {tol:.1e} count as zero, as asked; counted from factors."
    elif not A.symmetric:
        real, errors, neutral = real_parts(matrix, epsilon)
        counts, undecided, tau, reason = counted(real, errors, neutral, tol)
        curve = partial(
            bounded_curve, real, errors, _tolerances(tau, epsilon, float(np.linalg.norm(matrix, axis=0).max()))
        )
    else:
        values = np.linalg.eigvalsh(matrix)
        tau, reason = gap_tolerance(np.abs(values), epsilon)
        if tol is not None:
            tau, reason = tol, f"Sizes up to {tol:.1e} count as zero, as asked."
        counts = {"negative": int((values < -tau).sum()), "positive": int((values > tau).sum())}
        counts["zero"] = A.n - counts["negative"] - counts["positive"]
        curve = partial(_exact_curve, values, _tolerances(tau, epsilon, float(np.abs(values).max())))
    shares = {name: counts[name] / A.n for name in NAMES}
    return Index(
        negative=shares["negative"],
        zero=shares["zero"],
        positive=shares["positive"],
        interval={name: (shares[name], (counts[name] + undecided) / A.n) for name in NAMES},
        tolerance=tau,
        method="factors" if factors else "exact",
        counts={name: counts[name] for name in NAMES},
        symmetric=A.symmetric,
        n=A.n,
        matvecs=A.n,
        confidence=confidence,
        seed=seed,
        message=reason,
        certain={name: counts[name] for name in ("negative", "positive")},
        zero_rows=int((~matrix.any(axis=1)).sum()),
        make_curve=curve,
        undecided=undecided,
    )


def _tolerances(tau: float, epsilon: float, scale: float) -> Array:
    """Return the tolerances of the curve: from below rounding to half the largest eigenvalue, tau among them."""
    if scale == 0.0:
        return np.array([tau])
    grid = np.logspace(np.log10(epsilon * scale / 8), np.log10(scale / 2), CURVE_POINTS)
    return np.unique(np.append(grid, tau)) if tau > 0 else grid


def _exact_curve(values: Array, taus: Array) -> IndexCurve:
    values = np.sort(values)
    negative = np.searchsorted(values, -taus, side="left") / len(values)
    positive = 1 - np.searchsorted(values, taus, side="right") / len(values)
    twice = [np.stack([share, share], axis=1) for share in (negative, 1 - negative - positive, positive)]
    return IndexCurve(taus, *twice)


def _estimate(A: LinearOperator, tol: float | None, probes: int, steps: int, confidence: float, seed: int) -> Index:
    measures, scale, products = probe_measures(A, probes, steps, seed)
    epsilon = A.precision
    tau = max(1e-6, 32 * epsilon) * scale if tol is None else tol
    tau = tau or float(np.finfo(float).tiny)
    below = np.array([measure.bracket(-tau) for measure in measures])
    upto = np.array([measure.bracket(tau) for measure in measures])
    certain = {name: int(count) for name, count in _certified(measures, np.array(tau)).items()}
    shares = {name: _pooled_shares(measures, bounds) for name, bounds in _parts(below, upto).items()}
    interval = {}
    for name, (low, high) in shares.items():
        likely = np.stack(fraction_interval(low, high, A.n, probes, confidence))
        joined = _joined(_possible(certain, name, A.n), likely)
        interval[name] = (float(joined[0]), float(joined[1]))
    middle = {name: float(np.clip(np.mean(shares[name]), *interval[name])) for name in ("negative", "positive")}
    middle["zero"] = max(0.0, 1.0 - middle["negative"] - middle["positive"])
    taus = _tolerances(tau, epsilon, scale)
    return Index(
        negative=middle["negative"],
        zero=middle["zero"],
        positive=middle["positive"],
        interval=interval,
        tolerance=tau,
        method="estimate",
        counts=None,
        symmetric=True,
        n=A.n,
        matvecs=products + 1,
        confidence=confidence,
        seed=seed,
        message=f"Sizes up to {tau:.1e} count as zero; estimated from {probes} probe{'s' * (probes > 1)} of "
        f"{steps} steps; at least "
        f"{certain['negative']} are negative and {certain['positive']} positive, whatever the probes.",
        certain=certain,
        zero_rows=_zero_rows(A, seed),
        make_curve=partial(_estimated_curve, measures, tau, taus, A.n, probes, confidence),
    )


def _possible(certain: Mapping[str, Any], name: str, n: int) -> Array:
    """Return bounds (..., 2) on a fraction that follow from the certain counts (...)."""
    other = {"negative": certain["positive"], "positive": certain["negative"]}
    beyond = other.get(name, certain["negative"] + certain["positive"])
    return np.stack([np.zeros_like(beyond) + certain.get(name, 0), n - beyond], axis=-1) / n


def _joined(possible: Array, likely: Array) -> Array:
    """Return the intersection of bounds (..., 2); the possible alone where narrower, or where both contradict."""
    low, high = np.maximum(possible[..., 0], likely[..., 0]), np.minimum(possible[..., 1], likely[..., 1])
    alone = (low > high) | (np.ptp(possible, axis=-1) <= np.ptp(likely, axis=-1))
    return np.where(alone[..., None], possible, np.stack([low, high], axis=-1))


def _parts(below: Array, upto: Array) -> dict[str, Array]:
    """Return bounds (..., 2) by name from bounds on the mass below -tau and up to tau."""
    zero = np.stack([np.maximum(upto[..., 0] - below[..., 1], 0.0), upto[..., 1] - below[..., 0]], axis=-1)
    return {"negative": below, "zero": zero, "positive": 1.0 - upto[..., ::-1]}


def _pooled_shares(measures: Sequence[ProbeMeasure], bounds: Array) -> tuple[Array, Array]:
    pooled_bounds = pooled(list(measures), bounds)
    return np.array(pooled_bounds[..., 0]), np.array(pooled_bounds[..., 1])


def _estimated_curve(
    measures: list[ProbeMeasure], tau: float, taus: Array, n: int, probes: int, confidence: float
) -> IndexCurve:
    sharp = (np.arange(len(taus)) % SHARP_EVERY == 0) | (taus == tau)
    points, both = np.concatenate([-taus[::-1], taus]), np.concatenate([sharp[::-1], sharp])
    brackets = np.array([measure.brackets(points, both) for measure in measures])
    below, upto = brackets[:, : len(taus)][:, ::-1], brackets[:, len(taus) :]
    certain, bounds = _certified(measures, taus), {}
    for name, part in _parts(below, upto).items():
        likely = np.stack(fraction_interval(*_pooled_shares(measures, part), n, probes, confidence), axis=-1)
        bounds[name] = _joined(_possible(certain, name, n), likely)
    return IndexCurve(taus, **bounds)


def _zero_rows(A: LinearOperator, seed: int) -> int:
    """Count the zero rows: those, and no others, make a product with a random vector exactly zero."""
    u = random_vector(A.n, A.dtype, A.device, torch.Generator().manual_seed(seed + 1))
    return int(((A @ u) == 0).sum())


def _certified(measures: list[ProbeMeasure], tau: Array) -> dict[str, Array]:
    """Return lower bounds on the eigenvalues below -tau and above tau (...): Ritz values interlace (Cauchy)."""
    below = [(m.nodes < -tau[..., None] - m.margin).sum(axis=-1) for m in measures]
    above = [(m.nodes > tau[..., None] + m.margin).sum(axis=-1) for m in measures]
    return {"negative": np.max(below, axis=0), "positive": np.max(above, axis=0)}
