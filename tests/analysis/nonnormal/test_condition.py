"""Condition numbers against LAPACK's left and right eigenvectors."""

import numpy as np
import pytest
import scipy.linalg
import torch

from gantools.analysis import LinearOperator, conditions, eigenvalues
from gantools.errors import GantoolsError
from tests import oracles


@pytest.mark.parametrize("condition", [1.0, 50.0])
def test_conditions_are_those_of_the_dense_matrix(condition):
    A, _ = oracles.rotations(np.linspace(0, 1, 60), np.linspace(0.1, 1, 60), [3, 4, 5], condition=condition)
    s = eigenvalues(A, k=7, which="LM", tol=1e-9)
    c = conditions(A, s)
    values, left, right = scipy.linalg.eig(A.dense().numpy(), left=True)
    for i, value in enumerate(s.values.numpy()):
        j = int(np.abs(values - value).argmin())
        assert c.numbers[i] == pytest.approx(1 / abs(left[:, j].conj() @ right[:, j]), rel=1e-4)
    residual = A.T @ c.left.conj() - c.left.conj() * s.values
    assert residual.abs().max() < 1e-6
    assert (c.errors(s) >= s.residuals * 0.999999).all()
    assert c.matvecs > 0


def test_conditions_of_a_symmetric_operator_are_one():
    A = oracles.symmetric(np.linspace(0, 1, 50))
    assert torch.equal(conditions(A, eigenvalues(A, k=3)).numbers, torch.ones(3, dtype=torch.float64))


def test_conditions_need_vectors_and_a_transpose():
    A, _ = oracles.rotations(np.linspace(0, 1, 60), np.linspace(0.1, 1, 60))
    with pytest.raises(GantoolsError, match="vectors=True"):
        conditions(A, eigenvalues(A, k=3, vectors=False))
    B = LinearOperator(lambda u: A @ u, A.n)
    with pytest.raises(GantoolsError, match="no transpose"):
        conditions(B, eigenvalues(B, k=3))
