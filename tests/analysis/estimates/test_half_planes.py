"""Half-planes from leading eigenvalues: what is certain is true, and the box decides what it can."""

import math

import numpy as np
import pytest
import torch

import gantools as gt
from gantools.analysis import LinearOperator, index, jacobian
from gantools.analysis.estimates.index import NAMES
from tests import cases, oracles
from tests.quick import few

F64 = torch.float64


def dense_counts(matrix, tau):
    """The truth by name, from all eigenvalues of the matrix."""
    real = np.linalg.eigvals(matrix.double().numpy()).real
    negative, positive = int((real < -tau).sum()), int((real > tau).sum())
    return {"negative": negative, "zero": len(real) - negative - positive, "positive": positive}


def holds(i, truth):
    """Whether what is certain, and the intervals, are true."""
    sure = all(i.certain[name] <= truth[name] for name in i.certain)
    return sure and all(
        i.interval[name][0] - 1e-12 <= truth[name] / i.n <= i.interval[name][1] + 1e-12 for name in NAMES
    )


def game_matrix(n, shift, seed=0):
    """A Jacobian [[P, B], [-B^T, Q]] with symmetric P, Q whose least eigenvalue is `shift`: S = diag(P, Q)."""
    source = torch.Generator().manual_seed(seed)
    half = n // 2
    blocks = [torch.randn(half, half, generator=source, dtype=F64) for _ in range(3)]
    P, Q = (block @ block.T / half for block in blocks[:2])
    P, Q = (M + (shift - torch.linalg.eigvalsh(M)[0]) * torch.eye(half, dtype=F64) for M in (P, Q))
    return torch.cat([torch.cat([P, blocks[2]], dim=1), torch.cat([-blocks[2].T, Q], dim=1)])


@pytest.mark.parametrize("dtype", [F64, torch.float32])
@pytest.mark.slow
def test_stable_game_is_decided_by_the_box(dtype):
    matrix = game_matrix(200, 0.05).to(dtype)
    i = index(oracles.matrix_operator(matrix), max_exact=100)
    assert i.method == "leading"
    assert i.counts == {"negative": 0, "zero": 0, "positive": 200} == dense_counts(matrix, i.tolerance)
    assert i.positive == 1 and i.interval["positive"] == (1, 1) and i.certain["positive"] == 200
    least, largest = np.linalg.eigvalsh(((matrix + matrix.T) / 2).double().numpy())[[0, -1]]
    assert i.box == pytest.approx((least, largest), rel=5e-3)
    assert i.box[0] <= least + 1e-9 and largest - 1e-9 <= i.box[1]
    assert "decides" in str(i) and i.matvecs < 2000
    mirrored = index(oracles.matrix_operator(-matrix), method="leading")
    assert mirrored.counts == {"negative": 200, "zero": 0, "positive": 0}


def test_rotating_game_is_neutral():
    """An antisymmetric Jacobian: every real part is zero, and so is the symmetric part."""
    source = torch.Generator().manual_seed(1)
    B = torch.randn(60, 60, generator=source, dtype=F64)
    zero = torch.zeros(60, 60, dtype=F64)
    matrix = torch.cat([torch.cat([zero, B], dim=1), torch.cat([-B.T, zero], dim=1)])
    i = index(oracles.matrix_operator(matrix), max_exact=10)
    assert i.counts == {"negative": 0, "zero": 120, "positive": 0}
    assert i.zero == 1 and "120 neutral" in str(i)


@pytest.mark.parametrize("condition", few([1.0, 30.0], 1))
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_few_repelling_pairs(condition, seed):
    """Three pairs and one real eigenvalue on the left, far fewer than asked for: then they are all of them."""
    rng = np.random.default_rng(seed)
    real = np.concatenate([[-0.5, -0.3, -0.2], rng.uniform(0.2, 1.5, 70)])
    imaginary = rng.uniform(0.1, 2, len(real))
    A, values = oracles.rotations(real, imaginary, [-0.4, 3.0, 4.0], condition=condition, seed=seed)
    i = index(A, method="leading", k=12, seed=seed)
    truth = dense_counts(A.dense(), i.tolerance)
    assert truth == {"negative": 7, "zero": 0, "positive": A.n - 7}
    assert holds(i, truth)
    assert i.certain["negative"] == 7 and i.certain["positive"] >= 12
    assert i.counts is None and i.negative == pytest.approx(7 / A.n) and i.positive == pytest.approx(1 - 7 / A.n)
    assert sum(getattr(i, name) for name in NAMES) == pytest.approx(1)
    assert "exactly 7 are in the left one" in str(i)
    assert i.box[0] <= values.real.min() and values.real.max() <= i.box[1]


