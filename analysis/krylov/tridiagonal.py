"""Lanczos tridiagonalisation with full reorthogonalisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gantools.analysis.krylov.gram_schmidt import ROUNDING
from gantools.analysis.krylov.thick_restart import Array
from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.errors import GantoolsError


@dataclass(frozen=True)
class Tridiagonal:
    """Jacobi matrices from several start vectors.

    After a breakdown at step j the spectral measure of a start has exactly j atoms: off_diagonal[p, j - 1] is 0 and
    lengths[p] = j; later entries are meaningless.

    Attributes:
        diagonal: (probes, m).
        off_diagonal: (probes, m); the last entry couples to the vector that was not added.
        lengths: (probes,) steps before a breakdown, m without one.
        matvecs: products spent.
    """

    diagonal: Array
    off_diagonal: Array
    lengths: Array
    matvecs: int


def tridiagonalise(operator: LinearOperator, starts: Tensor, steps: int) -> Tridiagonal:
    """Run Lanczos from each column of `starts` (n, probes), in lock-step: one block product a step.

    With full reorthogonalisation: without it ghost copies of the outliers appear, and wrong weights. The basis is one
    contiguous (probes, steps, n) tensor in the operator's dtype, so that each pass is a batched matrix product.
    """
    probes, n = starts.shape[1], operator.n
    steps = min(steps, n)
    epsilon = operator.precision
    basis = torch.zeros(probes, steps, n, dtype=operator.dtype, device=operator.device)
    w = starts.T.to(dtype=operator.dtype, device=operator.device)
    basis[:, 0] = w / torch.linalg.vector_norm(w, dim=1, keepdim=True)
    diagonal, off_diagonal = np.zeros((probes, steps)), np.zeros((probes, steps))
    lengths = np.full(probes, steps)
    scale, before = np.zeros(probes), operator.matvecs
    previous = basis.new_zeros(probes)
    for j in range(steps):
        w = (operator @ basis[:, j].T).T.contiguous()
        norm = torch.linalg.vector_norm(w, dim=1, dtype=torch.float64)
        # The recurrence clears w of the last two vectors; one pass over all vectors removes the rounding.
        alpha = (basis[:, j] * w).sum(dim=1, dtype=torch.float64)
        w = torch.addcmul(w, alpha.to(w.dtype).unsqueeze(1), basis[:, j], value=-1)
        if j:
            w = torch.addcmul(w, previous.unsqueeze(1), basis[:, j - 1], value=-1)
        # As rows: batched products with single columns are ten times slower on CPUs.
        w = w.unsqueeze(1)
        part = torch.bmm(w, basis[:, : j + 1].mT)
        w = torch.baddbmm(w, part, basis[:, : j + 1], alpha=-1).squeeze(1)
        alpha += part[:, 0, j]
        beta = torch.linalg.vector_norm(w, dim=1, dtype=torch.float64)
        host = torch.stack([alpha, beta, norm]).cpu().numpy()
        if not np.isfinite(host).all():
            raise GantoolsError(
                "A product of the operator contains NaN or infinite values: check parameters and batch."
            )
        scale = np.maximum(scale, host[2])
        diagonal[:, j] = host[0]
        alive = (lengths > j) & (host[1] > ROUNDING * epsilon * scale) & (j + 1 < n)
        off_diagonal[:, j] = np.where(alive, host[1], 0.0)
        lengths = np.where(alive | (lengths <= j), lengths, j + 1)
        if j + 1 == steps or not alive.any():
            break
        # A finished probe goes on with zero vectors: they multiply to zero and disturb nobody.
        safe = torch.as_tensor(np.where(alive, host[1], np.inf)).to(dtype=w.dtype, device=w.device)
        basis[:, j + 1] = w / safe.unsqueeze(1)
        previous = torch.as_tensor(off_diagonal[:, j]).to(dtype=w.dtype, device=w.device)
    return Tridiagonal(diagonal, off_diagonal, lengths, operator.matvecs - before)
