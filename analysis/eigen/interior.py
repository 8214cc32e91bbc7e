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
import torch

from gantools.analysis.eigen.search import SearchRequest, search, verified
from gantools.analysis.eigen.shift_invert import shift_invert
from gantools.analysis.eigen.spectrum import Spectrum
from gantools.analysis.eigen.wide import MOST, room, wide
from gantools.analysis.krylov.gram_schmidt import ROUNDING
from gantools.analysis.krylov.iteration import ignore
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
        there = dataclasses.replace(request, name=end)
        found = verified(A, search(A, there, size, request.seed), there, min(2 * size, A.n - request.block))
        certified = f"{why}, where two starts agree." if found.verified else ""
    else:
        found, certified = wide(A, request, size)
        few = room(A) < min(A.n, MOST, request.limit)  # so that products of a solve, which keep nothing, may do better
        if few and not A.space.shared and not found.converged.all() and A.symmetric and request.name != "NU":
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
        doubt="" if certified else f"Nothing shows that none nearer to {NAMES[request.name]} is missing.",
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
    if name == "SM" or not A.has_transpose or (name == "NI" and A.symmetric):
        return "", ""
    u = A.space.normal(A.dtype, A.device, torch.Generator().manual_seed(0))
    product = (A @ u).double()
    u = u.double()
    # What one vector disproves needs no search.
    if name == "NU":
        if A.space.norm(product) >= A.space.norm(u):
            return "", ""
        bound = _outermost(gram(A), "LA", 1.0)
        why = f"The norm is at most {max(bound, 0.0) ** 0.5:.6g}, so the nearest have the largest modulus"
        return ("LM", why) if bound < 1 else ("", "")
    which = "SA" if float(A.space.total(u @ product)) > 0 else "LA"
    bound = _outermost(symmetric_part(A), which, 0.0)
    if which == "SA" and bound > 0:
        return "SR", f"All real parts are at least {bound:.3g} (Bendixson), so the nearest are the smallest"
    if which == "LA" and bound < 0:
        return "LR", f"All real parts are at most {bound:.3g} (Bendixson), so the nearest are the largest"
    return "", ""


def _outermost(S: LinearOperator, which: str, border: float) -> float:
    """Return the outermost of two starts' eigenvalues, moved outwards by its residual; infinite if not settled.

    Args:
        S: symmetric.
        which: "SA" or "LA".
        border: beyond which one start is enough.
    """
    sign, bound = (-1 if which == "SA" else 1), -np.inf
    for seed in (0, 1):
        name = "SR" if which == "SA" else "LR"
        request = SearchRequest(1, which, name, 1e-3, BOUND_PRODUCTS, seed, ignore, 1, "device")
        s = search(S, request, min(BOUND_BASIS, S.n - 1), seed)
        reached = sign * float(s.values[0]) + float(s.residuals[0]) + _floor(S, s.scale)
        bound = max(bound, reached if s.converged.all() else np.inf)
        if bound >= sign * border:
            break
    return sign * bound
