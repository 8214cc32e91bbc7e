"""Henrici's departure from normality: the Frobenius norm of the Schur form above its diagonal."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from scipy.linalg import schur

from gantools.analysis.eigen.dense import assemble
from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.errors import GantoolsError


@dataclass(frozen=True)
class Normality:
    r"""Henrici's departure from normality, $\mathrm{dep}^2 = \|A\|_F^2 - \sum |\lambda_i|^2$.

    Attributes:
        departure: the departure where it is known exactly, else its lower bound.
        relative: departure over the Frobenius norm: 0 for normal, towards 1 for nilpotent.
        lower: lower bound on the departure, itself where it is exact.
        upper: upper bound on the departure, itself where it is exact.
        commutator: $\|A^\top A - A A^\top\|_F$.
        frobenius: $\|A\|_F$.
        exact: from the whole matrix; otherwise the norms are estimates from `probes` random vectors, without the
            coverage that a confidence interval has.
        n: order of the operator.
        matvecs: products spent.
        dtype: of the products.
    """

    departure: float
    relative: float
    lower: float
    upper: float
    commutator: float
    frobenius: float
    exact: bool
    n: int
    matvecs: int
    dtype: torch.dtype

    def __str__(self) -> str:
        if self.exact:
            return (
                f"Departure from normality {self.departure:.4g}, {self.relative:.1%} of the Frobenius norm "
                f"{self.frobenius:.4g} (n = {self.n}, exact)."
            )
        return (
            f"Departure from normality about {self.lower:.4g} at least, {self.relative:.1%} of the Frobenius norm "
            f"{self.frobenius:.4g} (n = {self.n}, from {self.matvecs} products)."
        )


def departure_from_normality(A: LinearOperator, max_whole: int = 2000, probes: int = 30, seed: int = 0) -> Normality:
    r"""Measure how far an operator is from normal (Henrici 1962).

    From the whole matrix by its Schur form, whose part above the diagonal has the departure as its norm: the
    difference of squares would lose half of the digits. Beyond `max_whole` from the commutator
    $C = A^\top A - A A^\top$, by random signs: $\|A\|_F^2 - \sqrt{\|A\|_F^4 - \|C\|_F^2/2} \le \mathrm{dep}^2 \le
    \sqrt{(n^3 - n)/12}\, \|C\|_F$ (Elsner and Paardekooper 1987, Henrici).

    Args:
        A: an operator with a transpose.
        max_whole: largest n for which the whole matrix is formed; the work grows as n^3.
        probes: of the estimate; four products each.
        seed: of the probes.
    """
    n = A.n
    if max_whole >= n:
        matrix = assemble(A, max_whole)
        T = schur(matrix, output="complex")[0]
        departure, norm = float(np.linalg.norm(np.triu(T, 1))), float(np.linalg.norm(matrix))
        commutator = float(np.linalg.norm(matrix.T @ matrix - matrix @ matrix.T))
        relative = departure / norm if norm else 0.0
        return Normality(departure, relative, departure, departure, commutator, norm, True, n, n, A.dtype)
    if probes < 1:
        raise GantoolsError(f"probes = {probes} measure nothing: give 1 or more.")
    G = (2 * torch.randint(2, (n, probes), generator=torch.Generator().manual_seed(seed)) - 1).to(A.device, A.dtype)
    forth, back = A @ G, A.T @ G
    squared = float(((forth.double() ** 2).sum() + (back.double() ** 2).sum()) / (2 * probes))
    commutator = float((A.T @ forth - A @ back).double().norm()) / math.sqrt(probes)
    lower = math.sqrt(max(squared - math.sqrt(max(squared**2 - commutator**2 / 2, 0.0)), 0.0))
    upper = math.sqrt(min(math.sqrt((float(n) ** 3 - n) / 12) * commutator, squared))
    norm = math.sqrt(squared)
    relative = lower / norm if norm else 0.0
    return Normality(lower, relative, lower, max(upper, lower), commutator, norm, False, n, 4 * probes, A.dtype)
