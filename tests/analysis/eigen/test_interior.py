"""Eigenvalues nearest to 0, to the imaginary axis and to the unit circle, without the whole matrix."""

import numpy as np
import pytest
import torch

from gantools.analysis import LinearOperator, eigenvalues
from gantools.analysis.eigen import wide
from tests import oracles
from tests.oracles import DTYPES, accuracy, check_vectors
from tests.quick import few

AWAY = {"SM": np.abs, "NI": lambda z: np.abs(z.real), "NU": lambda z: np.abs(np.abs(z) - 1)}


def assert_nearest(s, A, truth, which, loose):
    best, found = np.sort(AWAY[which](np.asarray(truth, dtype=complex))), np.sort(AWAY[which](s.values.numpy()))
    assert s.converged.all()
    np.testing.assert_allclose(found, best[: len(s)], atol=loose)
    assert oracles.distance(s.values.numpy(), truth) < loose
    check_vectors(A, s)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("which", AWAY)
@pytest.mark.parametrize("family", few(["gauss", "outliers", "skew", "symmetric", "low rank", "identity"], 2))
def test_inside_the_spectrum(family, which, dtype):
    rng = np.random.default_rng(1)
    real, imaginary = rng.standard_normal((2, 40))
    if family == "gauss":
        A, truth = oracles.rotations(real, imaginary, dtype=dtype)
    elif family == "outliers":
        A, truth = oracles.rotations(0.01 * real**3, 0.05 * imaginary**3, np.linspace(5, 20, 20), dtype)
    elif family == "skew":
        A, truth = oracles.rotations(0 * real, imaginary**3, dtype=dtype)
    else:
        truth = {"symmetric": np.append(real, imaginary), "low rank": np.append(np.zeros(60), real[:20])}
        truth = truth.get(family, np.full(80, 2.0))
        A = oracles.symmetric(truth, dtype)
    s = eigenvalues(A, k=4, which=which, dense_limit=0)
    assert_nearest(s, A, truth, which, 30 * accuracy(dtype))
    assert s.certified and not s.doubt
    assert s.matvecs <= 4 * A.n + 1000


def test_two_starts_suffice_where_little_is_near_the_target():
    """45 vectors of 3 006: the values near 0 are isolated, and the residual of GMRES shows that there are no others."""
    near = [-0.01, 0.02, 0.05, 0.07, 0.1, -0.2]
    truth = np.concatenate([np.linspace(1, 3, 3000), near])
    A = oracles.symmetric(truth)
    s = eigenvalues(A, k=4, which="SM", dense_limit=0)
    assert s.matvecs + s.check_matvecs + s.guard_matvecs == A.matvecs
    assert_nearest(s, A, truth, "SM", 1e-6)
    assert "see no other eigenvector" in s.certified
    assert s.matvecs < 300


def test_a_crowd_about_the_target_is_a_doubt():
    truth = np.random.default_rng(0).standard_normal(2000) ** 3
    s = eigenvalues(oracles.symmetric(truth), k=4, which="SM", dense_limit=0, max_matvecs=200)
    assert s.doubt and not s.certified
    assert "inside the spectrum" in s.message or s.converged.all()
    A, truth = oracles.rotations(np.linspace(-1, 1, 300), np.linspace(0, 1, 300))
    s = eigenvalues(A, k=4, which="NI", dense_limit=0, max_matvecs=100)
    assert not s.converged.all()
    assert "inside the spectrum" in s.message
    assert s.doubt and not s.certified


@pytest.mark.parametrize("which", ["NI", "NU"])
def test_converged_values_further_away_are_doubted(which):
    """Isolated values at distances 3 and 4 converge long before the crowd about the target does."""
    angle = np.linspace(0.1, 3, 150)
    size = np.linspace(0.9, 1.1, 150)
    crowd = (size - 1 + 1j * angle) if which == "NI" else size * np.exp(1j * angle)
    A, truth = oracles.rotations(crowd.real, crowd.imag, [5.0, -6.0, 7.0])
    s = eigenvalues(A, k=2, which=which, dense_limit=0, max_matvecs=60)
    best = np.sort(AWAY[which](truth))[:2]
    wrong = np.abs(np.sort(AWAY[which](s.values.numpy()))[:2] - best).max() > 1e-6
    assert wrong
    assert s.doubt and not s.certified


