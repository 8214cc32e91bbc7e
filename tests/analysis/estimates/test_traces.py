"""Traces, norms, diagonals, effective dimension: exactness where it is due, and errors that are what they say."""

import numpy as np
import pytest
import torch

from gantools.analysis import LinearOperator, diagonal, effective_dimension, frobenius_norm, gram, hessian, trace
from gantools.errors import GantoolsError, NonFiniteFieldError
from tests import cases
from tests.oracles import matrix_operator, orthogonal

F64 = torch.float64
METHODS = ["hutchinson", "hutch++", "xtrace"]
N = 120


def spectra():
    rng = np.random.default_rng(0)
    return {
        "decaying": 0.9 ** np.arange(N),
        "outliers": np.concatenate([[50.0, 20.0, -10.0], rng.normal(0, 0.1, N - 3)]),
        "flat": rng.normal(0, 1, N),
        "bulk": np.concatenate([np.linspace(1, 3, 20), np.zeros(N - 20)]),
    }


def conjugated(values, seed=0):
    Q = orthogonal(len(values), seed)
    return Q @ torch.diag(torch.as_tensor(values)) @ Q.T


def nonsymmetric(seed=0):
    source = torch.Generator().manual_seed(seed)
    M = torch.randn(N, N, generator=source, dtype=F64) / N**0.5
    return M + 10 * torch.outer(M[:, 0], M[:, 1]) + torch.diag(torch.linspace(0, 2, N, dtype=F64))


MATRICES = {name: conjugated(values) for name, values in spectra().items()} | {"not symmetric": nonsymmetric()}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", MATRICES)
def test_the_standard_error_is_the_spread_and_the_interval_covers(method, name):
    M = MATRICES[name]
    A, truth = matrix_operator(M), float(M.trace())
    found = [trace(A, method, matvecs=60, seed=seed) for seed in range(150)]
    values = np.array([e.value for e in found])
    errors = np.array([e.standard_error for e in found])
    inside = np.mean([e.interval()[0] <= truth <= e.interval()[1] for e in found])
    assert inside >= 0.90  # 150 draws of a 95 % interval fall that low once in two hundred
    spread = values.std()
    assert abs(values.mean() - truth) < 4 * spread / 150**0.5 + 1e-9
    assert 0.8 * spread < np.sqrt((errors**2).mean()) < 1.4 * spread or spread < 1e-10
    assert all(e.matvecs == 60 and e.seed == s and e.n == N and e.dtype == F64 for s, e in enumerate(found))


@pytest.mark.parametrize("method", ["hutch++", "xtrace"])
@pytest.mark.parametrize("rank", [0, 1, 5, 15])
@pytest.mark.parametrize("symmetric", [True, False])
def test_exact_on_low_rank(method, rank, symmetric):
    source = torch.Generator().manual_seed(rank)
    left = torch.randn(N, rank, generator=source, dtype=F64)
    right = left if symmetric else torch.randn(N, rank, generator=source, dtype=F64)
    M = left @ right.T
    estimate = trace(matrix_operator(M), method, matvecs=48, seed=1)
    scale = float(M.norm()) or 1.0
    assert abs(estimate.value - float(M.trace())) < 1e-11 * scale
    assert estimate.standard_error < 1e-11 * scale
    single = trace(matrix_operator(M.float()), method, matvecs=48, seed=1)
    assert abs(single.value - float(M.trace())) < 2e-5 * scale


def test_the_identity_costs_nothing():
    assert trace(matrix_operator(torch.eye(N, dtype=F64)), "hutchinson", matvecs=2).value == N
    assert trace(matrix_operator(3 * torch.eye(N, dtype=F64)), "xtrace", matvecs=4).value == pytest.approx(3 * N)


def test_the_better_methods_are_better_where_eigenvalues_decay():
    A = matrix_operator(MATRICES["decaying"])
    truth = float(MATRICES["decaying"].trace())
    errors = {method: np.std([trace(A, method, seed=s).value - truth for s in range(40)]) for method in METHODS}
    assert errors["xtrace"] < 0.7 * errors["hutch++"] and errors["hutch++"] < 0.6 * errors["hutchinson"]


@pytest.mark.parametrize("method", METHODS)
def test_all_columns_when_there_are_enough_products(method):
    M = torch.randn(7, 7, generator=torch.Generator().manual_seed(0), dtype=F64)
    estimate = trace(matrix_operator(M), method, matvecs=60)
    assert estimate.value == pytest.approx(float(M.trace()), abs=1e-14)
    assert estimate.standard_error == 0 and estimate.matvecs == 7 and estimate.interval() == (estimate.value,) * 2
    assert "exactly" in str(estimate)
    assert trace(matrix_operator(M[:1, :1]), method, matvecs=1).value == pytest.approx(float(M[0, 0]))


def test_of_a_hessian():
    model, loss, batch = cases.classifier()
    H = hessian(model, loss, batch)
    estimate = trace(H, matvecs=20, seed=3)
    assert estimate.interval(0.999)[0] < float(H.dense().trace()) < estimate.interval(0.999)[1]
    assert "95 % interval" in str(estimate)


