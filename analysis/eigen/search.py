"""One Krylov search for leading eigenvalues, from one start vector."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from gantools.analysis.eigen.guard import real_form
from gantools.analysis.eigen.spectrum import Spectrum
from gantools.analysis.krylov.basis import KrylovBasis
from gantools.analysis.krylov.iteration import Progress, accepted, error_bounds, final_residuals, iterate
from gantools.analysis.krylov.krylov_schur import KrylovSchur
from gantools.analysis.krylov.selection import INTERIOR, leading
from gantools.analysis.krylov.thick_restart import ThickRestartLanczos
from gantools.analysis.operators.linear_operator import LinearOperator


@dataclasses.dataclass(frozen=True)
class SearchRequest:
    """What `eigenvalues` was asked for, the same in every search; `name` is the criterion behind `which`."""

    k: int
    which: str
    name: str
    tol: float
    limit: int
    seed: int
    progress: Progress | None
    block: int
    storage: str


def search(
    A: LinearOperator,
    request: SearchRequest,
    size: int,
    seed: int,
    known: Spectrum | None = None,
    store: Path | None = None,
) -> Spectrum:
    k, name, tol, limit = request.k, request.name, request.tol, request.limit
    method = ThickRestartLanczos() if A.symmetric else KrylovSchur()
    basis = KrylovBasis(A, size, torch.Generator().manual_seed(seed), request.block, request.storage)
    if known is not None and known.converged.any():
        basis.lock(*real_form(known))
    # Looking early saves products, except under LI: there the first Ritz values to settle are the large real ones, and
    # a basis that has not yet met the small pairs behind them would call everything real.
    first_check = min(max(4 * k, 2 * k + 20) if name == "LI" else 2 * k + 1, size)
    every = max(1, size // 20) if A.symmetric else max(2, size // 15)
    least = known.matvecs if known else 0
    resumed = store is not None and store.exists()
    ritz, products = iterate(method, basis, k, name, tol, limit, first_check, every, request.progress, least, store)
    values, residuals, X = final_residuals(A, basis, ritz)
    if store is not None:
        store.unlink(missing_ok=True)
    errors = error_bounds(residuals, ritz.gaps)
    good = accepted(errors, values, tol, basis.scale, A.dtype, slack=1.0)
    best = leading(values, len(values), name)
    values, residuals, errors, good = values[best], residuals[best], errors[best], good[best]
    X = X[:, torch.from_numpy(best).to(X.device)]
    return Spectrum(
        values=torch.from_numpy(values),
        residuals=torch.from_numpy(residuals),
        errors=torch.from_numpy(errors),
        converged=torch.from_numpy(good),
        vectors=X,
        which=request.which,
        tol=tol,
        dtype=A.dtype,
        seed=seed,
        kind=A.kind,
        n=A.n,
        scale=basis.scale,
        complete=False,
        matvecs=products,
        check_matvecs=len(values) + resumed,
        message=_reached(good, request, products, size),
    )


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
