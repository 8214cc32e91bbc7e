"""The result of counting negative, zero and positive eigenvalues: fractions with intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Interval = tuple[float, float]

NAMES = ("negative", "zero", "positive")
PLACES = ("in the left half-plane", "neutral", "in the right half-plane")


@dataclass(frozen=True)
class IndexCurve:
    """Bounds on the fractions of an `Index` over a range of tolerances.

    For an estimate each bound is a confidence bound at its point, a little wider than that of the index itself.

    Attributes:
        tolerance: (t,) ascending.
        negative: (t, 2) lower and upper bounds.
        zero: (t, 2), likewise.
        positive: (t, 2), likewise.
    """

    tolerance: Array
    negative: Array
    zero: Array
    positive: Array


@dataclass(frozen=True)
class Index:
    """Fractions of eigenvalues below -tolerance, within it, and above it.

    For a non-symmetric operator the same of their real parts: left half-plane, neutral, right half-plane.

    Attributes:
        negative: fraction below -tolerance. The three, and those undecided, sum to one; from leading eigenvalues they
            are those that follow if none of these was missed, NaN where nothing follows.
        zero: fraction within the tolerance.
        positive: fraction above it.
        interval: by those names, (low, high): a point if exact and none is undecided; if estimated, covering with
            probability `confidence`, each interval by itself; from leading eigenvalues, what `certain` and `box` leave.
        tolerance: size up to which an eigenvalue counts as zero, in eigenvalue units.
        method: "exact", "factors", "estimate" or "leading".
        counts: by those names, where they are known for all eigenvalues but the undecided ones, else None.
        certain: by "negative" and "positive", how many there are at least, whatever the probes: the counts if exact; if
            estimated, Ritz values beyond the tolerance (Cauchy's interlacing), up to the rounding of products; from
            leading eigenvalues, those beyond it by ten times their error, residual times condition number.
        zero_rows: rows of the matrix that are exactly zero: parameters that the loss does not see.
        gradient_norm: of the field at this point, where the operator knows it: an index far from a stationary point
            describes no critical point.
        curve: the fractions over the tolerance, made when first asked for; only of "exact" and "estimate".
        box: interval that holds the real parts of all eigenvalues (Bendixson 1902); only of "leading".
        symmetric: whether the operator is.
        n: its order.
        matvecs: products spent.
        confidence: of the estimated intervals.
        seed: of the random vectors.
        message: sentences on how the tolerance was chosen.
        make_curve: computes `curve`.
        scale: the largest |eigenvalue| seen, what the tolerance is to be compared with.
        interrupted: whether an estimate was, so that it rests on fewer steps than planned.
        undecided: how many eigenvalues of a whole non-symmetric matrix have a real part that rounding leaves on either
            side of the tolerance; they are in none of the counts.
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
    certain: dict[str, int]
    zero_rows: int
    gradient_norm: float | None = None
    box: Interval | None = None
    make_curve: Callable[[], IndexCurve] | None = field(default=None, repr=False, compare=False)
    undecided: int = 0
    scale: float = 0.0
    interrupted: bool = False

    @cached_property
    def curve(self) -> IndexCurve | None:
        return None if self.make_curve is None else self.make_curve()

    def resolved(self, width: float = 0.05) -> tuple[float, dict[str, Interval]] | None:
        """Return the tolerance from which on all intervals of the curve are at most `width` wide, and these intervals.

        None where those of the index itself are as narrow, there is no curve, or no tolerance is large enough.
        """
        if max(high - low for low, high in self.interval.values()) <= width or self.curve is None:
            return None
        bounds = {name: getattr(self.curve, name) for name in NAMES}
        vague = np.any([np.ptp(pair, axis=1) > width for pair in bounds.values()], axis=0)
        vague |= self.curve.tolerance <= self.tolerance
        first = int(np.flatnonzero(vague)[-1]) + 1
        if first == len(vague):
            return None
        intervals = {name: (float(pair[first, 0]), float(pair[first, 1])) for name, pair in bounds.items()}
        return float(self.curve.tolerance[first]), intervals

    def table(self, rows: int = 8) -> str:
        """Return the curve in a few lines, from the tolerance of the index upwards; empty without a curve."""
        if self.curve is None or self.scale == 0.0:
            return ""
        taus = self.curve.tolerance
        above = np.flatnonzero(taus >= self.tolerance)
        chosen = np.unique(above[np.linspace(0, len(above) - 1, rows).round().astype(int)])
        lines = ["sizes up to  of the largest  negative          zero              positive"]
        for i in chosen:
            pairs = (getattr(self.curve, name)[i] for name in NAMES)
            shares = "  ".join(
                f"{low:6.2%} to {high:6.2%}" if high > low else f"{low:6.2%}{'':10}" for low, high in pairs
            )
            lines.append(f"{taus[i]:11.1e}  {taus[i] / self.scale:14.1e}  {shares}".rstrip())
        return "\n".join(lines)

    def __repr__(self) -> str:
        shares = ", ".join(f"{name} {low:.2%} to {high:.2%}" for name, (low, high) in self.interval.items())
        if self.counts is not None:
            shares = ", ".join(f"{count} {name}" for name, count in self.counts.items())
        return (
            f"Index of {self.n} eigenvalues ({self.method}): {shares}; sizes up to {self.tolerance:.1e} as zero, "
            f"{self.matvecs} products" + ", interrupted" * self.interrupted
        )

    def _repr_html_(self) -> str:
        from gantools.board.live.looks import index_look  # notebooks alone need them
        from gantools.board.live.notebook import frame

        return frame("index", index_look(self), str(self), height=450)

    def __str__(self) -> str:
        parts = []
        for name, place in zip(NAMES, NAMES if self.symmetric else PLACES, strict=True):
            (low, high), share = self.interval[name], getattr(self, name)
            if self.counts is not None:
                parts.append(f"{self.counts[name]} {place} ({share:.2%})")
            elif np.isnan(share):
                parts.append(f"{low:.2%} to {high:.2%} {place}")
            else:
                parts.append(f"{share:.2%} {place} ({low:.2%} to {high:.2%})")
        if self.undecided:
            parts.append(f"{self.undecided} undecided ({self.undecided / self.n:.2%})")
        size = f" ({self.tolerance / self.scale:.1e} of the largest)" if self.scale else ""
        sure = "" if self.method != "estimate" else f", intervals at {self.confidence:.0%}"
        beside = f" {self.zero_rows} rows are exactly zero." if self.zero_rows else ""
        if self.gradient_norm is not None:
            beside += f" The norm of the field here is {self.gradient_norm:.3g}."
        if (resolved := self.resolved()) is not None:
            tau, there = resolved
            shares = ", ".join(f"{low:.2%} to {high:.2%} {name}" for name, (low, high) in there.items())
            beside += f" With sizes up to {tau:.1e} as zero it is {shares}."
        return (
            f"With sizes up to {self.tolerance:.1e}{size} as zero, of {self.n} eigenvalues: {', '.join(parts)}{sure}. "
            f"{self.message}{beside}"
        )