def test_frobenius_norm():
    for M in MATRICES.values():
        A, truth = matrix_operator(M), float(M.norm())
        found = [frobenius_norm(A, probes=40, seed=seed) for seed in range(150)]
        inside = np.mean([e.interval()[0] <= truth <= e.interval()[1] for e in found])
        spread = np.std([e.value for e in found])
        assert inside >= 0.85  # one outlier's square is far from normal
        assert 0.6 * spread < np.mean([e.standard_error for e in found]) < 1.5 * spread
        assert frobenius_norm(A, probes=N).value == pytest.approx(truth)
        by_trace = trace(gram(A), matvecs=60)
        assert abs(by_trace.value - truth**2) < 5 * by_trace.standard_error + 1e-9 * truth**2
    assert frobenius_norm(matrix_operator(torch.zeros(50, 50, dtype=F64)), probes=4).value == 0


def test_diagonal():
    M = MATRICES["not symmetric"]
    A = matrix_operator(M)
    scores = []
    for seed in range(40):
        found = diagonal(A, probes=70, seed=seed)
        scores.append((found.values - M.diagonal()) / found.standard_errors)
    scores = torch.stack(scores)
    assert 0.95 < scores.square().mean().sqrt() < 1.1
    assert scores.mean().abs() < 5 * (1 / scores.numel()) ** 0.5
    off = (M - torch.diag(M.diagonal())).square().sum(1) / 70
    assert (found.standard_errors.square() / off).mean() == pytest.approx(1, abs=0.1)
    exact = diagonal(A, probes=N)
    torch.testing.assert_close(exact.values, M.diagonal())
    assert not exact.standard_errors.any() and exact.matvecs == N
    alone = diagonal(matrix_operator(torch.diag(M.diagonal())), probes=2)
    torch.testing.assert_close(alone.values, M.diagonal())
    assert alone.standard_errors.max() < 1e-14


@pytest.mark.slow
@pytest.mark.parametrize("damping", [1e-3, 1e-1, 10.0])
def test_effective_dimension(damping):
    values = np.concatenate([10.0 ** -np.linspace(0, 5, 60), np.zeros(N - 60)])
    M = conjugated(values)
    truth = float((values / (values + damping)).sum())
    exact = effective_dimension(matrix_operator(M, symmetric=True), damping)
    assert exact.value == pytest.approx(truth, abs=1e-8) and exact.standard_error == 0
    A = matrix_operator(M, symmetric=True)
    for steps in (8, 40):
        found = [effective_dimension(A, damping, probes=8, steps=steps, seed=seed, max_whole=0) for seed in range(40)]
        inside = np.mean([e.interval()[0] <= truth <= e.interval()[1] for e in found])
        assert inside >= 0.87
        assert all(e.bias[0] <= 0 <= e.bias[1] for e in found)
    assert found[0].bias[1] < 0.05 * truth
    assert found[0].matvecs == 8 * steps + 2


def test_the_bracket_holds_for_every_probe():
    """With steps far too few the middle is wrong, and the bracket says how wrong."""
    values = 10.0 ** -np.linspace(0, 6, N)
    A = matrix_operator(conjugated(values), symmetric=True)
    few = effective_dimension(A, 1e-4, probes=4, steps=4, seed=0, max_whole=0)
    many = effective_dimension(A, 1e-4, probes=4, steps=100, seed=0, max_whole=0)
    assert few.value + few.bias[0] <= many.value <= few.value + few.bias[1]
    assert few.bias[1] > 100 * many.bias[1]


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda A: trace(A, "xtracee"), "Did you mean 'xtrace'"),
        (lambda A: trace(A, "hutch++", matvecs=3), "without a standard error"),
        (lambda A: frobenius_norm(A, probes=1), "no standard error"),
        (lambda A: diagonal(A, probes=1), "no standard errors"),
        (lambda A: effective_dimension(A, 0.1), "symmetric operator"),
        (lambda A: effective_dimension(gram(A), 0.0), "not positive"),
        (lambda A: effective_dimension(gram(A), 0.1, probes=1), "no standard error"),
        (lambda A: effective_dimension(matrix_operator(MATRICES["flat"], symmetric=True), 0.1), "negative eigenvalue"),
    ],
)
def test_mistakes_get_a_sentence(use, words):
    with pytest.raises(GantoolsError, match=words):
        use(matrix_operator(MATRICES["not symmetric"]))


@pytest.mark.parametrize("method", METHODS)
def test_what_is_not_finite_is_refused(method):
    bad = LinearOperator(lambda u: u * float("nan"), 100)
    with pytest.raises(NonFiniteFieldError):
        trace(bad, method)
    with pytest.raises(NonFiniteFieldError):
        diagonal(bad, probes=5)
    with pytest.raises(NonFiniteFieldError):
        frobenius_norm(bad)
