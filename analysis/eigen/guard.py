"""Cheap tests for eigenvalues that the solver may have missed, and the union of two searches.

Residuals prove that a value is an eigenvalue, not that no better one exists.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gantools.analysis.eigen.spectrum import Spectrum
from gantools.analysis.krylov.selection import leading, scores
from gantools.analysis.operators.linear_operator import LinearOperator

PROBES = 2
NOT_ALL = "Not all converged, so better ones may be missing."


def find_doubt(A: LinearOperator, s: Spectrum, k: int, name: str, seed: int) -> Spectrum:
    r"""Return the spectrum with `doubt` filled in where a wanted eigenvalue may be missing.

    It costs two products with random vectors and at most as many transposed ones. The tests do not find everything, but
    each is of a property that must hold if nothing is missing, so that an alarm is to be taken seriously:

    - trace, under LM, LR and SR: the mean of all eigenvalues, $\mathrm{tr}(A) / n$, lies within what was found.
    - Frobenius norm, under LM of a symmetric operator: $\|A\|_F^2 = \sum \lambda^2$ has room beside the values found.
    - the Bendixson box, of a non-symmetric operator: $\mathrm{Im} \lambda$ is bounded by the norm of the antisymmetric
      part, $\mathrm{Re} \lambda$ by that of the symmetric part. Where all values found have no imaginary part (LI), or
      no real part (LR, SR), that part must be negligible, else others may be hidden.

    Under any selection, values that did not converge are a doubt.
    """
    if not s.converged.all():
        return dataclasses.replace(s, doubt=NOT_ALL)
    generator = torch.Generator().manual_seed(seed + 7)
    u = A.space.normal_columns(PROBES, A.dtype, A.device, generator)
    halves = not A.symmetric and name in ("LI", "LR", "SR")
    if not (halves or name in ("LM", "LR", "SR")):
        return s
    product, spent = (A @ u).double(), PROBES
    trace, square = A.space.total(torch.stack([(u.double() * product).sum(), product.square().sum()])).tolist()
    doubts = [_trace_doubt(s, name, trace / PROBES, square / PROBES)]
    if halves:
        half = None
        if A.has_transpose:
            across = (product + (-1 if name == "LI" else 1) * (A.T @ u).double()) / 2
            half = float(A.space.total(across.square().sum()) / PROBES) ** 0.5
        doubts.append(_box_doubt(s, name, half))
        spent += PROBES * A.has_transpose
    elif name == "LM" and A.symmetric:
        doubts.append(_room_doubt(s, square / PROBES))
    return dataclasses.replace(s, doubt=" ".join(filter(None, doubts)), guard_matvecs=s.guard_matvecs + spent)


def _trace_doubt(s: Spectrum, name: str, trace: float, square: float) -> str:
    """Compare the mean of all eigenvalues, by estimates of the trace and the squared norm, with the values found."""
    values, mean = s.values.numpy(), trace / s.n
    # Of normal probes: var u.(A u) = 2 ||(A + A^T)/2||_F^2, at most 2 ||A||_F^2.
    deviation = (2 * square / PROBES) ** 0.5 / s.n
    beyond = {
        "LM": abs(mean) - np.abs(values).max(),
        "LR": mean - np.real(values).max(),
        "SR": np.real(values).min() - mean,
    }.get(name, 0.0)  # the mean says nothing of imaginary parts
    if beyond <= 5 * deviation:
        return ""
    return (
        f"The mean of all eigenvalues, about {mean:.2g} by the trace, lies beyond the values found: better ones "
        "are missing; use verify=True."
    )


def _room_doubt(s: Spectrum, square: float) -> str:
    values = s.values.numpy()
    room = float((values**2).sum() + (s.n - len(s)) * np.abs(values).min() ** 2)
    if square <= 3 * room:
        return ""
    return (
        f"The Frobenius norm, about {square**0.5:.2g}, is larger than these values leave room for "
        f"({room**0.5:.2g}): larger eigenvalues are missing; use verify=True."
    )


def _box_doubt(s: Spectrum, name: str, size: float | None) -> str:
    """Compare the values with the Frobenius norm of the half that moves them off their axis; None without transpose."""
    values = s.values.numpy()
    parts, word = (np.imag(values), "real") if name == "LI" else (np.real(values), "imaginary")
    if (np.abs(parts) > 1e-6 * s.scale).any():
        return ""
    half = "antisymmetric" if name == "LI" else "symmetric"
    known = f"the {half} part cannot be judged, for lack of a transpose"
    if size is not None:
        if size <= 1e-3 * s.scale:
            return ""
        known = f"the {half} part is not zero (Frobenius norm about {size:.2g})"
    return (
        f"All {len(s)} are {word}, but {known}: smaller ones off that axis may be hidden behind them; raise basis= or "
        "use verify=True."
    )


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
    """Add to `known` the eigenvalues that only `search` found, keep the k best, and count the new ones."""
    missed = torch.from_numpy(_unmatched(search, known))
    fields = ("values", "residuals", "errors", "converged", "vectors")
    if known.least_conditions is not None and search.least_conditions is not None:
        fields = (*fields, "least_conditions")
    merged = {f: torch.cat([getattr(known, f), getattr(search, f)[..., missed]], dim=-1) for f in fields}
    best = torch.from_numpy(leading(merged["values"].numpy(), k, name))
    # At the very end of the list an equally good eigenvalue may take another's place: that one was not missed.
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
        rounding = 100 * these.epsilon * these.scale
        reach = factor * (these.residuals[i] + those.residuals[nearest]) + rounding
        if distance[nearest] <= float(reach):
            free[nearest] = False
        else:
            alone.append(i)
    return np.array(alone, dtype=int)
