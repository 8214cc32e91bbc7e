"""The index of a large symmetric operator: fractions with intervals, from leading eigenpairs and random probes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gantools.analysis.estimates.index_result import NAMES, Index, IndexCurve
from gantools.analysis.estimates.inertia import finest_tolerance
from gantools.analysis.estimates.quadrature.probes import ProbedSpectrum
from gantools.analysis.estimates.quadrature.sampling import fraction_interval

Array = NDArray[Any]

WIDTH = 0.05  # of the intervals that the tolerance is chosen for
CURVE_POINTS = 81
TINY = float(np.finfo(float).tiny)  # in place of the tolerance 0


def tolerances(epsilon: float, scale: float, more: float | None = None, points: int = CURVE_POINTS) -> Array:
    """Return tolerances (t,) for a curve: from below rounding to half the largest eigenvalue, and `more` among them."""
    if scale == 0.0:
        return np.array([0.0 if more is None else more])
    grid = np.logspace(np.log10(epsilon * scale / 8), np.log10(scale / 2), points)
    return np.unique(np.append(grid, more)) if more else grid


def estimated_index(found: ProbedSpectrum, tol: float | None, confidence: float, seed: int) -> Index:
    """Return the index that a probed spectrum shows.

    Args:
        found: the measures.
        tol: size up to which an eigenvalue counts as zero; by default the finest, from `finest_tolerance` on, whose
            intervals are all at most 5 points wide, or that with the narrowest ones.
        confidence: of the intervals.
        seed: of the probes.
    """
    finest = finest_tolerance(found.epsilon, found.scale) or TINY
    taus = tolerances(found.epsilon, found.scale, finest if tol is None else tol or TINY)
    curve, middles, certain = fractions(found, taus, confidence)
    at = chosen(curve, finest) if tol is None else int(np.searchsorted(taus, tol))
    interval = {name: (float(low), float(high)) for name, (low, high) in ((n, getattr(curve, n)[at]) for n in NAMES)}
    middle = {name: float(np.clip(middles[name][at], *interval[name])) for name in ("negative", "positive")}
    middle["zero"] = max(0.0, 1.0 - middle["negative"] - middle["positive"])
    return Index(
        negative=middle["negative"],
        zero=middle["zero"],
        positive=middle["positive"],
        interval=interval,
        tolerance=float(taus[at]),
        method="estimate",
        counts=None,
        symmetric=True,
        n=found.n,
        matvecs=found.products,
        confidence=confidence,
        seed=seed,
        message=_message(found, curve, at, tol, {name: int(count[at]) for name, count in certain.items()}, confidence),
        certain={name: int(count[at]) for name, count in certain.items()},
        zero_rows=found.known.zero_rows,
        make_curve=lambda: curve,
        scale=found.scale,
        interrupted=found.interrupted,
    )


def widths(curve: IndexCurve) -> Array:
    """Return the widest interval (t,) at each tolerance of a curve."""
    return np.max([np.ptp(getattr(curve, name), axis=1) for name in NAMES], axis=0)


def chosen(curve: IndexCurve, finest: float) -> int:
    """Return which tolerance, from the finest on, is the first with intervals at most `WIDTH` wide, or the best."""
    usable = np.where(curve.tolerance >= finest, widths(curve), np.inf)
    narrow = np.flatnonzero(usable <= WIDTH)
    return int(narrow[0]) if len(narrow) else int(usable.argmin())


def fractions(
    found: ProbedSpectrum, taus: Array, confidence: float, steps: int | None = None
) -> tuple[IndexCurve, dict[str, Array], dict[str, Array]]:
    """Return bounds on the fractions over tolerances (t,), their middles (t,), and certain counts (t,), by name.

    Args:
        found: the measures.
        taus: (t,) ascending.
        confidence: of each bound.
        steps: use only so many of each probe.
    """
    t, n, k = len(taus), found.n, len(found.known.values)
    brackets = found.brackets(np.concatenate([-taus[::-1], taus]), steps)
    below, upto = brackets[:t][::-1], brackets[t:]
    shares = {
        "negative": below,
        "zero": np.stack([np.maximum(upto[:, 0] - below[:, 1], 0.0), upto[:, 1] - below[:, 0]], axis=-1),
        "positive": 1.0 - upto[:, ::-1],
    }
    (least, most), (least_upto, most_upto) = (found.known.counts(x) for x in (-taus, taus))
    counts = {
        "negative": (least, most),
        "zero": (np.maximum(least_upto - most, 0), most_upto - least),
        "positive": (k - most_upto, k - least_upto),
    }
    certain = _certain(found, taus, counts)
    zeros = n - found.rest - k  # rows
    bounds, middles = {}, {}
    for name, share in shares.items():
        likely = fraction_interval(share[:, 0], share[:, 1], found.rest, len(found.measures), confidence)
        rows = zeros if name == "zero" else 0
        known = np.stack(counts[name], axis=-1) + rows
        possible = _possible(certain, name, n, zeros)
        bounds[name] = _joined(possible, (known + found.rest * np.stack(likely, axis=-1)) / n)
        middles[name] = (known + found.rest * share).mean(axis=-1) / n
    return IndexCurve(taus, **bounds), middles, certain


def _certain(found: ProbedSpectrum, taus: Array, counts: dict[str, tuple[Array, Array]]) -> dict[str, Array]:
    """Return lower bounds (t,) on the numbers below -tau and above tau, whatever the probes.

    Ritz values of an orthogonal basis interlace (Cauchy); without one, only the leading ones do.
    """
    certain = {name: counts[name][0] for name in ("negative", "positive")}
    if not found.interlacing:
        return certain
    for m in found.measures:
        certain["negative"] = np.maximum(certain["negative"], (m.nodes < -taus[:, None] - m.margin).sum(axis=-1))
        certain["positive"] = np.maximum(certain["positive"], (m.nodes > taus[:, None] + m.margin).sum(axis=-1))
    return certain


def _possible(certain: dict[str, Array], name: str, n: int, zeros: int) -> Array:
    """Return bounds (t, 2) on a fraction that follow from the certain counts (t,) and the zero rows."""
    least = certain | {"zero": np.full_like(certain["negative"], zeros)}
    others = sum(count for other, count in least.items() if other != name)
    return np.stack([least[name], n - others], axis=-1) / n


def _joined(possible: Array, likely: Array) -> Array:
    """Return the intersection of bounds (..., 2); the possible alone where narrower, or where both contradict."""
    low, high = np.maximum(possible[..., 0], likely[..., 0]), np.minimum(possible[..., 1], likely[..., 1])
    alone = (low > high) | (np.ptp(possible, axis=-1) <= np.ptp(likely, axis=-1))
    return np.where(alone[..., None], possible, np.stack([low, high], axis=-1))


def _message(
    found: ProbedSpectrum, curve: IndexCurve, at: int, tol: float | None, certain: dict[str, int], confidence: float
) -> str:
    probes, steps, k = len(found.measures), found.steps, len(found.known.values)
    width = float(widths(curve)[at])
    if tol is not None:
        reason = "That tolerance was asked for"
    elif width <= WIDTH:
        reason = f"That is the finest tolerance whose intervals are at most {100 * WIDTH:.0f} points wide"
    else:
        reason = f"No tolerance has intervals at most {100 * WIDTH:.0f} points wide, and that has the narrowest"
    first = f"{k} leading eigenvalues counted one by one, the rest estimated" if k else "estimated"
    cut = " so far, interrupted" if found.interrupted else ""
    words = [
        f"{reason}; {first} from {probes} probe{'s' * (probes > 1)} of {steps} steps{cut}; at least "
        f"{certain['negative']} are negative and {certain['positive']} positive, whatever the probes."
    ]
    if steps > 3 and not all(measure.ended for measure in found.measures):
        words.append(_outlook(found, curve, at, tol, confidence))
    return " ".join(words)


def _outlook(found: ProbedSpectrum, curve: IndexCurve, at: int, tol: float | None, confidence: float) -> str:
    """Return what twice the steps would buy, from what the second half of them bought, or that probes are lacking."""
    half = fractions(found, curve.tolerance, confidence, found.steps // 2)[0]
    now, then, more = float(widths(curve)[at]), float(widths(half)[at]), 2 * found.steps
    middle = np.array([np.mean(getattr(curve, name)[at]) for name in NAMES])
    # What is known one by one has no such error, and is none of those that the probes see.
    tau, values = curve.tolerance[at], np.asarray(found.known.values)
    known = np.array([(values < -tau).sum(), (abs(values) <= tau).sum() + found.known.zero_rows, (values > tau).sum()])
    seen = np.clip((middle * found.n - known) / max(found.rest, 1), 0, 1)
    low, high = fraction_interval(seen, seen, found.rest, len(found.measures), confidence)
    sampling = float((high - low).max()) * found.rest / found.n
    if sampling > 0.7 * now:
        return f"{sampling:.3f} of the intervals' {now:.3f} is the error of so few probes, which more of them narrow."
    if tol is None and now <= WIDTH:
        before = float(half.tolerance[chosen(half, finest_tolerance(found.epsilon, found.scale))])
        tau = float(curve.tolerance[at])
        return (
            f"Half the steps resolved sizes from {before:.1e}; {more} would about {tau * min(1.0, tau / before):.1e}."
        )
    expected = sampling + (now - sampling) * min(1.0, (now - sampling) / max(then - sampling, 1e-12))
    return f"Half the steps gave intervals {then:.3f} wide; {more} would about {expected:.3f}."
