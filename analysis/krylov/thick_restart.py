"""The thick-restart Lanczos method for leading eigenpairs of symmetric operators."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gantools.analysis.krylov.basis import KrylovBasis
from gantools.analysis.krylov.ritz import Ritz
from gantools.analysis.krylov.selection import leading

Array = NDArray[Any]


@dataclass(frozen=True)
class ThickRestartLanczos:
    """Thick-restart Lanczos (Wu and Simon, SIAM J. Matrix Anal. Appl. 22, 2000), with full reorthogonalisation.

    Differs from the paper in that the projection is taken as computed by Gram-Schmidt instead of as an arrowhead plus
    a tridiagonal: the same in exact arithmetic, and after a breakdown or in float32 the truthful one.

    Attributes:
        k: wanted eigenvalues.
        which: canonical name of the selection, see `criterion`.
    """

    k: int
    which: str

    def extract(self, basis: KrylovBasis) -> Ritz:
        """Return the k best Ritz pairs, with estimated gaps."""
        values, vectors = _decompose(basis)
        residuals = basis.residuals(vectors)
        chosen = leading(values, self.k, self.which)
        return Ritz(values[chosen], vectors[:, chosen], residuals[chosen], gaps(values, residuals)[chosen])

    def compress(self, basis: KrylovBasis, keep: int) -> tuple[Array, Array]:
        """Return coordinates (j, p) of the p = `keep` best Ritz vectors and the diagonal projection (p, p) on them."""
        values, vectors = _decompose(basis)
        chosen = leading(values, keep, self.which)
        return vectors[:, chosen], np.diag(values[chosen])


def _decompose(basis: KrylovBasis) -> tuple[Array, Array]:
    # torch's LAPACK keeps to torch.set_num_threads; NumPy's own threads spin for 100 ms on a busy machine.
    values, vectors = torch.linalg.eigh(torch.from_numpy(basis.square), UPLO="U")
    return values.numpy(), vectors.numpy()


def gaps(values: Array, residuals: Array) -> Array:
    """Estimate the distance of each of the sorted Ritz values (m,) from the rest of the spectrum, at least 0.

    The spectrum is not known; the neighbouring Ritz values stand for it, each allowed to lie nearer by its own
    residual. Values nearer to each other than their residuals are one cluster: its distance to the others counts, and
    its joint residual, which is expressed by shrinking the gap.
    """
    apart = np.diff(values) > residuals[1:] + residuals[:-1]
    first = np.flatnonzero(np.append(True, apart))
    last = np.append(first[1:], len(values)) - 1
    joint = np.sqrt(np.add.reduceat(residuals**2, first))
    below = np.append(np.inf, values[first[1:]] - values[last[:-1]] - joint[:-1])
    above = np.append(values[first[1:]] - values[last[:-1]] - joint[1:], np.inf)
    gap = np.maximum(np.minimum(below, above), 0.0)
    if len(gap) == 1:
        return np.zeros(len(values))
    label = np.cumsum(np.append(0, apart))
    share = np.divide(residuals, joint[label], out=np.ones(len(values)), where=joint[label] > 0)
    return gap[label] * share**2
