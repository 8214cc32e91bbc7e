"""The restarted Krylov iteration that the symmetric and the non-symmetric solver share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from gantools.analysis.krylov.basis import KrylovBasis
from gantools.analysis.krylov.ritz import Ritz, error_bounds, excess

Array = NDArray[Any]
Progress = Callable[[int, int, int, int], None]


class Method(Protocol):
    """A solver's part of the iteration: extraction of Ritz pairs, and compression of the basis at a restart.

    In each round `iterate` lets the basis grow; asks `extract` for Ritz pairs; stops where these are accepted; and
    restarts from what `compress` keeps once the basis is full.
    """

    @property
    def k(self) -> int:
        """The number of wanted eigenvalues."""
        ...

    def extract(self, basis: KrylovBasis) -> Ritz:
        """Return the k best Ritz pairs of the basis; k + 1 where k would split a conjugate pair."""
        ...

    def compress(self, basis: KrylovBasis, keep: int) -> tuple[Array, Array]:
        """Choose the directions that a restart keeps.

        Args:
            basis: j vectors.
            keep: how many directions, of which a solver may keep fewer by one.

        Returns:
            An orthonormal rotation (j, p) to the best p directions, invariant under the projection, and the projection
            (p, p) on them.
        """
        ...


@dataclass(frozen=True)
class Stopping:
    """The conditions under which a search ends, and how often it computes Ritz pairs to check them.

    Attributes:
        tol: relative tolerance of each eigenvalue's error bound, see `gantools.analysis.krylov.ritz.accepted`.
        limit: products after which the search ends, converged or not.
        minimum: products before which it goes on, even if converged.
        first_check: vectors in the basis before Ritz pairs are first computed.
        every: longest pause between two computations of Ritz pairs, in products.
    """

    tol: float
    limit: int
    minimum: int
    first_check: int
    every: int


class _Schedule:
    """The decisions of one search: after which products to compute Ritz pairs, and when these are good enough.

    A product costs far more than the small eigenvalue problem, which is therefore solved between restarts too, and more
    often where the end is near.
    """

    def __init__(self, stopping: Stopping, k: int):
        self._stopping = stopping
        self._k = k
        self._first_check = stopping.first_check
        self._agreed = 0
        self._looked = 0
        self._next_look = 0
        self._worst = np.inf

    def due(self, basis: KrylovBasis, products: int) -> bool:
        """Return whether to compute Ritz pairs now."""
        asked = products >= self._next_look or self._agreed > 0
        return basis.full or products >= self._stopping.limit or (basis.length >= self._first_check and asked)

    def terminate(self, basis: KrylovBasis, products: int, ratios: Array) -> bool:
        """Return whether to end, given the Ritz pairs' errors (m,) as multiples of the largest accepted one."""
        good = ratios <= 1
        enough = len(good) >= self._k and bool(good.all()) and products >= self._stopping.minimum
        self._agreed = self._agreed + 1 if enough else 0
        worst = float(ratios.max())
        pause = _pause(products - self._looked, self._worst, worst, self._stopping.every)
        self._looked, self._next_look, self._worst = products, products + pause, worst
        # Between restarts one more product must confirm: a Ritz value that is about to appear moves the others.
        return products >= self._stopping.limit or (enough and (basis.full or self._agreed > 1))

    def restarted(self, basis: KrylovBasis) -> None:
        """Note that the basis was shrunk."""
        self._first_check = min(self._first_check, basis.length + 1)


def _pause(products: int, before: float, now: float, longest: int) -> int:
    """Return after how many products to compute Ritz pairs again: half of what the worst needs at its present rate.

    Args:
        products: made since the last time.
        before: the worst pair's error then, as a multiple of the largest accepted one.
        now: the same now.
        longest: the pause where the error has not fallen.
    """
    if not 1.0 < now < before < np.inf:
        return longest
    needed = products * np.log(now) / np.log(before / now)
    return int(np.clip(needed / 2, 1, longest))


def _kept(basis: KrylovBasis, k: int, good: int) -> int:
    """Return how many directions a restart keeps of a full basis when `good` of the k wanted pairs have converged."""
    # The wanted and more as they converge, as ARPACK does, but never only those: what comes next in line would
    # be lost at every restart. The fractions were tuned on the problems of bench_spectrum.py and on random
    # matrices: keeping half costs more products for SR, a sixth alone more for LI.
    rest = basis.size - k
    return min(k + max(1, rest // 6) + min(good, rest // 3), basis.size - basis.width)


def ignore(*_: int) -> None:
    """Do nothing: for a search that reports to nobody or stores nothing."""


def iterate(
    method: Method,
    basis: KrylovBasis,
    stopping: Stopping,
    products: int = 0,
    progress: Progress = ignore,
    save: Callable[[int], None] = ignore,
) -> tuple[Ritz, int]:
    """Expand and restart a basis until the wanted Ritz pairs are accepted.

    Args:
        method: the solver.
        basis: where to start; it is changed in place.
        stopping: when to end.
        products: products spent on the basis so far, by a search that this one goes on with.
        progress: called with (products, converged, k, limit) after Ritz pairs were computed.
        save: called with the number of products after every restart, and whenever the iteration is interrupted, so that
            the basis can be stored.

    Returns:
        The Ritz pairs, accepted or the last ones, and the number of products.
    """
    schedule = _Schedule(stopping, method.k)
    while True:
        try:
            basis.expand()
            products += basis.width
            if not schedule.due(basis, products) or not basis.settle():
                continue
            ritz = basis.space.agreed(method.extract(basis))
            errors = error_bounds(ritz.residuals, ritz.gaps)
            ratios = excess(errors, ritz.values, stopping.tol, basis.scale, basis.epsilon)
            good = int((ratios <= 1).sum())
            progress(products, good, method.k, stopping.limit)
        except BaseException:
            if basis.length:
                save(products)
            raise
        if schedule.terminate(basis, products, ratios):
            return ritz, products
        if basis.full:
            basis.restart(*basis.space.agreed(method.compress(basis, _kept(basis, method.k, good))))
            schedule.restarted(basis)
            save(products)
