"""Spectra that structure alone dictates: networks with provable zeros, random matrix laws, famous matrices."""

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import nn

from gantools.analysis import eigenvalues, hessian, index, spectral_density, spectrum
from tests import oracles

F64 = torch.float64


def cross_entropy(model, batch):
    return nn.functional.cross_entropy(model(batch[0]), batch[1])


@pytest.fixture(scope="module")
def checkpoint():
    """A tanh network 16-28-28-7, 1 491 parameters, trained on random labels until the loss is below 1.5."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = [nn.Linear(16, 28), nn.Tanh(), nn.Linear(28, 28), nn.Tanh(), nn.Linear(28, 7)]
        model = nn.Sequential(*layers)
        x, y = torch.randn(256, 16), torch.randint(0, 7, (256,))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(1000):
        optimizer.zero_grad()
        loss = cross_entropy(model, (x, y))
        loss.backward()
        if loss.item() < 1.5:
            break
        optimizer.step()
    return model, x, y


@pytest.fixture(scope="module")
def matrices(checkpoint):
    model, x, y = checkpoint
    single = hessian(model, cross_entropy, (x, y), method="reverse").dense()
    double = hessian(model.double(), cross_entropy, (x.double(), y), method="reverse").dense()
    model.float()
    return single, double


@pytest.mark.slow
def test_inertia_in_both_precisions_and_the_zeros_of_softmax(matrices):
    """A last layer of width 28 under softmax has 28 + 1 zeros, whatever the training; published counts split them."""
    single, double = (index(oracles.matrix_operator((M + M.T) / 2, symmetric=True)) for M in matrices)
    assert single.counts == double.counts
    assert double.counts["zero"] == 29
    values = np.linalg.eigvalsh(matrices[1].numpy())
    assert double.counts["negative"] == (values < -1e-9).sum()
    assert 500 < double.counts["negative"] < 570  # 535 where this was first measured


@pytest.mark.slow
def test_interval_holds_the_exact_index(matrices):
    M = (matrices[1] + matrices[1].T) / 2
    A = oracles.matrix_operator(M, symmetric=True)
    exact = index(A)
    i = index(A, tol=exact.tolerance, method="estimate", probes=4, steps=200)
    low, high = i.interval["negative"]
    assert low <= exact.negative <= high < low + 0.13
    assert 0 < i.certain["negative"] <= exact.counts["negative"]


@pytest.mark.slow
@pytest.mark.parametrize("which", ["SA", "LA", "LM"])
def test_leading_eigenvalues_of_the_checkpoint(checkpoint, matrices, which):
    model, x, y = checkpoint
    truth = np.linalg.eigvalsh(matrices[1].numpy())
    best = {"LA": truth[::-1], "SA": truth, "LM": truth[np.argsort(-np.abs(truth))]}[which]
    s = eigenvalues(hessian(model, cross_entropy, (x, y)), k=6, which=which, tol=1e-5)
    assert s.converged.all() and not s.doubt
    np.testing.assert_allclose(s.values.numpy(), best[:6], rtol=2e-5)


def test_linear_regression_in_closed_form():
    source = torch.Generator().manual_seed(0)
    x, y = (torch.randn(50, k, generator=source, dtype=F64) for k in (12, 1))
    model = nn.Linear(12, 1, bias=False).to(F64)
    H = hessian(model, lambda m, b: ((m(b[0]) - b[1]) ** 2).mean(), (x, y))
    torch.testing.assert_close(H.dense(), 2 * x.T @ x / 50)


def test_dead_units_give_rows_of_zeros_and_duplicates_give_null_vectors():
    source = torch.Generator().manual_seed(0)
    x = torch.randn(40, 5, generator=source, dtype=F64)
    y = torch.randn(40, 1, generator=source, dtype=F64)
    model = nn.Sequential(nn.Linear(5, 6), nn.ReLU(), nn.Linear(6, 1)).to(F64)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=source, dtype=F64))
        model[0].weight[4:] = 0.0  # two units that never fire
        model[0].bias[4:] = -1.0
    H = hessian(model, lambda m, b: ((m(b[0]) - b[1]) ** 2).mean(), (x, y))
    i = index(H)
    # Two units of five weights and a bias each, and their two outgoing weights.
    assert i.zero_rows == 2 * 6 + 2
    assert i.counts["zero"] >= 14
    assert i.gradient_norm == pytest.approx(float(_gradient(model, x, y).norm()))
    assert "rows are exactly zero" in str(i)


def _gradient(model, x, y):
    parts = torch.autograd.grad(((model(x) - y) ** 2).mean(), list(model.parameters()))
    return torch.cat([p.reshape(-1) for p in parts])


def test_marchenko_pastur_and_a_spike():
    """Wishart with n / N = 1/4: the bulk fills [(1 - 1/2)^2, (1 + 1/2)^2], a spike l sits at l + l / (4 (l - 1))."""
    n, samples, spike = 300, 1200, 5.0
    X = torch.randn(n, samples, generator=torch.Generator().manual_seed(0), dtype=F64)
    X[0] *= spike**0.5
    A = oracles.matrix_operator(X @ X.T / samples, symmetric=True)
    d = spectral_density(A, probes=4, steps=50)
    edge = np.linspace(0.25, 2.25, 4001)
    with np.errstate(invalid="ignore"):
        law = np.sqrt(np.maximum((2.25 - edge) * (edge - 0.25), 0)) / (2 * np.pi * 0.25 * edge)
    share = np.cumsum(law) * (edge[1] - edge[0])
    at = np.array([0.5, 1.0, 1.5, 2.0])
    low, high = d.cdf(torch.from_numpy(at))
    truth = np.interp(at, edge, share)
    assert (low.numpy() - 0.02 <= truth).all() and (truth <= high.numpy() + 0.02).all()
    s = eigenvalues(A, k=1, which="LA")
    assert s.values[0] == pytest.approx(spike + spike / (4 * (spike - 1)), abs=0.6)


@pytest.mark.parametrize("which", ["LM", "SR"])
def test_hilbert(which):  # all but a few of its eigenvalues are below rounding
    matrix = torch.from_numpy(scipy.linalg.hilbert(80))
    s = eigenvalues(oracles.matrix_operator(matrix, symmetric=True), k=5, which=which, tol=1e-9)
    truth = np.linalg.eigvalsh(matrix.numpy())
    expected = truth[::-1][:5] if which == "LM" else truth[:5]
    np.testing.assert_allclose(s.values.numpy(), expected, atol=1e-9)


def test_toeplitz_and_companion_against_lapack():
    column, row = np.zeros(60), np.zeros(60)
    column[:2], row[:3] = [0, 1], [0, 0.3, 0.5]
    toeplitz = torch.from_numpy(scipy.linalg.toeplitz(column, row))
    companion = torch.from_numpy(scipy.linalg.companion(np.poly(np.cos(np.arange(12)) * 2)))
    for matrix in (toeplitz, companion):
        A = oracles.matrix_operator(matrix)
        s = eigenvalues(A, k=3, tol=1e-9)
        V = s.vectors
        residual = torch.linalg.vector_norm(A @ V - V * s.values, dim=0)
        assert residual.max() < 1e-7 * s.scale
        best = np.sort(np.abs(np.linalg.eigvals(matrix.numpy())))[::-1]
        np.testing.assert_allclose(s.values.abs().numpy()[:2], best[:2], rtol=2e-2)


def test_whole_spectrum_of_one_and_of_none():
    one = oracles.matrix_operator(torch.tensor([[2.5]], dtype=F64), symmetric=True)
    assert spectrum(one).values.tolist() == [2.5]
    assert index(one).counts == {"negative": 0, "zero": 0, "positive": 1}
    assert spectral_density(one, probes=2, steps=5).nodes.shape == (2, 1)