@pytest.mark.slow
def test_values_within_their_errors_of_the_tolerance_count_on_no_side():
    """A pair on the imaginary axis, found to 1e-6, is neither within 1e-10 of it nor beyond."""
    rng = np.random.default_rng(0)
    real = np.concatenate([[-1.0, -0.5, 0.0], rng.uniform(0.3, 2, 147)])
    A, _ = oracles.rotations(real, np.concatenate([[1.0, 2.0, 3.0], rng.uniform(0, 3, 147)]), condition=10.0)
    i = index(A, tol=1e-10, method="leading", k=6)
    assert i.certain["negative"] == 4 and math.isnan(i.negative) and "exactly" not in str(i)
    clear = index(A, tol=1e-2, method="leading", k=6)
    assert clear.negative == pytest.approx(4 / A.n) and "exactly 4 are in the left one" in str(clear)


@pytest.mark.slow
def test_more_on_both_sides_than_asked_for_leaves_the_fractions_open():
    rng = np.random.default_rng(0)
    real = np.concatenate([rng.uniform(-2, -0.5, 80), np.zeros(10), rng.uniform(0.5, 2, 60)])
    A, _ = oracles.rotations(real, rng.uniform(0, 1, 150))
    i = index(A, max_exact=10, k=6)
    truth = dense_counts(A.dense(), 1e-6)
    assert truth == {"negative": 160, "zero": 20, "positive": 120} and holds(i, truth)
    assert i.certain["negative"] in (6, 7) and i.certain["positive"] in (6, 7)
    assert all(math.isnan(getattr(i, name)) for name in NAMES)
    assert i.interval["negative"] == (i.certain["negative"] / 300, 1 - i.certain["positive"] / 300)
    assert "nan" not in str(i) and "there may be more" in str(i)


def test_zeros_between_the_half_planes():
    """The ends reach into the zeros, so both counts follow; rows of zeros are zeros for certain."""
    rng = np.random.default_rng(2)
    blocks, _ = oracles.rotations([-1.0, -0.5, 1.0, 2.0], [1.0, 0.5, 2.0, 0.3])
    matrix = torch.zeros(90, 90, dtype=F64)
    matrix[:8, :8] = blocks.dense()
    matrix[:8, 8:] = 0.1 * torch.as_tensor(rng.standard_normal((8, 82)))
    i = index(oracles.matrix_operator(matrix), method="leading", k=8)
    assert i.zero_rows == 82
    assert i.certain == {"negative": 4, "positive": 4}
    assert i.counts == {"negative": 4, "zero": 82, "positive": 4}


@pytest.mark.parametrize("n", [1, 2, 5, 30])
def test_small_operators(n):
    source = torch.Generator().manual_seed(n)
    matrix = torch.randn(n, n, generator=source, dtype=F64)
    i = index(oracles.matrix_operator(matrix), method="leading", k=n)
    truth = dense_counts(matrix, i.tolerance)
    assert holds(i, truth)
    assert i.negative == pytest.approx(truth["negative"] / n) and i.positive == pytest.approx(truth["positive"] / n)


@pytest.mark.slow
def test_non_normal_values_are_certain_only_beyond_their_condition():
    """Grcar's eigenvalues move by far more than their residuals: none is called certain falsely."""
    matrix = oracles.grcar(60).double()
    for A in (oracles.matrix_operator(matrix), oracles.matrix_operator(-matrix)):
        i = index(A, method="leading", k=5)
        # LAPACK's own values of a Grcar matrix are wrong by their condition; those of its transpose differ.
        truths = [dense_counts(M, i.tolerance) for M in (A.dense(), A.dense().T.contiguous())]
        assert any(holds(i, truth) for truth in truths)


@pytest.mark.slow
def test_without_a_transpose_there_is_no_box():
    matrix = game_matrix(120, 0.3)
    A = LinearOperator(lambda u: matrix @ u, 120)
    i = index(A, max_exact=100)
    assert i.box is None and i.counts is None
    assert i.certain["positive"] >= 10 and holds(i, dense_counts(matrix, i.tolerance))
    assert i.negative == 0 and i.positive == 1 and "Bendixson" not in str(i)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.slow
def test_random_jacobians(seed):
    """Wishart blocks, shifted so that some repel, and rotation: intervals hold, the norm of the field is there."""
    matrix = game_matrix(80, -0.2, seed)
    i = index(oracles.matrix_operator(matrix), max_exact=50, seed=seed, k=5)
    assert holds(i, dense_counts(matrix, i.tolerance))


def test_of_a_gan():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    J = jacobian(game, batch)
    i = index(J, max_exact=10, k=4)
    assert i.method == "leading" and i.gradient_norm == pytest.approx(float(game.field(batch).norm()))
    assert holds(i, dense_counts(J.dense(), i.tolerance))
    assert gt.analysis.index(J).method == "exact"
