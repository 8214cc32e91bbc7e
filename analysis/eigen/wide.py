r"""Eigenvalues inside a spectrum from one Krylov basis that is never restarted, and a test that none is missing.

Let $V$ be the basis of m steps from a random unit vector u, and q the unit left eigenvector of a value $\lambda$. For
every polynomial p of degree m with $p(\lambda) = 1$ we have $q^* u = q^* p(A) u$, so that
$$|q^* u| \le g(\lambda) = \min_y \|u - (A - \lambda) V y\|,$$
the residual of GMRES (Saad and Schultz 1986) at the shift $\lambda$, which the small matrix tells at every shift
without further products. A normal vector has $|q^* u| < \eta / \sqrt n$ with probability about $\eta$ only. Where g is
that small all about the target, and every Ritz value near it has converged, a further eigenvalue there is unlikely; a
second start, orthogonal to the vectors found, squares the probability, and meets further copies.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gantools.analysis.eigen.guard import real_form, unite
from gantools.analysis.eigen.search import SearchRequest, measured
from gantools.analysis.eigen.spectrum import Spectrum
from gantools.analysis.krylov.basis import KrylovBasis
from gantools.analysis.krylov.ritz import Ritz, accepted, error_bounds
from gantools.analysis.krylov.selection import leading, scores
from gantools.analysis.krylov.thick_restart import gaps
from gantools.analysis.operators.linear_operator import LinearOperator

Array = NDArray[Any]

MEMORY = 2 * 2**30  # bytes of a basis
MOST = 2000  # vectors of a basis: the small problem takes their third power
UNLIKELY = 1e-2  # probability that a start sees too little of an eigenvector
ALONG, ACROSS = 64, 9  # shifts that stand for the band about the target
STARTS = 6


@dataclasses.dataclass(frozen=True)
class _Look:
    """What the Ritz pairs of a basis show.

    Attributes:
        ritz: the wanted pairs.
        enough: whether k pairs were accepted and no Ritz value that may be nearer was not.
        distance: of the k-th accepted value from the target; infinite where there are fewer.
        hidden: bound on the component of the start along an eigenvector not yet found, times the square root of n.
    """

    ritz: Ritz
    enough: bool
    distance: float
    hidden: float


def wide(A: LinearOperator, request: SearchRequest, size: int) -> tuple[Spectrum, str]:
    """Search for the eigenvalues nearest to the target of SM, NI or NU.

    Args:
        A: the operator.
        request: what is wanted.
        size: vectors after which to look for the first time.

    Returns:
        The best found, and a sentence on what shows that none nearer is missing; empty where nothing does.
    """
    most = min(A.n, max(min(MOST, request.limit, room(A)), size))
    found, certified, length = _from_start(A, request, size, most, request.seed)
    for attempt in range(1, STARTS):
        if not certified or length == A.n:
            return found, certified
        # As many vectors again from another start, orthogonal to those found.
        again, certified, length = _from_start(A, request, length, most, request.seed + attempt, found)
        checks = found.check_matvecs + again.check_matvecs
        found, new = unite(found, again, request.k, request.name)
        found = dataclasses.replace(found, check_matvecs=checks)
        if certified and not new:
            return found, certified
    return found, ""


def room(A: LinearOperator) -> int:
    """Return how many vectors memory holds."""
    return MEMORY // (A.space.held * A.dtype.itemsize)


def _from_start(
    A: LinearOperator, request: SearchRequest, size: int, most: int, seed: int, known: Spectrum | None = None
) -> tuple[Spectrum, str, int]:
    """Grow a basis from one start until its Ritz values show enough; also return how many vectors that took."""
    basis = KrylovBasis(A, most, torch.Generator().manual_seed(seed), storage=request.storage)
    if known is not None:
        basis.lock(*real_form(known))
    first, due = basis.length, min(size, most)
    while True:
        basis.fill(due)
        look, whole = _look(basis, request, first), basis.length == A.n
        certain = look.enough and (whole or look.hidden <= UNLIKELY)
        request.progress(A.matvecs, request.k if certain else 0, request.k, request.limit)
        if certain or due == most:
            break
        due = min(most, due + due // 2)
    words = "The Krylov basis spans the whole space, and holds none that is nearer."
    if not whole:
        words = (
            f"Two starts of {basis.length} products or more see no other eigenvector of a value within "
            f"{look.distance:.3g} of the target; one that exists escapes with a probability of about {UNLIKELY**2:.0e}."
        )
    found = measured(A, basis, look.ritz, request, seed)
    return found, words if certain and bool(found.converged.all()) else "", basis.length


def _look(basis: KrylovBasis, request: SearchRequest, first: int) -> _Look:
    """Judge a basis of which the vector `first` is a random start, and those before are locked."""
    A, square = basis.operator, torch.from_numpy(basis.square)
    if A.symmetric:
        values, Y = (part.numpy() for part in torch.linalg.eigh(square, UPLO="U"))
        residuals = basis.residuals(Y)
        gap = gaps(values, residuals)
    else:
        values, Y = (part.numpy() for part in torch.linalg.eig(square))
        residuals, gap = basis.residuals(Y), np.zeros(len(values))
    good = accepted(error_bounds(residuals, gap), values, request.tol, basis.scale, A.precision)
    away, limit = -scores(values, request.name), np.inf
    if good.sum() >= request.k:
        limit = float(np.sort(away[good])[request.k - 1])
    near = away - residuals <= limit
    wanted = leading(values, request.k, request.name, np.where(good, 0.0, residuals))
    hidden = np.inf
    if enough := limit < np.inf and bool(good[near].all()):
        points = _points(request.name, limit, float(np.abs(values).max()), A.symmetric)
        hidden = A.n**0.5 * float(_seen(basis, values, Y, ~good, first, points).max())
    return _Look(Ritz(values[wanted], Y[:, wanted], residuals[wanted], gap[wanted]), enough, limit, hidden)


def _seen(basis: KrylovBasis, values: Array, Y: Array, rest: Array, first: int, points: Array) -> Array:
    r"""Return g (p,) at shifts (p,), for the start without its components along the accepted Ritz vectors.

    With $A V = V H + w f$ and $H = Y \Theta Y^{-1}$ the residual of GMRES for the right-hand side $V b$ is
    $|z b| / \sqrt{1 + \|z\|^2}$, where $z = f (H - \lambda)^{-1}$.

    Args:
        basis: $V$ and its projection.
        values: $\Theta$ (j,).
        Y: (j, j).
        rest: (j,) which Ritz vectors stay in the start.
        first: the row of the start.
        points: $\lambda$ (p,).
    """
    inverse = Y.T if basis.operator.symmetric else np.linalg.pinv(Y)
    start = inverse[:, first]
    distance, least = values - points[:, None], max(basis.epsilon * basis.scale, 1e-300)
    coupled = (basis.border @ Y)[0] / np.where(np.abs(distance) <= least, least, distance)
    return np.abs(coupled[:, rest] @ start[rest]) / np.sqrt(1 + np.linalg.norm(coupled @ inverse, axis=1) ** 2)


def _points(name: str, distance: float, largest: float, symmetric: bool) -> Array:
    """Return shifts in the upper half of the band of a half-width about the target; of real ones, on the real axis."""
    across = distance * np.linspace(-1, 1, ACROSS)
    if symmetric:
        return np.concatenate([across - 1, across + 1]) if name == "NU" else across
    along = np.linspace(0, 1, ALONG)
    if name == "NI":
        points = across + 1.2j * largest * along[:, None]
    elif name == "NU":
        points = (1 + across) * np.exp(1j * np.pi * along)[:, None]
    else:
        points = np.abs(across) * np.exp(1j * np.pi * along)[:, None]
    return points.ravel()
