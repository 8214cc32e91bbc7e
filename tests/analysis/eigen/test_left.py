"""Verdicts on iterated eigenvalues know their condition numbers, or are undecided."""

import numpy as np
import pytest
import scipy.linalg
import torch

from gantools.analysis import LinearOperator, eigenvalues, stability
from gantools.analysis.eigen.uncertainty import margins
from tests import oracles
from tests.quick import few

JORDAN = 0.5 * torch.eye(60, dtype=torch.float64) + torch.diag(torch.ones(59, dtype=torch.float64), 1)


@pytest.mark.parametrize("with_transpose", few([True, False], 1))
@pytest.mark.parametrize(("kind", "which"), [("field", "SR"), ("map", "LM")])
def test_a_jordan_block_is_undecided(kind, which, with_transpose):
    """All eigenvalues are 1/2; Ritz values at -0.2 and 1.05 have residuals of 1e-7 and condition numbers that tell."""
    A = oracles.matrix_operator(JORDAN, kind=kind)
    A = A if with_transpose else LinearOperator(lambda u: JORDAN @ u, 60, kind=kind)
    s = eigenvalues(A, k=3, which=which)
    assert s.converged.any()
    v = stability(s)
    assert v.repelling == 0 and v.undecided and not v.stable


@pytest.mark.parametrize("condition", [1e2, 1e4])
@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("seed", few(range(3), 1))
def test_errors_near_the_axis_hold_under_an_ill_conditioned_similarity(condition, sign, seed):
    """Left and right eigenvectors of LAPACK are the oracle of the condition numbers, its eigenvalues of the errors."""
    rng = np.random.default_rng(seed)
    real = np.append(sign * 10.0 ** -rng.uniform(3, 7, 4), rng.uniform(0.5, 2, 60))
    A, _ = oracles.rotations(real, np.linspace(0.5, 3, 64), condition=condition, seed=seed)
    truth = np.linalg.eigvals(A.dense().numpy())
    s = eigenvalues(A, k=4, which="SR")
    found = s.values.numpy()[s.converged.numpy()]
    wrong = np.abs(truth[:, None] - found).min(axis=0)
    assert len(found) and (wrong <= margins(s)).all()
    v = stability(s)
    assert v.repelling <= (truth.real <= 0).sum()
    assert not v.stable or sign > 0


def test_condition_numbers_agree_with_lapack():
    A, _ = oracles.rotations(np.linspace(1e-4, 2, 60), np.linspace(0.5, 3, 60), condition=1e3)
    s = eigenvalues(A, k=2, which="SR")
    values, left, right = scipy.linalg.eig(A.dense().numpy(), left=True)
    numbers = 1 / np.abs((left.conj() * right).sum(axis=0))
    assert s.conditions is not None and s.least_conditions is not None
    nearest = [int(np.abs(values - value).argmin()) for value in s.values.numpy()]
    np.testing.assert_allclose(s.conditions.numpy(), numbers[nearest], rtol=0.05)
    assert (s.least_conditions.numpy() <= 1.05 * numbers[nearest]).all()


def test_no_product_is_spent_where_nothing_hinges_on_it():
    A, _ = oracles.rotations(np.linspace(0.1, 2, 60), np.linspace(0.5, 3, 60))
    s = eigenvalues(A, k=4, which="SR")
    assert s.conditions is None and s.guard_matvecs <= 4
    assert stability(s).stable
