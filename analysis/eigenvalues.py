"""The leading eigenvalues of any operator, with residuals, and a second opinion on request."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gantools.analysis.dense import dense_eigenvalues
from gantools.analysis.guard import find_doubt, real_form, unite
from gantools.analysis.interior import Inverse
from gantools.analysis.krylov import Progress, accepted, error_bounds, final_residuals, iterate
from gantools.analysis.krylov_basis import STORAGES, KrylovBasis
from gantools.analysis.krylov_schur import KrylovSchur
from gantools.analysis.lanczos import ThickRestartLanczos
from gantools.analysis.linear_operator import LinearOperator
from gantools.analysis.result import Spectrum
from gantools.analysis.selection import INTERIOR, criterion, leading
from gantools.errors import GantoolsError
from gantools.registry import suggest

DENSE_LIMIT = 5000
SEARCHES = 6
INNER_LIMIT = 2000


@dataclasses.dataclass(frozen=True)
class _Request:
    """What was asked for, the same in every search: see `eigenvalues`; `name` is the criterion behind `which`."""

    k: int
    which: str
    name: str
    tol: float
    limit: int
    seed: int
    progress: Progress | None
    block: int
    storage: str


def eigenvalues(
    A: LinearOperator,
    k: int = 10,
    which: str = "LM",
    tol: float = 1e-6,
    basis: int | None = None,
    max_matvecs: int | None = None,
    seed: int = 0,
    vectors: bool = True,
    verify: bool = False,
    progress: Progress | None = None,
    dense_limit: int = DENSE_LIMIT,
    guard: bool = True,
    store: str | Path | None = None,
    block: int = 1,
    storage: str = "device",
) -> Spectrum:
    r"""Compute the k leading eigenvalues of an operator from its products.

    Thick-restart Lanczos (Wu and Simon 2000) for symmetric operators, Krylov-Schur (Stewart 2001) otherwise, on the
    operator's device.

    Args:
        A: the operator, (n, n).
        k: how many; k + 1 are returned where k would split a conjugate pair.
        which: LM (largest modulus), LR, SR (largest, smallest real part), LI (largest |Im|); for symmetric operators
            also LA = LR, SA = SR and BE (both ends, by turns from the top). SM (smallest modulus), NI and NU (nearest
            to the imaginary axis, to the unit circle) may lie inside the spectrum, where products alone do not
            converge: up to n = `dense_limit` they are taken from the whole matrix; beyond, SM by shift-invert with
            inner solves, NI and NU by the plain method, which finds them where they are extreme. What did not converge
            is marked.
        tol: relative to max(|value|, eps^(2/3) scale), on the error bound of each value: for symmetric operators
            min(r, max(r^2/gap, r/10)), since the gap is estimated; otherwise the residual r.
        basis: vectors kept, by default max(2k + 1, 20) if symmetric, else max(6k, 2k + 20). Smaller ones lose
            eigenvalues silently: at 2k + 1 every solver, ARPACK too, calls GAN Jacobians "all real" under LI.
        max_matvecs: stop after so many products, by default 50 bases; what was reached is returned and marked.
        seed: of the start vector.
        vectors: return them, unit length, (n, k), on the operator's device.
        verify: search on from a random start orthogonal to what was found, with twice the basis and at least as many
            products again. Residuals prove that a value is an eigenvalue, not that none was missed: one hidden from the
            first start, or a further copy of a multiple one, of which a Krylov space contains a single one. The union
            is returned, doubt in `message`, and `verified` says whether nothing new was found.
        progress: called with (products, converged, k).
        dense_limit: largest n for which the whole matrix may be formed (SM, NI, NU).
        guard: spend four products at most on cheap tests whether something may be missing (`doubt`), unless verified.
        store: file that the basis is saved to, at restarts and when interrupted; a later call with the same arguments
            goes on from it. It is removed at the end. Not for SM by shift-invert.
        block: vectors added to the basis at a time. One needs the fewest products; a block finds as many copies of a
            multiple eigenvalue at once, and saves time where a block of products costs less than its columns alone.
        storage: of the basis: "device", "host" (main memory), or "bfloat16" (half the memory of float32; residuals
            cannot fall below about 0.2 % of the norm of A: give such a tol).

    Returns:
        A `Spectrum`, best first. Not converged is a result, with a sentence.

    Raises:
        GantoolsError: for k, which, basis or tol that cannot be meant, and for products that are not finite.
    """
    name = criterion(which, A.symmetric)
    _check(A, k, tol, basis, max_matvecs, block, storage)
    usual = max(2 * k + 1, 20) if A.symmetric else max(6 * k, 2 * k + 20)
    size = min(basis or max(usual, k + 10 * block if block > 1 else 0), A.n)
    inside = name in INTERIOR and dense_limit >= A.n
    if inside or size + block >= A.n or k >= A.n - 2:
        return _dense(A, k, which, name, vectors, inside)
    limit = max_matvecs or 50 * size
    request = _Request(k, which, name, tol, limit, seed, progress, block, storage)
    if name == "SM":
        if store is not None:
            raise GantoolsError("store= keeps no shift-invert: leave it out under which='SM', or pass another which=.")
        best = _inverted(A, request, size)
    else:
        best = _solve(A, request, size, seed, store=None if store is None else Path(store))
        if verify:
            best = _verified(A, best, request, min(2 * size, A.n - block))
        elif guard:
            best = find_doubt(A, best, k, name, seed)
    return best if vectors else dataclasses.replace(best, vectors=None)


def _check(
    A: LinearOperator, k: int, tol: float, basis: int | None, max_matvecs: int | None, block: int, storage: str
) -> None:
    if not 1 <= k <= A.n:
        raise GantoolsError(f"k = {k} eigenvalues cannot be had of a {A.n} x {A.n} operator: ask for 1 to {A.n}.")
    if basis is not None and basis < min(k + 3, A.n):
        raise GantoolsError(f"basis = {basis} is too small for k = {k}: give at least k + 3 = {k + 3}, better 6k.")
    if block < 1 or (basis is not None and basis < k + 2 * block < A.n):
        raise GantoolsError(f"block = {block} does not fit: give 1 or more, and a basis of k + 2 blocks at least.")
    if storage not in STORAGES:
        raise suggest("storage", storage, list(STORAGES))
    if not tol > 0:
        raise GantoolsError(f"tol = {tol} cannot be reached: give a positive relative tolerance such as 1e-6.")
    if max_matvecs is not None and max_matvecs < 1:
        raise GantoolsError(f"max_matvecs = {max_matvecs} allows no product: give at least a few times k.")


def _dense(A: LinearOperator, k: int, which: str, name: str, vectors: bool, inside: bool) -> Spectrum:
    result = dense_eigenvalues(A, k, which, vectors, A.n)
    reason = f"which={which!r} may lie inside the spectrum" if inside else "the basis would be as large as the matrix"
    return dataclasses.replace(result, message=f"From the whole matrix, since {reason}.")


def _inverted(A: LinearOperator, request: _Request, size: int) -> Spectrum:
    """Return the eigenvalues nearest to zero: the largest of the inverse, put back and judged by A itself."""
    before = A.matvecs
    inverse = Inverse(A, min(1e-2 * request.tol, 1e-8), inner_limit=INNER_LIMIT)
    # Two more than asked for: they tell the gaps.
    outside = dataclasses.replace(request, k=request.k + 2, name="LM", limit=min(request.limit, 3 * size))
    found = _solve(inverse, outside, size, request.seed)
    assert found.vectors is not None
    # Backwards, so that the conjugate with positive imaginary part comes first again.
    vectors, known = found.vectors.flip(1), found.values.numpy()[::-1]
    values = 1 / np.where(known == 0, np.inf, known)
    product = A @ vectors
    if A.symmetric:
        values = (vectors.double() * product.double()).sum(dim=0).cpu().numpy()
    shifted = vectors * torch.as_tensor(values).to(vectors)
    residuals = torch.linalg.vector_norm(product - shifted, dim=0).double().cpu().numpy()
    scale = max(found.scale and 1 / found.scale, float(torch.linalg.vector_norm(product, dim=0).max()))
    apart = np.abs(values[:, None] - values) + np.diag(np.full(len(values), np.inf))
    errors = residuals.copy()
    if A.symmetric:
        # Parlett's bound: these gaps are between values that converged.
        gap = np.maximum(apart.min(axis=1) - residuals, 0.0)
        errors = np.where(gap > residuals, residuals**2 / np.maximum(gap, 1e-300), residuals)
    good = accepted(errors, values, request.tol, scale, A.dtype, slack=1.0)
    chosen = leading(values, request.k, "SM")
    order = torch.from_numpy(chosen)
    words = "Converged, by shift-invert."
    if not good[chosen].all():
        words = (
            f"Only {int(good[chosen].sum())} of {request.k} converged: {inverse.failures} inner solves did not; the "
            "spectrum is too dense near zero for products alone (use index or spectral_density, or raise dense_limit=)."
        )
    fields = {"values": values, "residuals": residuals, "errors": errors, "converged": good}
    arrays: dict[str, Any] = {name: torch.from_numpy(array)[order] for name, array in fields.items()}
    spent = {"matvecs": A.matvecs - before - len(values), "check_matvecs": len(values)}
    vectors = vectors[:, order.to(vectors.device)]
    return dataclasses.replace(found, **arrays, **spent, vectors=vectors, which="SM", scale=scale, message=words)


def _solve(
    A: LinearOperator,
    request: _Request,
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


def _reached(good: NDArray[Any], request: _Request, products: int, size: int) -> str:
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


def _verified(A: LinearOperator, first: Spectrum, request: _Request, size: int) -> Spectrum:
    """Search again, orthogonally to what is known, until a search finds nothing new; return the union."""
    known, products, added = first, 0, 0
    # More than what is locked must converge: a search that stops where it began has looked at nothing.
    further = dataclasses.replace(request, k=request.k + (1 if A.symmetric else 2))
    for attempt in range(1, SEARCHES + 1):
        search = _solve(A, further, size, request.seed + attempt, known)
        products += search.matvecs + search.check_matvecs
        known, new = unite(known, search, request.k, request.name)
        added += new
        clear = new == 0 and bool(search.converged.all())
        if clear or not search.converged.all():
            break
    agree = clear and bool(known.converged.all())
    found = f"{added} that the first start had missed were added. " if added else ""
    if agree:
        words = f"Converged. {found}A last search, orthogonal to these, found nothing that was missed."
    else:
        words = f"{first.message} {found}In doubt: the last search was not clear; raise basis= and verify again."
    return dataclasses.replace(known, guard_matvecs=products, verified=agree, message=words)
