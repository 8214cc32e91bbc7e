"""Missed eigenvalues: doubt by cheap tests, and a second start that finds them."""

import dataclasses

import numpy as np
import pytest
import torch

from gantools.analysis import LinearOperator, eigenvalues
from gantools.analysis.eigen.guard import find_doubt
from gantools.random_vectors import normal_vector
from tests import oracles


def test_verify_finds_all_copies_of_multiple_eigenvalues():
    """A Krylov space contains one copy of each; the second start, orthogonal to it, finds the others."""
    matrix, truth = oracles.wilkinson()
    A = oracles.matrix_operator(matrix, symmetric=True)
    s = eigenvalues(A, k=4, basis=10, tol=1e-10, verify=True)
    np.testing.assert_allclose(s.values.numpy(), truth[:-5:-1], atol=1e-8)
    A, truth = oracles.laplacian(24)
    s = eigenvalues(A, k=9, verify=True)
    np.testing.assert_allclose(s.values.numpy(), truth[:-10:-1], atol=1e-5)
    B, truth = oracles.rotations([1, 1, *np.linspace(0, 0.5, 80)], [2, 2, *np.linspace(0, 1, 80)])
    t = eigenvalues(B, k=4, verify=True)
    np.testing.assert_allclose(t.values.numpy(), [1 + 2j, 1 - 2j, 1 + 2j, 1 - 2j], atol=1e-5)


def test_doubt_about_an_all_real_spectrum():
    """Real outliers fill the basis before the pairs appear; the antisymmetric part gives them away."""
    A, _ = oracles.rotations(
        0.01 * np.random.default_rng(0).random(120), np.linspace(0.2, 0.5, 120), np.linspace(20, 60, 44)
    )
    hidden = eigenvalues(A, k=4, which="LI", basis=8, max_matvecs=300, tol=1e-3)
    assert hidden.values.imag.any() or "antisymmetric part" in hidden.doubt or not hidden.converged.all()
    real, _ = oracles.rotations([], [], np.linspace(1, 9, 60))
    assert eigenvalues(real, k=4, which="LI").doubt == ""


def test_doubt_where_the_frobenius_norm_needs_more():
    start = normal_vector(400, torch.float64, "cpu", torch.Generator().manual_seed(0))
    # All of the start lies in the small eigenspace: what is large stays unseen.
    P = torch.outer(start, start) / start.square().sum()
    A = oracles.matrix_operator(0.1 * P + 50 * (torch.eye(400, dtype=torch.float64) - P), symmetric=True)
    s = eigenvalues(A, k=1, tol=1e-2, max_matvecs=1)
    assert s.doubt
    assert eigenvalues(A, k=1, guard=False).guard_matvecs == 0


@pytest.mark.parametrize(("which", "axis", "part"), [("LI", 1.0, "antisymmetric"), ("LR", 1j, "symmetric")])
def test_doubt_where_one_half_of_the_bendixson_box_is_left_empty(which, axis, part):
    A, _ = oracles.rotations(np.linspace(-1, 1, 30), np.linspace(0.5, 1, 30))
    s = eigenvalues(A, k=4, which=which)
    assert not s.doubt
    one_sided = dataclasses.replace(s, values=axis * s.values.abs().to(torch.complex128))
    assert f"the {part} part is not zero" in find_doubt(A, one_sided, 4, which, 0).doubt
    one_way = LinearOperator(lambda u: A @ u, A.n, dtype=A.dtype)
    assert "cannot be judged" in find_doubt(one_way, one_sided, 4, which, 0).doubt


@pytest.mark.parametrize(("which", "shift"), [("LM", 3.0), ("LR", 3.0), ("SR", -3.0)])
@pytest.mark.parametrize("symmetric", [True, False])
def test_doubt_where_the_trace_needs_more(which, shift, symmetric):
    matrix = shift * torch.eye(300, dtype=torch.float64) + 0.1 * torch.diag(torch.linspace(-1, 1, 300).double())
    A = oracles.matrix_operator(matrix, symmetric=symmetric)
    s = eigenvalues(A, k=3, which=which)
    assert not s.doubt
    poor = dataclasses.replace(s, values=s.values * 0.5)
    assert "by the trace" in find_doubt(A, poor, 3, which, 0).doubt


@pytest.mark.parametrize("which", ["LM", "LR", "LI"])
def test_verify_agrees(which):
    rng = np.random.default_rng(4)
    A, truth = oracles.rotations(rng.standard_normal(100) ** 3, rng.standard_normal(100) ** 3)
    s = eigenvalues(A, k=6, which=which, verify=True)
    assert s.verified
    assert s.guard_matvecs > 0
    assert not s.complete
    assert "nothing that was missed" in s.message
    assert s.matvecs + s.check_matvecs + s.guard_matvecs == A.matvecs


def test_verify_finds_what_the_first_start_cannot_see():
    """The top eigenvector is orthogonal to the first start, which cannot see it; the second does."""
    values = np.concatenate([np.linspace(0, 1, 200), [1.5]])
    start = normal_vector(201, torch.float64, "cpu", torch.Generator().manual_seed(0))
    # Make the top eigenvector orthogonal to the start vector of seed 0, exactly enough to stay hidden for some steps.
    top = torch.linalg.qr(torch.stack([start, torch.ones(201, dtype=torch.float64)], dim=1))[0][:, 1]
    basis = torch.linalg.qr(torch.cat([top[:, None], torch.eye(201, dtype=torch.float64)[:, :200]], dim=1))[0]
    M = basis * torch.as_tensor(values[::-1].copy()) @ basis.T
    A = oracles.matrix_operator((M + M.T) / 2, symmetric=True)
    blind = eigenvalues(A, k=1, tol=1e-2)
    assert abs(blind.values[0] - 1.5) > 0.3
    s = eigenvalues(A, k=1, tol=1e-2, verify=True)
    assert s.values[0] == pytest.approx(1.5, abs=1e-2)
    assert "1 that the first start had missed" in s.message
