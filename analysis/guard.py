"""Was something missed? Residuals prove that a value is an eigenvalue; these look for those that are not there."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gantools.analysis.krylov import random_vector
from gantools.analysis.linear_operator import LinearOperator
from gantools.analysis.result import Spectrum
from gantools.analysis.selection import leading, scores
from gantools.errors import GantoolsError

PROBES = 2


def find_doubt(A: LinearOperator, s: Spectrum, k: int, name: str, seed: int) -> Spectrum:
    r"""Return the spectrum with `doubt`, from two random products and as many transposed ones; cheap, not complete.

    Under LI: all values are real, yet the antisymmetric part is not negligible; by Bendixson $|\mathrm{Im} \lambda|$
    may reach its norm. Under LM of a symmetric operator: $\|A\|_F^2 = \sum \lambda^2$ (estimated) is more than the
    values found leave room for. And everywhere: fewer converged than asked for.
    """
    if not s.converged.all():
        return dataclasses.replace(s, doubt="Not all converged, so better ones may be missing.")
    generator = torch.Generator().manual_seed(seed + 7)
    u = torch.stack([random_vector(A.n, A.dtype, A.device, generator) for _ in range(PROBES)], dim=1)
    values, spent, doubt = s.values.numpy(), 0, ""
    if name == "LI" and not np.imag(values).any():
        try:
            skew = float(torch.linalg.vector_norm((A @ u - A.T @ u) / 2, dtype=torch.float64)) / PROBES**0.5
            spent = 2 * PROBES
        except GantoolsError:
            skew = float("inf")
        if skew > 1e-3 * s.scale:
            doubt = (
                f"All {len(s)} are real, but the antisymmetric part is not zero (Frobenius norm about {skew:.2g}): "
                "smaller complex pairs may be hidden behind them; raise basis= or use verify=True."
            )
    elif name == "LM" and s.symmetric:
        spent = PROBES
        square = float((A @ u).double().square().sum()) / PROBES
        room = float((values**2).sum() + (A.n - len(s)) * np.abs(values).min() ** 2)
        if square > 3 * room:
            doubt = (
                f"The Frobenius norm, about {square**0.5:.2g}, is larger than these values leave room for "
                f"({room**0.5:.2g}): larger eigenvalues are missing; use verify=True."
            )
    return dataclasses.replace(s, doubt=doubt, guard_matvecs=s.guard_matvecs + spent)


def real_form(s: Spectrum) -> tuple[Tensor, NDArray[Any]]:
    """Return a real basis X (n, p) of the span of the converged vectors and the block (p, p) with A X = X block."""
    assert s.vectors is not None
    chosen = s.converged.numpy()
    values, X = s.values.numpy()[chosen], s.vectors[:, torch.from_numpy(chosen)]
    block = np.diag(np.real(values)).astype(float)
    if not X.is_complex():
        return X, block
    upper = np.flatnonzero(np.imag(values) > 0)
    block[upper, upper + 1], block[upper + 1, upper] = np.imag(values)[upper], -np.imag(values)[upper]
    real = X.real.clone()
    real[:, upper + 1] = X.imag[:, upper]
    return real, block


def unite(known: Spectrum, search: Spectrum, k: int, name: str) -> tuple[Spectrum, int]:
    """Add to `known` what only `search` found, keep the k best, and count the new ones."""
    missed = torch.from_numpy(_unmatched(search, known))
    fields = ("values", "residuals", "errors", "converged", "vectors")
    merged = {f: torch.cat([getattr(known, f), getattr(search, f)[..., missed]], dim=-1) for f in fields}
    best = torch.from_numpy(leading(merged["values"].numpy(), k, name))
    # At the very end of the list an equally good eigenvalue may take another's place: that is no news.
    before = known.values.numpy()
    last = np.sort(scores(before, name))[::-1][:k].min() + 10 * known.tol * np.abs(before).min()
    new = int((scores(search.values[missed].numpy(), name) > last).sum())
    return dataclasses.replace(known, **{f: tensor[..., best] for f, tensor in merged.items()}), new


def _unmatched(these: Spectrum, those: Spectrum) -> NDArray[Any]:
    """Return the indices of the converged values of `these` without a partner in `those`, each partner used once."""
    values, partners = these.values.numpy(), those.values.numpy()
    free = np.ones(len(partners), dtype=bool)
    alone = []
    for i in np.flatnonzero(these.converged.numpy()):
        distance = np.where(free, np.abs(partners - values[i]), np.inf)
        nearest = int(distance.argmin())
        # Eigenvalues of a non-normal matrix move by more than their residual.
        factor = 10.0 if np.iscomplexobj(values) else 2.0
        rounding = 100 * float(torch.finfo(these.dtype).eps) * these.scale
        reach = factor * (these.residuals[i] + those.residuals[nearest]) + rounding
        if distance[nearest] <= float(reach):
            free[nearest] = False
        else:
            alone.append(i)
    return np.array(alone, dtype=int)
