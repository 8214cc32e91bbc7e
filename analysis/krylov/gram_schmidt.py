"""Gram-Schmidt orthogonalisation against a basis of rows, which may be stored in a lower precision."""

from __future__ import annotations

import torch
from torch import Tensor

from gantools.analysis.sharding.space import Space

# What rounding leaves of an orthogonalised product, in units of eps * scale. Anything smaller is noise: as a
# recurrence coefficient it would only steer the basis to a random direction, which we then take on purpose.
ROUNDING = 10.0
# Rows of a bfloat16 basis that are widened together, and entries of each: few enough for a CPU's cache, where that is
# seven times faster than whole rows, and on a GPU enough to keep it busy.
_AT_ONCE, _ENTRIES, _ENTRIES_ON_GPU = 16, 2**16, 2**24


def coefficients_on(rows: Tensor, w: Tensor) -> Tensor:
    """Return rows @ w for w (n,) or (n, b), in the precision of w."""
    if rows.dtype == w.dtype:
        return rows @ w
    found = w.new_zeros(len(rows), *w.shape[1:])
    size = _ENTRIES_ON_GPU if rows.is_cuda else _ENTRIES
    for entries, own in zip(rows.split(size, dim=1), w.split(size), strict=True):
        found += torch.cat([part.to(w.dtype) @ own for part in entries.split(_AT_ONCE)])
    return found


def combined(rows: Tensor, coefficients: Tensor) -> Tensor:
    """Return rows.T @ coefficients, (n,) or (n, b), in the precision of the coefficients."""
    across = coefficients.mT if coefficients.dim() == 2 else coefficients
    if rows.dtype == across.dtype:
        return (across @ rows).mT if across.dim() == 2 else across @ rows
    total = across.new_zeros(*across.shape[:-1], rows.shape[1])
    size = _ENTRIES_ON_GPU if rows.is_cuda else _ENTRIES
    for entries, out in zip(rows.split(size, dim=1), total.split(size, dim=-1), strict=True):
        for part, own in zip(entries.split(_AT_ONCE), across.split(_AT_ONCE, dim=-1), strict=True):
            out += own @ part.to(own.dtype)
    return total.mT if total.dim() == 2 else total


def cleared(rows: Tensor, w: Tensor, coefficients: Tensor) -> Tensor:
    """Return w - rows.T @ coefficients."""
    if rows.dtype == w.dtype and w.dim() == 1:
        return torch.addmv(w, rows.T, coefficients, alpha=-1)
    return w - combined(rows, coefficients)


def orthogonalise(
    basis: Tensor, w: Tensor, space: Space, known: Tensor | None = None, start: int = 0
) -> tuple[Tensor, Tensor, Tensor]:
    """Remove the rows of `basis` (j + 1, n) from w (n,), twice: once is not enough (Giraud et al., 2005).

    Args:
        basis: orthonormal rows.
        w: the vector.
        space: that both are of.
        known: coefficients (j - start,) on the rows from `start` to the last but one, where a symmetric operator's
            recurrence tells them; those before are 0. The first pass then computes only that of the last row, which
            halves the work. The second pass, over all rows, corrects them.
        start: the first row that `known` belongs to.

    Returns:
        The coefficients (j + 1,) float64, the remainder of w, and its norms before and after each pass, (3,) float64.
    """
    # The first two only scale tolerances; the last is a coefficient of the recurrence, so it is summed in float64.
    norms = [space.norm(w).double()]
    coefficients = torch.zeros(basis.shape[0], dtype=torch.float64, device=w.device)
    for first in (True, False):
        rows = basis[start:] if first else basis
        if known is None or not first:
            part = space.total(coefficients_on(rows, w))
        else:
            part = torch.cat([known, space.total(coefficients_on(basis[-1:], w))])
        w = cleared(rows, w, part)
        coefficients[len(basis) - len(rows) :] += part
        norms.append(space.norm(w, dtype=None if first else torch.float64).double())
    return coefficients, w, torch.stack(norms)


def orthogonalise_block(basis: Tensor, w: Tensor, space: Space) -> tuple[Tensor, Tensor, Tensor]:
    """Remove the rows of `basis` (j, n) from the columns of w (n, b), and these from each other.

    Block Gram-Schmidt, repeated until a pass removes little (Barlow and Smoktunowicz, Numer. Math. 123, 2013).

    Returns:
        The coefficients (j, b) on the basis and those (b, b) among the columns, float64 on the host, and the
        orthonormal columns.
    """
    b = w.shape[1]
    column, border = torch.zeros(len(basis), b, dtype=torch.float64), torch.eye(b, dtype=torch.float64)
    for attempt in range(4):
        part = space.total(coefficients_on(basis, w))
        w, triangle = space.orthonormal(cleared(basis, w, part))
        column += part.double().cpu() @ border
        border = triangle.double().cpu() @ border
        # From the second pass on w is orthonormal before: if the pass shrinks it much, rounding was removed.
        if attempt and float(torch.linalg.matrix_norm(triangle, -2)) > 0.5:
            break
    return column, border, w
