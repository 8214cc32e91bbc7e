"""Left eigenvectors and condition numbers of eigenvalues."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gantools.analysis.eigen.eigenvalues import eigenvalues
from gantools.analysis.eigen.left import matched
from gantools.analysis.eigen.spectrum import Spectrum
from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.errors import GantoolsError


@dataclass(frozen=True)
class Conditions:
    r"""Left eigenvectors and condition numbers of the values of a `Spectrum`, in its order.

    Attributes:
        left: (n, k) unit y with $y^* A = \lambda y^*$; columns of NaN where none was found.
        numbers: (k,) float64, $1 / |y^* x|$: a change of A by E moves the value by at most that times $\|E\|$, to first
            order. 1 for a normal operator; NaN where no left eigenvector was found. Of an operator with `scales` they
            belong to its balanced coordinates, as the residuals do.
        matvecs: transposed products spent.
    """

    left: Tensor
    numbers: Tensor
    matvecs: int

    def errors(self, s: Spectrum) -> Tensor:
        """Return bounds (k,) on the errors of the values to first order: residual times condition number."""
        return s.residuals * self.numbers


def conditions(A: LinearOperator, s: Spectrum, basis: int | None = None, max_matvecs: int | None = None) -> Conditions:
    """Find the left eigenvectors and condition numbers of known eigenvalues, by the same search with the transpose.

    Args:
        A: the operator; it needs a transpose.
        s: eigenvalues of A with vectors; they should be simple: the left eigenvectors of a multiple one are not
            matched to its right ones.
        basis: of the search, as in `eigenvalues`.
        max_matvecs: of the search, as in `eigenvalues`.

    Raises:
        GantoolsError: without a transpose or vectors.
    """
    if s.vectors is None:
        raise GantoolsError("Condition numbers need the right eigenvectors: compute them with vectors=True.")
    if A.symmetric:
        return Conditions(s.vectors, torch.ones(len(s), dtype=torch.float64), 0)
    other = eigenvalues(A.T, len(s), s.which, tol=max(s.tol, 1e-12), basis=basis, max_matvecs=max_matvecs, guard=False)
    left, numbers = matched(s, other, A.space)
    return Conditions(left, torch.from_numpy(numbers), other.matvecs + other.check_matvecs)
