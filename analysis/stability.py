"""Verdicts from eigenvalues: rates, step-size bounds and rotation, in numbers and in sentences."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from gantools.analysis.eigen.spectrum import Spectrum
from gantools.analysis.estimates.index import gap_tolerance
from gantools.analysis.krylov.gram_schmidt import ROUNDING
from gantools.errors import GantoolsError

Array = NDArray[Any]


@dataclass(frozen=True)
class Stability:
    r"""The verdict on a stationary point, or on one update, from eigenvalues.

    Attributes:
        stable: for a map or with `lr`: rate < 1; for a field or Hessian without: whether some step size is stable.
        rate: factor per step of the slowest direction, $\max |1 - \eta\lambda|$, for a map $\max |\mu|$; None for a
            field without `lr`, and where all eigenvalues are neutral.
        max_lr: largest stable step of plain simultaneous gradient descent, $\min 2 \mathrm{Re}\lambda / |\lambda|^2$
            (Mescheder et al., arXiv:1705.10461, corollary 5); 0 if none is; an upper bound if the spectrum is not
            complete; None for a map.
        rotation: $\max |\mathrm{Im}\lambda / \mathrm{Re}\lambda|$, radians turned while the distance changes by a
            factor e; inf for pure rotation. For a map the same of $\log\mu$, over complex pairs.
        neutral: how many eigenvalues are within `tolerance` of 0 (of 1 for a map) and left out.
        tolerance: absolute distance up to which an eigenvalue is neutral.
        lr: step size, as given.
        kind: of the spectrum: "field", "hessian" or "map".
        complete: whether the spectrum is complete.
        repelling: how many eigenvalues repel: real part <= 0 (within tolerance), for a map modulus >= 1.
        verdict: the sentences that `str` returns.
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
    """
    if s.kind == "map" and lr is not None:
        raise GantoolsError("An update operator already contains its step size: call stability(s) without lr.")
    if lr is not None and not lr > 0:
        raise GantoolsError(f"lr = {lr} is not a step size: give a positive one.")
    if neutral is not None and not neutral >= 0:
        raise GantoolsError(f"neutral = {neutral} is negative: give an absolute tolerance, or None for the default.")
    values = s.values[s.converged].numpy().astype(complex)
    if len(values) == 0:
        raise GantoolsError("No eigenvalue of this spectrum converged: raise max_matvecs or tol and compute it again.")
    distance = np.abs(values - 1.0) if s.kind == "map" else np.abs(values)
    tolerance = _tolerance(s, distance) if neutral is None else neutral
    active = values[distance > tolerance]
    judge = _judge_map if s.kind == "map" else _judge_field
    found = judge(s, active, lr, tolerance)
    count = len(values) - len(active)
    caveats = _caveats(s, count, tolerance, len(s) - len(values), bool(found.max_lr))
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
        verdict=" ".join([found.words, *caveats]),
    )


def _tolerance(s: Spectrum, distance: Array) -> float:
    epsilon = float(torch.finfo(s.dtype).eps)
    if s.complete:
        return gap_tolerance(distance, epsilon, float(s.values.abs().max()))[0]
    return ROUNDING * epsilon * max(s.scale, 1.0 if s.kind == "map" else 0.0)


class _Judgement(NamedTuple):
    stable: bool
    rate: float | None
    max_lr: float | None
    rotation: float
    repelling: int
    words: str


def _judge_field(s: Spectrum, active: Array, lr: float | None, tolerance: float) -> _Judgement:
    if len(active) == 0:
        words = "Undecided: every eigenvalue is neutral, so nothing attracts and nothing repels."
        return _Judgement(True, None, None, 0.0, 0, words)
    real = np.where(np.abs(np.real(active)) <= tolerance, 0.0, np.real(active))
    repelling = int((real <= 0).sum())
    max_lr = 0.0 if repelling else float((2 * real / np.abs(active) ** 2).min())
    turns = np.abs(np.imag(active)) > tolerance
    with np.errstate(divide="ignore"):
        ratios = np.where(turns, np.abs(np.imag(active)) / np.abs(real), 0.0)
    rate = None if lr is None else float(np.abs(1 - lr * active).max())
    stable = max_lr > 0 if rate is None else rate < 1 and not repelling
    words = _field_words(s, active, real, ratios, lr, rate, max_lr, stable)
    return _Judgement(stable, rate, max_lr, float(ratios.max()), repelling, words)


def _field_words(
    s: Spectrum,
    active: Array,
    real: Array,
    ratios: Array,
    lr: float | None,
    rate: float | None,
    max_lr: float,
    stable: bool,
) -> str:
    total = f"{len(active)} eigenvalues" + ("" if s.complete else " computed")
    at = "" if lr is None else f" at lr = {lr:.3g}"
    method = "plain gradient descent" if s.kind == "hessian" else "plain simultaneous gradient descent"
    if stable:
        speed = "" if rate is None else f", the slowest by {1 - rate:.2g} a step"
        bound = f"{method.capitalize()} {'converges' if s.complete else 'can converge only'} for step sizes below"
        return f"{_opening(s)}{at}: all of the {total} attract{speed}. {bound} {max_lr:.3g}." + _turning(ratios)
    if max_lr > 0:
        worst = int((2 * real / np.abs(active) ** 2).argmin())
        cure = f"lower lr below {max_lr:.3g}"
        if ratios[worst] > 1:
            cure += ", or damp the rotation (consensus, extragradient)"
        outside = int((np.abs(1 - (lr or 0.0) * active) >= 1).sum())
        return (
            f"Unstable{at}: {outside} of the {total} attract but are overshot; the tightest bound comes from "
            f"{_show(active[worst])}; {cure}." + _turning(ratios)
        )
    rotating, repelled = int(((real == 0) & (ratios > 0)).sum()), real < 0
    parts = []
    if repelled.any():
        parts.append(
            f"{int(repelled.sum())} of the {total} repel, the strongest of them with real part {real.min():.3g}"
        )
    if rotating:
        parts.append(f"{rotating} of the {total} rotate without attracting")
    head = f"Unstable{at}: {', and '.join(parts)}; no step size of {method} is stable."
    if s.kind == "hessian":
        return f"{head} The loss still falls along the repelling directions: this is not a minimum."
    if rotating and not repelled.any():
        return f"{head} Consensus, extragradient or a gradient penalty damp pure rotation."
    return head + _turning(np.where(repelled, 0.0, ratios))


def _opening(s: Spectrum) -> str:
    """Return the opening of a verdict when nothing repels: leading eigenvalues may hide one that does."""
    if s.complete:
        return "Stable"
    sought = s.which in ("SR", "SA") or (s.kind == "map" and s.which == "LM")
    return "No instability found" if sought else "Not decided (repelling eigenvalues are sought by which='SR')"


def _turning(ratios: Array) -> str:
    fast = int((ratios > 1).sum())
    if not fast:
        return ""
    worst = ratios.max()
    much = "without attracting at all" if np.isinf(worst) else f"up to {worst:.3g} times faster than they attract"
    return f" {fast} rotate {much}, which consensus and extragradient damp."


def _judge_map(s: Spectrum, active: Array, lr: float | None, tolerance: float) -> _Judgement:
    if len(active) == 0:
        words = "Undecided: every eigenvalue of the update is neutral (within tolerance of 1)."
        return _Judgement(True, None, None, 0.0, 0, words)
    modulus = np.abs(active)
    rate = float(modulus.max())
    turning = (np.abs(np.imag(active)) > tolerance) & (modulus > 0)
    logs = np.log(active[turning])
    with np.errstate(divide="ignore"):
        rotation = float((np.abs(np.imag(logs)) / np.abs(np.real(logs))).max(initial=0.0))
    outside = int((modulus >= 1 - tolerance).sum())
    total = f"{len(active)} eigenvalues of the update" + ("" if s.complete else " that were computed")
    worst = _show(active[int(modulus.argmax())])
    if outside and rate <= 1 + tolerance:
        words = (
            f"Marginal: {outside} of the {total} lie on the unit circle and none outside, such as {worst}: the step "
            "neither converges nor diverges."
        )
        return _Judgement(False, rate, None, rotation, outside, words)
    if outside:
        words = f"Unstable: {outside} of the {total} lie on or outside the unit circle; the largest, {worst}, "
        return _Judgement(
            False, rate, None, rotation, outside, words + f"multiplies the distance by {rate:.6g} a step."
        )
    words = (
        f"{_opening(s)}: all of the {total} lie inside the unit circle; the slowest, {worst}, leaves {rate:.6g} of the "
    )
    return _Judgement(True, rate, None, rotation, 0, words + "distance after a step.")


def _caveats(s: Spectrum, neutral: int, tolerance: float, unconverged: int, bounded: bool) -> list[str]:
    words = []
    if neutral:
        words.append(f"{neutral} neutral (within {tolerance:.1e} of {1 if s.kind == 'map' else 0}) left out.")
    if unconverged:
        words.append(f"{unconverged} that did not converge left out.")
    if not s.complete:
        bound = ", and the bound on the step size is an upper bound" if bounded else ""
        words.append(f"This holds among those computed ({len(s)} of {s.n}, {s.which}){bound}.")
    return words


def _show(value: complex) -> str:
    if value.imag == 0:
        return f"{value.real:.4g}"
    return f"{value.real:.4g} {'-' if value.imag < 0 else '+'} {abs(value.imag):.4g}i"
