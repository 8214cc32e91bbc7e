r"""Eigenvalues nearest to 0, to the imaginary axis or to the unit circle, and what shows that none nearer is missing.

Residuals prove that a value is an eigenvalue; that no other is nearer needs a proof of its own:

- the target lies beyond one end of the spectrum: the symmetric part is definite, so that all real parts have one sign
  (Bendixson 1902), or $\|A\|_2 < 1$, so that all moduli are below 1; an ordinary search for that end then finds them;
- what was found lies on the target itself, within rounding: nothing can be nearer;
- two starts without restarts, after which an eigenvector not yet found is unlikely (see `wide`).

Otherwise the best that was found is returned, with a doubt. Shift-invert by inner solves is the last resort, for
symmetric operators of which memory holds a small basis only.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from gantools.analysis.eigen.guard import find_doubt
from gantools.analysis.eigen.search import SearchRequest, search
from gantools.analysis.eigen.shift_invert import shift_invert
from gantools.analysis.eigen.spectrum import Spectrum
from gantools.analysis.eigen.wide import MOST, room, wide
from gantools.analysis.krylov.gram_schmidt import ROUNDING
from gantools.analysis.krylov.selection import scores
from gantools.analysis.operators.algebra import gram, symmetric_part
from gantools.analysis.operators.linear_operator import LinearOperator

NAMES = {"SM": "0", "NI": "the imaginary axis", "NU": "the unit circle"}
BOUND_PRODUCTS, BOUND_BASIS = 400, 40


def interior(A: LinearOperator, request: SearchRequest, size: int) -> Spectrum:
    """Compute the eigenvalues nearest to the target of the selection, certified where that can be had."""
    before = A.matvecs
    end, why = _end(A, request.name)
    if end:
        found = search(A, dataclasses.replace(request, name=end), size, request.seed)
        found = find_doubt(A, found, request.k, end, request.seed)
        certified = f"{why}, where an ordinary search finds them." if found.converged.all() else ""
    else:
        found, certified = wide(A, request, size)
        few = room(A) < min(A.n, MOST, request.limit)  # so that products of a solve, which keep nothing, may do better
        if few and not found.converged.all() and A.symmetric and request.name != "NU":
            found = _better(found, shift_invert(A, request, size))
    near = -scores(found.values.numpy(), request.name)
    if found.converged.all() and len(found) >= request.k and near.max() <= _floor(A, found.scale):
        certified = f"They lie on {NAMES[request.name]} within rounding: none can be nearer."
    spent = A.matvecs - before - found.check_matvecs - found.guard_matvecs
    return dataclasses.replace(
        found,
        which=request.which,
        matvecs=spent,
        certified=certified,
        doubt=found.doubt if certified else f"Nothing shows that none nearer to {NAMES[request.name]} is missing.",
        message=_reached(found, request, bool(end), spent),
    )


def _better(one: Spectrum, other: Spectrum) -> Spectrum:
    return other if other.converged.sum() > one.converged.sum() else one


def _reached(found: Spectrum, request: SearchRequest, end: bool, spent: int) -> str:
    if found.converged.all() and len(found) >= request.k:
        return found.message if "shift-invert" in found.message else "Converged."
    advice = f"raise max_matvecs (now {request.limit}) or basis"
    if not end:
        advice += ". Those inside the spectrum need the whole matrix (raise dense_limit=); index and spectral_density "
        advice += "need no eigenvalues"
    return f"Only {int(found.converged.sum())} of {request.k} converged after {spent} products: {advice}."


def _floor(A: LinearOperator, scale: float) -> float:
    return ROUNDING * A.precision * scale


def _end(A: LinearOperator, name: str) -> tuple[str, str]:
    """Return the selection of an end of the spectrum that the target lies beyond, and what shows it; else nothing."""
    if name == "NU" and A.has_transpose:
        norm = _bounds(A if A.symmetric else gram(A), ("LM",))[0]
        norm = norm if A.symmetric else norm**0.5
        return ("LM", f"The norm is {norm:.6g} < 1, so the nearest have the largest modulus") if norm < 1 else ("", "")
    if name == "NI" and A.has_transpose and not A.symmetric:
        low, high = _bounds(symmetric_part(A), ("SA", "LA"))
        if low > 0 or high < 0:
            part = f"All real parts lie in [{low:.3g}, {high:.3g}] (Bendixson), so the nearest are at one end"
            return "SR" if low > 0 else "LR", part
    return "", ""


def _bounds(S: LinearOperator, ends: tuple[str, ...]) -> list[float]:
    """Return the outermost eigenvalues of a symmetric operator, moved outwards by their residuals; 0 if not settled."""
    bounds = []
    size = min(BOUND_BASIS, S.n)
    for which in ends:
        name = {"SA": "SR", "LA": "LR"}.get(which, which)
        request = SearchRequest(1, which, name, 1e-3, BOUND_PRODUCTS, 0, lambda *_: None, 1, "device")
        s = search(S, request, min(size, S.n - 1), 0)
        value, residual = float(s.values[0]), float(s.residuals[0]) + _floor(S, s.scale)
        value = abs(value) if which == "LM" else value
        outwards = value - residual if which == "SA" else value + residual
        bounds.append(outwards if s.converged.all() else {"SA": -np.inf, "LA": np.inf}.get(which, np.inf))
    return bounds
