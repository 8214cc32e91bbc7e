"""One Krylov search for leading eigenvalues, from one start vector."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gantools.analysis.eigen.guard import real_form, unite
from gantools.analysis.eigen.spectrum import Spectrum
from gantools.analysis.krylov.basis import KrylovBasis
from gantools.analysis.krylov.iteration import Progress, Stopping, iterate
from gantools.analysis.krylov.krylov_schur import KrylovSchur
from gantools.analysis.krylov.ritz import Ritz, accepted, error_bounds, final_residuals
from gantools.analysis.krylov.selection import INTERIOR, leading
from gantools.analysis.krylov.store import BasisStore
from gantools.analysis.krylov.thick_restart import ThickRestartLanczos
from gantools.analysis.operators.linear_operator import LinearOperator

SEARCHES = 6


@dataclasses.dataclass(frozen=True)
class SearchRequest:
    """The arguments of `eigenvalues` that every search shares.

    Attributes:
        k: wanted eigenvalues.
        which: the selection as the caller named it.
        name: its canonical name, see `criterion`.
        tol: relative tolerance.
        limit: products at most.
        seed: of the first start vector.
        progress: called with (products, converged, k, limit).
        block: vectors added to the basis at a time.
        storage: of the basis, one of `STORAGES`.
        start: the first start vector (n,); None for a random one.
        vectors: whether they are needed.
    """

    k: int
    which: str
    name: str
    tol: float
    limit: int
    seed: int
    progress: Progress
    block: int
    storage: str
    start: Tensor | None = None
    vectors: bool = True


def search(
    A: LinearOperator,
    request: SearchRequest,
    size: int,
    seed: int,
    known: Spectrum | None = None,
    path: Path | None = None,
) -> Spectrum:
    """Search for the leading eigenvalues from one random start vector.

    Args:
        A: the operator.
        request: what is wanted.
        size: vectors in the basis.
        seed: of the start vector.
        known: an earlier result; the search starts orthogonally to its converged vectors and makes at least as many
            products.
        path: file for the basis of an interrupted search; a search that finds one goes on from it.
    """
    method = (ThickRestartLanczos if A.symmetric else KrylovSchur)(request.k, request.name)
    basis = KrylovBasis(A, size, torch.Generator().manual_seed(seed), request.block, request.storage)
    if request.start is not None and known is None:
        basis.start_from(request.start)
    if known is not None and known.converged.any():
        basis.lock(*real_form(known))
    stopping = _stopping(request, size, A.symmetric, minimum=known.matvecs if known else 0)
    store = BasisStore(path)
    A.prepare(3 * size)  # what most searches take
    before = store.load(basis)
    ritz, products = iterate(method, basis, stopping, before or 0, request.progress, partial(store.save, basis))
    found = measured(A, basis, ritz, request, seed)
    store.remove()
    checks = found.check_matvecs + (before is not None)
    message = _reached(found.converged.numpy(), request, products, size)
    return dataclasses.replace(found, matvecs=products, check_matvecs=checks, message=message)


def verified(A: LinearOperator, first: Spectrum, request: SearchRequest, size: int) -> Spectrum:
    """Search again, orthogonally to what is known, until a search finds nothing new; return the union."""
    known, products, added, clear = first, 0, 0, False
    # More values than are locked must converge: a search that stops where it began has examined nothing.
    further = dataclasses.replace(request, k=request.k + (1 if A.symmetric else 2))
    for attempt in range(1, SEARCHES + 1):
        second = search(A, further, size, request.seed + attempt, known)
        products += second.matvecs + second.check_matvecs
        known, new = unite(known, second, request.k, request.name)
        added += new
        clear = new == 0 and bool(second.converged.all())
        if clear or not second.converged.all():
            break
    agree = clear and bool(known.converged.all())
    found = f"{added} that the first start had missed were added. " if added else ""
    if agree:
        words = f"Converged. {found}A last search, orthogonal to these, found nothing that was missed."
    else:
        words = f"{first.message} {found}In doubt: the last search was not clear; raise basis= and verify again."
    return dataclasses.replace(known, guard_matvecs=products, verified=agree, message=words)


def measured(A: LinearOperator, basis: KrylovBasis, ritz: Ritz, request: SearchRequest, seed: int) -> Spectrum:
    """Return Ritz pairs as a spectrum, with residuals from one more product each, and who converged by these."""
    values, residuals, X = final_residuals(A, basis, ritz, request.vectors)
    errors = error_bounds(residuals, ritz.gaps)
    good = accepted(errors, values, request.tol, basis.scale, A.precision, slack=1.0)
    best = leading(values, len(values), request.name)
    return Spectrum(
        values=torch.from_numpy(values[best]),
        residuals=torch.from_numpy(residuals[best]),
        errors=torch.from_numpy(errors[best]),
        converged=torch.from_numpy(good[best]),
        vectors=None if X is None else X[:, torch.from_numpy(best).to(X.device)],
        which=request.which,
        tol=request.tol,
        dtype=A.dtype,
        seed=seed,
        kind=A.kind,
        n=A.n,
        scale=basis.scale,
        complete=False,
        matvecs=0,
        check_matvecs=len(values),
        least_conditions=None if A.symmetric else torch.from_numpy(_least_conditions(basis, ritz)[best]),
        parts=A.slices,
        precision=A.precision,
    )


def _least_conditions(basis: KrylovBasis, ritz: Ritz) -> NDArray[Any]:
    """Return the condition numbers (k,) that the Ritz values have as eigenvalues of the projection."""
    values, Y = (part.numpy() for part in torch.linalg.eig(torch.from_numpy(basis.square)))
    numbers = np.linalg.norm(np.linalg.pinv(Y), axis=1)
    nearest = np.abs(values - np.asarray(ritz.values)[:, None]).argmin(axis=1)
    return np.maximum(numbers[nearest], 1.0)


def _stopping(request: SearchRequest, size: int, symmetric: bool, minimum: int) -> Stopping:
    """Return the stopping conditions of a search with a basis of `size` vectors."""
    # Looking early saves products, except under LI: there the first Ritz values to settle are the large real ones, and
    # a basis that has not yet met the small pairs behind them would call everything real.
    early = max(4 * request.k, 2 * request.k + 20) if request.name == "LI" else 2 * request.k + 1
    every = max(1, size // 20) if symmetric else max(2, size // 15)
    return Stopping(request.tol, request.limit, minimum, min(early, size), every)


def _reached(good: NDArray[Any], request: SearchRequest, products: int, size: int) -> str:
    k, limit = request.k, request.limit
    if good.all() and len(good) >= k:
        return "Converged."
    advice, reason = f"raise max_matvecs (now {limit}) or basis (now {size})", ""
    if products < limit:
        stored = request.storage == "bfloat16"
        reason = f", the rest stopped at the rounding of {'a basis in bfloat16' if stored else 'its products'}"
        advice = "raise tol, or store it on the device or the host" if stored else "raise tol"
    inside = " These lie inside the spectrum, where products alone do not converge." if request.name in INTERIOR else ""
    return f"Only {int(good.sum())} of {k} converged after {products} products{reason}: {advice}.{inside}"
