"""The leading eigenvalues of an operator, with residuals, and a second search for missed ones on request."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

from gantools.analysis.eigen.dense import dense_eigenvalues
from gantools.analysis.eigen.guard import NOT_ALL, find_doubt
from gantools.analysis.eigen.interior import interior
from gantools.analysis.eigen.left import with_conditions
from gantools.analysis.eigen.search import SearchRequest, search, verified
from gantools.analysis.eigen.spectrum import Spectrum
from gantools.analysis.krylov.iteration import Progress, ignore
from gantools.analysis.krylov.selection import INTERIOR, criterion
from gantools.analysis.krylov.storage import STORAGES
from gantools.analysis.operators.balanced import balanced, in_own_coordinates, rows
from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.errors import GantoolsError
from gantools.registry import suggest

DENSE_LIMIT = 5000
HALF_TOL = 4.0  # in units of eps: what products in half precision allow
INTERIOR_LIMIT = 2000  # products from each start under SM, NI and NU


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
    start: Tensor | None = None,
) -> Spectrum:
    r"""Compute the k leading eigenvalues of an operator from its products.

    Thick-restart Lanczos (Wu and Simon 2000) for symmetric operators, Krylov-Schur (Stewart 2001) otherwise, on the
    operator's device. Most calls are `eigenvalues(A, k=6, which="SR")`, and `values`, `residuals` and `doubt` of the
    result; the arguments from `basis` on are for what does not converge, or does not fit into memory. The residual of
    a value $\lambda$ with the unit vector v is $r = \|A v - \lambda v\|$.

    Args:
        A: the operator, (n, n).
        k: how many; k + 1 are returned where k would split a conjugate pair, all n where there are no more.
        which: LM (largest modulus), LR, SR (largest, smallest real part), LI (largest |Im|); for symmetric operators
            also LA = LR, SA = SR and BE (from both ends in turn, the largest first). SM (smallest modulus), NI and NU
            (nearest to the imaginary axis, to the unit circle) may lie inside the spectrum, where restarts converge
            poorly: up to n = `dense_limit` they are taken from the whole matrix; beyond, from a basis without restarts,
            of `max_matvecs` vectors or what memory holds. `certified` says what shows that none nearer is missing, and
            `doubt` that nothing does.
        tol: relative to max(|value|, eps^(2/3) scale), on the error bound of each value: for symmetric operators
            min(r, max(r^2/gap, r/10)), since the gap is estimated; otherwise the residual r. At least 4 eps of an
            operator in half precision, whose basis and residuals are computed in float32.
        basis: vectors kept, by default max(2k + 1, 20) if symmetric, else max(6k, 2k + 20). Smaller ones lose
            eigenvalues silently: at 2k + 1 every solver, ARPACK too, calls GAN Jacobians "all real" under LI.
        max_matvecs: stop after so many products, by default 50 bases (under SM, NI, NU: vectors from each start, by
            default 2000); values that did not converge are marked.
        seed: of the start vector.
        vectors: return them, unit length, (n, k), on the operator's device; of a sharded game, this process's range.
        verify: search again from a random start orthogonal to the vectors found, with twice the basis and at least as
            many products again. Residuals prove that a value is an eigenvalue, not that none was missed: one hidden
            from the first start, or a further copy of a multiple one, of which a Krylov space contains a single one.
            The union is returned, any doubt is in `message`, and `verified` says whether nothing new was found.
        progress: called with (products, converged, k, limit), the last one how many products there are at most.
        dense_limit: largest n for which the whole matrix may be formed (SM, NI, NU).
        guard: spend four products at most on cheap tests whether something may be missing (`doubt`), unless verified;
            and where the side of a value hinges on its condition number, search for left eigenvectors (`conditions`).
        store: file that the basis is saved to, at restarts and when interrupted; a later call with the same arguments
            goes on from it. It is removed at the end. Not for SM, NI and NU.
        block: vectors added to the basis at a time. One needs the fewest products; a block finds as many copies of a
            multiple eigenvalue at once, and saves time where a block of products costs less than its columns alone.
        storage: of the basis: "device", "host" (main memory), or "bfloat16" (half the memory of float32; residuals
            cannot fall below about 0.2 % of the norm of A: give such a tol).
        start: a vector (n,) in place of the random start vector, such as a sum of the eigenvectors of a nearby
            operator; not for blocks. SM, NI and NU inside a spectrum start at random all the same: that certifies them.

    Returns:
        A `Spectrum`, best first. Where values did not converge there is a result all the same, and `message` says so.

    Raises:
        GantoolsError: for an invalid k, which, basis or tol, and for products that are not finite.

    >>> A = gt.analysis.LinearOperator(lambda u: torch.arange(1.0, 101.0, dtype=u.dtype) * u, 100, symmetric=True)
    >>> gt.analysis.eigenvalues(A, k=2).values
    tensor([100.0000,  99.0000], dtype=torch.float64)
    """
    name = criterion(which, A.symmetric)
    _check_start(A, start, block)
    _check(A, k, tol, basis, max_matvecs, block, storage)
    if k > A.n:
        few = dense_eigenvalues(A, A.n, which, vectors, A.n)
        words = f"These are all {A.n} eigenvalues of a {A.n} x {A.n} operator, of which k = {k} were asked for."
        return dataclasses.replace(few, message=f"{words} {few.message}")
    usual = max(2 * k + 1, 20) if A.symmetric else max(6 * k, 2 * k + 20)
    size = min(basis or max(usual, k + 10 * block if block > 1 else 0), A.n)
    inside = name in INTERIOR and dense_limit >= A.n
    if inside or size + block >= A.n or k >= A.n - 2:
        return _dense(A, k, which, name, vectors, inside)
    own, A = A, balanced(A)
    start = start if start is None or own.scales is None else rows(1 / own.scales, start)
    products = A
    if A.dtype.itemsize < 4:
        A, tol = _in_single(A), max(tol, HALF_TOL * A.precision)
    limit = max_matvecs or (INTERIOR_LIMIT if name in INTERIOR else 50 * size)
    needed = vectors or verify or not (A.symmetric and A.space.shared)
    request = SearchRequest(k, which, name, tol, limit, seed, progress or ignore, block, storage, start, needed)
    best = _searched(A, request, size, verify, guard, store)
    if guard:
        best = with_conditions(A, best, request, size)
    if A is not products:
        best = _as_known(best, products, tol)
    best = in_own_coordinates(own, best)
    return best if vectors else dataclasses.replace(best, vectors=None)


def _searched(
    A: LinearOperator, request: SearchRequest, size: int, verify: bool, guard: bool, store: str | Path | None
) -> Spectrum:
    """Search at an end of the spectrum or inside it, and test whether anything is missing."""
    if store is not None and A.space.shared:
        raise GantoolsError("store= keeps a basis of whole vectors, and processes divide these: leave it out.")
    if request.name in INTERIOR:
        if store is not None:
            raise GantoolsError(
                f"store= keeps the basis of LM, LR, SR, LI and BE only: leave it out under {request.which!r}."
            )
        best = interior(A, request, size)
        return dataclasses.replace(best, verified=bool(best.certified) if verify else None)
    best = search(A, request, size, request.seed, path=None if store is None else Path(store))
    if verify:
        return verified(A, best, request, min(2 * size, A.n - request.block))
    return find_doubt(A, best, request.k, request.name, request.seed) if guard else best


def _in_single(A: LinearOperator) -> LinearOperator:
    """Return an operator in float32 with the products of one in half precision.

    The basis and the residuals are then more precise than the products, whose rounding alone is left to tell.
    """
    transpose = A.T if A.has_transpose and not A.symmetric else None
    reverse = None if transpose is None else transpose.__matmul__
    single = LinearOperator(
        A.__matmul__,
        A.n,
        torch.float32,
        A.device,
        rmatvec=reverse,
        matmat=A.__matmul__,
        rmatmat=reverse,
        symmetric=A.symmetric,
        kind=A.kind,
        space=A.space,
    )
    single.slices, single.parameters = A.slices, A.parameters
    return single


def _as_known(s: Spectrum, A: LinearOperator, tol: float) -> Spectrum:
    """Return the spectrum of an operator in half precision, converged by the residuals alone.

    Rounding does not fall with the square of the residual, as the error of a symmetric operator's value does.
    """
    good = s.converged & (s.residuals <= tol * s.values.abs())
    words = f"Products in {A.dtype} know values to {tol:.1%} at best, which is the tolerance."
    if not good.all():
        words = f"Only {int(good.sum())} of {len(s)} converged. {words}"
        s = dataclasses.replace(s, certified="", doubt=s.doubt or NOT_ALL)
    elif s.converged.all():
        words = f"{s.message} {words}"
    return dataclasses.replace(s, converged=good, errors=s.residuals, dtype=A.dtype, message=words)


def _check(
    A: LinearOperator, k: int, tol: float, basis: int | None, max_matvecs: int | None, block: int, storage: str
) -> None:
    if k < 1:
        raise GantoolsError(f"k = {k} asks for no eigenvalue: ask for 1 or more.")
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


def _check_start(A: LinearOperator, start: Tensor | None, block: int) -> None:
    if start is None:
        return
    held, fits = A.space.held, block == 1 and start.shape == (A.space.held,) and not start.is_complex()
    if not (fits and 0 < float(A.space.norm(start.double())) < float("inf")):
        raise GantoolsError(
            f"start= has shape {tuple(start.shape)}: pass a finite real vector ({held},) other than zero, and block=1."
        )


def _dense(A: LinearOperator, k: int, which: str, name: str, vectors: bool, inside: bool) -> Spectrum:
    result = dense_eigenvalues(A, k, which, vectors, A.n)
    reason = f"which={which!r} may lie inside the spectrum" if inside else "the basis would be as large as the matrix"
    return dataclasses.replace(result, message=f"From the whole matrix, since {reason}.")
