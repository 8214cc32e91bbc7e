"""The Krylov-Schur method for leading eigenpairs of non-symmetric operators, in real arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg
import torch
from numpy.typing import NDArray

from gantools.analysis.krylov.basis import KrylovBasis
from gantools.analysis.krylov.ritz import Ritz
from gantools.analysis.krylov.selection import leading

Array = NDArray[Any]


@dataclass(frozen=True)
class KrylovSchur:
    """Krylov-Schur (Stewart, SIAM J. Matrix Anal. Appl. 23, 2001) on the real Schur form: pairs are never split.

    The small problem goes to LAPACK on the CPU: torch has no Schur decomposition, and cuSOLVER is slower at this size.

    Attributes:
        k: wanted eigenvalues.
        which: canonical name of the selection, see `criterion`.
    """

    k: int
    which: str

    def extract(self, basis: KrylovBasis) -> Ritz:
        """Return the k best Ritz pairs, k + 1 where k would split a conjugate pair; their gaps are 0, not used."""
        # torch's LAPACK keeps to torch.set_num_threads, NumPy's does not.
        values, vectors = (part.numpy() for part in torch.linalg.eig(torch.from_numpy(basis.square)))
        chosen = leading(values, self.k, self.which)
        residuals = basis.residuals(vectors[:, chosen])
        return Ritz(values[chosen], vectors[:, chosen], residuals, np.zeros(len(chosen)))

    def compress(self, basis: KrylovBasis, keep: int) -> tuple[Array, Array]:
        """Return the Schur vectors (j, p) of the p best eigenvalues and the quasi-triangular projection (p, p) on them.

        p is `keep`, or one less where `keep` would split a conjugate pair.
        """
        triangle, rotation = scipy.linalg.schur(basis.square, output="real")[:2]
        chosen = leading(schur_values(triangle), keep, self.which)
        if len(chosen) > keep:
            chosen = chosen[:-2]
        select = np.zeros(len(triangle), dtype=np.int32)
        select[chosen] = 1
        # LAPACK refuses to swap blocks that are too close (info = 1) and leaves a valid Schur form, partly ordered.
        # Its leading part is still invariant, so it is a poorer restart and not a wrong one.
        (reorder,) = scipy.linalg.get_lapack_funcs(("trsen",), (triangle,))
        triangle, rotation = reorder(select, triangle, rotation, job="N", lwork=len(select))[:2]
        p = len(chosen)
        if triangle[p, p - 1] != 0.0:
            p -= 1
        return rotation[:, :p], triangle[:p, :p]


def schur_values(triangle: Array) -> Array:
    """Return the eigenvalues (m,) of a real Schur form in order; LAPACK's 2 x 2 blocks have equal diagonals."""
    values = np.diag(triangle).astype(complex)
    below = np.diag(triangle, -1)
    start = np.flatnonzero(below)
    imaginary = np.sqrt(np.abs(below[start])) * np.sqrt(np.abs(np.diag(triangle, 1)[start]))
    values[start] += 1j * imaginary
    values[start + 1] = values[start].conj()
    return values