@pytest.mark.parametrize("dense_limit", few([0, 1000], 1))
def test_beyond_one_end_of_the_spectrum(dense_limit):
    """Where all real parts are positive, or all moduli below 1, an ordinary search finds them."""
    real = np.concatenate([[0.01, 0.02, 0.05], np.linspace(1, 2, 100)])
    A, truth = oracles.rotations(real, np.linspace(0.1, 1, 103))
    s = eigenvalues(A, k=6, which="NI", dense_limit=dense_limit)
    assert_nearest(s, A, truth, "NI", 1e-6)
    assert s.certified
    assert dense_limit or "Bendixson" in s.certified
    angle = np.linspace(0.1, 3, 100)
    size = np.concatenate([[0.99, 0.98, 0.97], np.linspace(0.1, 0.6, 97)])
    A, truth = oracles.rotations(size * np.cos(angle), size * np.sin(angle))
    s = eigenvalues(A, k=4, which="NU", dense_limit=dense_limit)
    assert_nearest(s, A, truth, "NU", 1e-6)
    assert dense_limit or "norm" in s.certified


@pytest.mark.parametrize("which", few(AWAY, 1))
def test_every_copy_of_a_multiple_value(which):
    real, imaginary = [0.1, 0.1, 0.1, *np.linspace(1.5, 2, 60)], [0.0, 1.0, 1.0, *np.linspace(1, 2, 60)]
    A, truth = oracles.rotations(real, imaginary)
    s = eigenvalues(A, k=4, which=which, dense_limit=0)
    assert_nearest(s, A, truth, which, 1e-6)


def test_no_transpose_is_no_hindrance():
    A, truth = oracles.rotations(np.linspace(-1, 1, 30), np.linspace(0.5, 1, 30))
    one_way = LinearOperator(lambda u: A @ u, A.n, dtype=A.dtype)
    s = eigenvalues(one_way, k=4, which="NI", dense_limit=0)
    assert_nearest(s, one_way, truth, "NI", 1e-6)


def test_zero_has_nothing_nearer_than_zero():
    A = LinearOperator(lambda u: 0 * u, 300, symmetric=True)
    s = eigenvalues(A, k=3, which="SM", dense_limit=0)
    assert s.values.abs().max() == 0 and s.converged.all() and "none can be nearer" in s.certified


def test_shift_invert_where_memory_holds_a_small_basis(monkeypatch):
    values = np.concatenate([np.linspace(-1.003, -0.5, 100), [0.01, 0.02, -0.03, 0.04], np.linspace(0.5, 2, 200)])
    A = oracles.symmetric(values)
    monkeypatch.setattr(wide, "MEMORY", 12 * A.n * A.dtype.itemsize)
    s = eigenvalues(A, k=4, which="SM", dense_limit=0, basis=12)
    assert s.matvecs + s.check_matvecs == A.matvecs
    assert_nearest(s, A, values, "SM", 1e-6)
    assert "shift-invert" in s.message
    assert s.doubt and not s.certified


def test_a_cluster_at_zero_is_not_passed_off_as_converged():
    values = np.concatenate([np.logspace(-14, 0, 500), -np.logspace(-13, 0, 500)])
    s = eigenvalues(oracles.symmetric(values, torch.float32), k=3, which="SM", dense_limit=0, max_matvecs=60)
    wrong = np.abs(s.values.numpy()[:, None] - values).min(axis=1) > 1e-5
    assert not (wrong & s.converged.numpy()).any()


def test_the_whole_matrix_certifies_itself():
    s = eigenvalues(oracles.symmetric(np.linspace(-1, 2, 50)), k=3, which="SM")
    assert "All eigenvalues" in s.certified and s.certified in str(s)
