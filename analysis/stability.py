"""Verdicts from eigenvalues: rates, step-size bounds and rotation, in numbers and in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from gantools.analysis.eigen.spectrum import Spectrum
from gantools.analysis.eigen.uncertainty import CAUTION, margins, negligible
from gantools.analysis.estimates.index import gap_tolerance
from gantools.analysis.krylov.gram_schmidt import ROUNDING
from gantools.analysis.verdict import Judged, caveats, field_words, opening, seeks, show, vague_words
from gantools.errors import GantoolsError

Array = NDArray[Any]


@dataclass(frozen=True)
class Stability:
    r"""The verdict on a stationary point, or on one update, from eigenvalues.

    Attributes:
        stable: for a map or with `lr`: rate < 1; for a field or Hessian without: whether some step size is stable.
            False where that is not decided: an eigenvalue is undecided, all are neutral, or those that would repel were
            not sought.
        rate: factor per step of the slowest direction, $\max |1 - \eta\lambda|$, for a map $\max |\mu|$; None for a
            field without `lr`, and where all eigenvalues are neutral.
        max_lr: largest stable step of plain simultaneous gradient descent, $\min 2 \mathrm{Re}\lambda / |\lambda|^2$
            (Mescheder et al., arXiv:1705.10461, corollary 5), over the decided ones; 0 if none is; an upper bound if
            the spectrum is not complete or some are undecided; None for a map, and where none is decided.
        rotation: $\max |\mathrm{Im}\lambda / \mathrm{Re}\lambda|$, radians turned while the distance changes by a
            factor e; inf for pure rotation. For a map the same of $\log\mu$, over complex pairs.
        neutral: how many eigenvalues are within `tolerance`, or their own rounding, of 0 (of 1 for a map) and left out.
        tolerance: absolute distance up to which an eigenvalue is neutral.
        lr: step size, as given.
        kind: of the spectrum: "field", "hessian" or "map".
        complete: whether the spectrum is complete.
        repelling: how many eigenvalues repel: real part <= 0 (within tolerance), for a map modulus >= 1.
        verdict: the sentences that `str` returns.
        undecided: how many eigenvalues neither attract nor repel within their errors (`margins`).
    """

    stable: bool
    rate: float | None
    max_lr: float | None
    rotation: float
    neutral: int
    tolerance: float
    lr: float | None
    kind: str
    complete: bool
    repelling: int
    verdict: str
    undecided: int = 0

    def __str__(self) -> str:
        return self.verdict


def stability(s: Spectrum, lr: float | None = None, neutral: float | None = None) -> Stability:
    r"""Judge an update $w' = w - \eta J w$ by the eigenvalues of J, or any update by those of its own Jacobian.

    Args:
        s: of a game's Jacobian or a Hessian (kind "field", "hessian") or of an update operator ("map"). Values that did
            not converge are left out, and the verdict says so.
        lr: $\eta$; not for a map, which contains its own.
        neutral: distance from 0 (from 1 for a map) up to which an eigenvalue is neutral, absolute. By default, from a
            complete spectrum, the gap between the structural zeros and the rest (`gap_tolerance`); otherwise 10 eps
            times the scale. Real networks have hundreds of such directions, along which the loss does not change.

    Raises:
        GantoolsError: for lr <= 0, lr with a map, or no converged eigenvalue.

    >>> verdict = gt.analysis.stability(gt.analysis.spectrum(gt.analysis.jacobian(*quadratic)))
    >>> verdict.stable, round(verdict.max_lr, 3)  # eigenvalues 0.2 + i and 0.2 - i: 2 * 0.2 / (0.2^2 + 1)
    (True, 0.385)
    """
    if s.kind == "map" and lr is not None:
        raise GantoolsError("An update operator already contains its step size: call stability(s) without lr.")
    if lr is not None and not lr > 0:
        raise GantoolsError(f"lr = {lr} is not a step size: give a positive one.")
    if neutral is not None and not neutral >= 0:
        raise GantoolsError(f"neutral = {neutral} is negative: give an absolute tolerance, or None for the default.")
    lr = None if lr is None else float(lr)  # a tensor of one element too
    values = s.values[s.converged].numpy().astype(complex)
    if len(values) == 0:
        raise GantoolsError("No eigenvalue of this spectrum converged: raise max_matvecs or tol and compute it again.")
    distance = np.abs(values - 1.0) if s.kind == "map" else np.abs(values)
    tolerance = _tolerance(s, distance) if neutral is None else neutral
    errors = margins(s)
    border = _border(s, float(np.abs(values).max()), errors, tolerance)
    far = distance > border
    active, errors, border = values[far], errors[far], border[far]
    judge = _judge_map if s.kind == "map" else _judge_field
    found = judge(Judged(s, active, errors, border, lr, tolerance))
    count = len(values) - len(active)
    beside = caveats(s, count, tolerance, len(s) - len(values), bool(found.max_lr))
    return Stability(
        stable=found.stable,
        rate=found.rate,
        max_lr=found.max_lr,
        rotation=found.rotation,
        neutral=count,
        tolerance=tolerance,
        lr=lr,
        kind=s.kind,
        complete=s.complete,
        repelling=found.repelling,
        verdict=" ".join([found.words, *beside]),
        undecided=found.undecided,
    )


def _tolerance(s: Spectrum, distance: Array) -> float:
    epsilon = s.epsilon
    if s.complete:
        return gap_tolerance(distance, epsilon, float(s.values.abs().max()))[0]
    largest = float(s.values.abs().max())
    return min(ROUNDING * epsilon * max(s.scale, 1.0 if s.kind == "map" else 0.0), negligible(epsilon, largest))


def _border(s: Spectrum, largest: float, errors: Array, tolerance: float) -> Array:
    """Return the distances (k,) within which a value stands on the border: errors that are no more than rounding."""
    epsilon = s.epsilon
    limit = negligible(epsilon, largest)
    if not s.complete:
        limit = min(limit, CAUTION * ROUNDING * epsilon * s.scale)
    return np.where(errors <= limit, np.maximum(errors, tolerance), tolerance)


class _Judgement(NamedTuple):
    stable: bool
    rate: float | None
    max_lr: float | None
    rotation: float
    repelling: int
    words: str
    undecided: int = 0


def _judge_field(given: Judged) -> _Judgement:
    s, active, errors, border, lr, tolerance = given
    if len(active) == 0:
        words = "Undecided: every eigenvalue is neutral, so nothing attracts and nothing repels."
        return _Judgement(False, None, None, 0.0, 0, words)
    real, size = np.real(active), np.abs(np.real(active))
    unsigned = (size <= errors) & (errors > border)
    real = np.where((size <= border) & ~unsigned, 0.0, real)
    repelling = int(((real <= 0) & ~unsigned).sum())
    attracting = (real > 0) & ~unsigned
    bounds = 2 * real[attracting] / np.abs(active[attracting]) ** 2
    max_lr = 0.0 if repelling else float(bounds.min()) if len(bounds) else None
    turns = np.abs(np.imag(active)) > tolerance
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.where(turns, np.abs(np.imag(active)) / np.abs(np.where(unsigned, 0.0, real)), 0.0)
    rate, overshot, vague = None, np.zeros(len(active), dtype=bool), unsigned
    if lr is not None:
        factors = np.abs(1 - lr * active)
        rate, close = float(factors.max()), np.abs(factors - 1) <= np.where(errors > border, lr * errors, 0.0)
        overshot = (factors >= 1) & ~close & (attracting | unsigned)
        vague = (unsigned & ~overshot) | (attracting & close)
    undecided = int(vague.sum())
    stable = not repelling and not undecided and seeks(s) and (rate is None or rate < 1)
    words = field_words(given, real, ratios, unsigned, vague, overshot, rate, max_lr)
    return _Judgement(stable, rate, max_lr, float(ratios.max()), repelling, words, undecided)


def _judge_map(given: Judged) -> _Judgement:
    s, active, errors, border, _, tolerance = given
    if len(active) == 0:
        words = "Undecided: every eigenvalue of the update is neutral (within tolerance of 1)."
        return _Judgement(False, None, None, 0.0, 0, words)
    modulus = np.abs(active)
    rate = float(modulus.max())
    turning = (np.abs(np.imag(active)) > tolerance) & (modulus > 0)
    logs = np.log(active[turning])
    with np.errstate(divide="ignore"):
        rotation = float((np.abs(np.imag(logs)) / np.abs(np.real(logs))).max(initial=0.0))
    vague = (np.abs(modulus - 1) <= errors) & (errors > border)
    reached = (modulus >= 1 - border) & ~vague
    beyond, outside, undecided = (modulus > 1 + border) & ~vague, int(reached.sum()), int(vague.sum())
    total = f"{len(active)} eigenvalues of the update" + ("" if s.complete else " that were computed")
    worst = show(active[int(modulus.argmax())])
    more = f" {vague_words(given, vague)}".rstrip()
    if outside and not beyond.any():
        on = show(active[int(np.where(reached, modulus, -1.0).argmax())])
        words = (
            f"Marginal: {outside} of the {total} lie on the unit circle and none outside, such as {on}: the step "
            f"neither converges nor diverges.{more}"
        )
        return _Judgement(False, rate, None, rotation, outside, words, undecided)
    if outside:
        words = f"Unstable: {outside} of the {total} lie on or outside the unit circle; the largest, {worst}, "
        words += f"multiplies the distance by {rate:.6g} a step.{more}"
        return _Judgement(False, rate, None, rotation, outside, words, undecided)
    if undecided:
        rest = f" The other {len(active) - undecided} lie inside the unit circle." if undecided < len(active) else ""
        return _Judgement(False, rate, None, rotation, 0, f"Undecided: f{more[2:]}{rest}", undecided)
    words = (
        f"{opening(s)}: all of the {total} lie inside the unit circle; the slowest, {worst}, leaves {rate:.6g} of the "
    )
    return _Judgement(seeks(s), rate, None, rotation, 0, words + "distance after a step.")
