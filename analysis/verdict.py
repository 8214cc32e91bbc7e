"""The sentences of a stability verdict."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from gantools.analysis.eigen.spectrum import Spectrum

Array = NDArray[Any]


class Judged(NamedTuple):
    """Eigenvalues (k,) to judge, their errors (k,), and the distances (k,) within which they stand on the border."""

    s: Spectrum
    active: Array
    errors: Array
    border: Array
    lr: float | None
    tolerance: float

    @property
    def total(self) -> str:
        """The number of active eigenvalues, with its noun."""
        return f"{len(self.active)} eigenvalues" + ("" if self.s.complete else " computed")


def field_words(
    given: Judged,
    real: Array,
    ratios: Array,
    unsigned: Array,
    vague: Array,
    overshot: Array,
    rate: float | None,
    max_lr: float | None,
) -> str:
    s, active, total = given.s, given.active, given.total
    at = "" if given.lr is None else f" at lr = {given.lr:.3g}"
    method = "plain gradient descent" if s.kind == "hessian" else "plain simultaneous gradient descent"
    more = vague_words(given, vague)
    if max_lr == 0.0:
        words = _unstable_words(given, real, ratios, unsigned, method)
        return f"Unstable{at}: {words}" + (f" {more}" if more else "")
    if overshot.any():
        bounds = np.where(unsigned, 0.0, 2 * real / np.abs(active) ** 2)
        worst = int(np.where(overshot, bounds, np.inf).argmin())
        cure = "no bound on lr is decided" if max_lr is None or unsigned.any() else f"lower lr below {max_lr:.3g}"
        if ratios[worst] > 1:
            cure += ", or damp the rotation (consensus, extragradient)"
        attract = "attract at best and" if (overshot & unsigned).any() else "attract but"
        return (
            f"Unstable{at}: {int(overshot.sum())} of the {total} {attract} are overshot; the tightest bound comes from "
            f"{show(active[worst])}; {cure}." + (f" {more}" if more else "") + _turning(ratios)
        )
    if more:
        decided = len(active) - int(vague.sum())
        rest = f" The {decided} decided attract, for step sizes of {method} below {max_lr:.3g}." if decided else ""
        return f"Undecided{at}: {more[0].lower()}{more[1:]}{rest}"
    speed = "" if rate is None else f", the slowest by {1 - rate:.2g} a step"
    bound = f"{method.capitalize()} {'converges' if s.complete else 'can converge only'} for step sizes below"
    return f"{opening(s)}{at}: all of the {total} attract{speed}. {bound} {max_lr:.3g}." + _turning(ratios)


def _unstable_words(given: Judged, real: Array, ratios: Array, unsigned: Array, method: str) -> str:
    total, parts = given.total, []
    rotating, repelled = int(((real == 0) & (ratios > 0)).sum()), (real < 0) & ~unsigned
    if repelled.any():
        least = real[repelled].min()
        parts.append(f"{int(repelled.sum())} of the {total} repel, the strongest of them with real part {least:.3g}")
    if rotating:
        parts.append(f"{rotating} of the {total} rotate without attracting")
    head = f"{', and '.join(parts)}; no step size of {method} is stable."
    if given.s.kind == "hessian":
        return f"{head} The loss still falls along the repelling directions: this is not a minimum."
    if rotating and not repelled.any():
        return f"{head} Consensus, extragradient or a gradient penalty damp pure rotation."
    return head + _turning(np.where(repelled | unsigned, 0.0, ratios))


def vague_words(given: Judged, vague: Array) -> str:
    """Return the sentences on undecided eigenvalues and how to decide them; nothing if there is none."""
    if not vague.any():
        return ""
    what = "the real part is smaller than its error bound"
    if given.s.kind == "map":
        what = "the modulus differs from 1 by less than its error bound"
    elif given.lr is not None:
        what = "the real part, or the distance of |1 - lr lambda| from 1, is smaller than its error bound"
    worst = int(np.where(vague, np.abs(given.active), -1.0).argmax())
    return (
        f"For {int(vague.sum())} of the {given.total} {what} (up to {given.errors[vague].max():.1e}), such as "
        f"{show(given.active[worst])}: it is undecided whether they attract or repel. {_cure(given.s)}"
    )


def _cure(s: Spectrum) -> str:
    """Return the sentence that says how undecided eigenvalues could be decided."""
    double = "" if s.dtype == torch.float64 else "in float64"
    if s.seed is None:
        return (
            f"To decide them, compute the matrix {double}." if double else "Rounding in float64 does not decide them."
        )
    ways = [f"with a smaller tol than {s.tol:.0e}", double, "with verify=True for a second start"]
    return f"To decide them, compute the eigenvalues again {', '.join(filter(None, ways))}."


def seeks(s: Spectrum) -> bool:
    """Return whether repelling eigenvalues, if there were any, would be among those that converged."""
    return s.complete or (_asks(s) and bool(s.converged[0]) and not s.doubt)


def _asks(s: Spectrum) -> bool:
    return s.which == "LM" if s.kind == "map" else s.which in ("SR", "SA")


def opening(s: Spectrum) -> str:
    """Return the opening of a verdict when nothing repels: leading eigenvalues may hide one that does."""
    if s.complete:
        return "Stable"
    if seeks(s):
        return "No instability found"
    if not _asks(s):
        return f"Not decided (repelling eigenvalues are sought by which={'LM' if s.kind == 'map' else 'SR'!r})"
    if s.doubt:
        return f"Not decided ({s.doubt.rstrip('.')})"
    return "Not decided (the leading eigenvalue did not converge)"


def _turning(ratios: Array) -> str:
    fast = int((ratios > 1).sum())
    if not fast:
        return ""
    worst = ratios.max()
    much = "without attracting at all" if np.isinf(worst) else f"up to {worst:.3g} times faster than they attract"
    return f" {fast} rotate {much}, which consensus and extragradient damp."


def caveats(s: Spectrum, neutral: int, tolerance: float, unconverged: int, bounded: bool) -> list[str]:
    words = []
    if neutral:
        words.append(f"{neutral} neutral (within {tolerance:.1e} of {1 if s.kind == 'map' else 0}) left out.")
    if unconverged:
        words.append(f"{unconverged} that did not converge left out.")
    if not s.complete:
        bound = ", and the bound on the step size is an upper bound" if bounded else ""
        words.append(f"This holds among those computed ({len(s)} of {s.n}, {s.which}){bound}.")
    return words


def show(value: complex) -> str:
    if value.imag == 0:
        return f"{value.real:.4g}"
    return f"{value.real:.4g} {'-' if value.imag < 0 else '+'} {abs(value.imag):.4g}i"
