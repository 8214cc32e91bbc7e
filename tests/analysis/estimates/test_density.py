"""Spectral densities of known distributions."""

import numpy as np
import pytest
import torch

from gantools.analysis import LinearOperator, cross_check, kernel_polynomial, ritz_cloud, spectral_density
from gantools.analysis.estimates.quadrature.probes import draw
from gantools.errors import GantoolsError
from tests import oracles


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_envelope_holds_the_semicircle_and_an_outlier(dtype):
    n = 400
    M = torch.randn(n, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    M = (M + M.T) / (2 * n) ** 0.5 + 6 * torch.ones(n, n, dtype=torch.float64) / n
    values = np.linalg.eigvalsh(M.numpy())
    d = spectral_density(oracles.matrix_operator(M.to(dtype), symmetric=True), probes=5, steps=50, confidence=0.99999)
    exact = (values[None] <= d.grid.numpy()[:, None]).mean(axis=1)
    assert ((d.lower.numpy() <= exact + 1e-9) & (exact <= d.upper.numpy() + 1e-9)).all()
    assert (d.upper - d.lower).max() < 0.22
    assert np.trapezoid(d.density.numpy(), d.grid.numpy()) == pytest.approx(1, abs=5e-3)
    assert d.nodes.max().item() == pytest.approx(values[-1], abs=1e-3)
    np.testing.assert_allclose(d.weights.sum(dim=1).numpy(), 1, atol=1e-5)
    assert d.matvecs == 252


def test_moments_are_exact_for_each_probe():
    """An m-point Gauss rule integrates polynomials of degree 2 m - 1 exactly."""
    values = np.linspace(-1, 2, 120)
    d = spectral_density(oracles.symmetric(values), probes=3, steps=6, seed=5)
    A = oracles.symmetric(values)
    starts = torch.stack([draw(A, 5, i) for i in range(3)], dim=1)
    starts = starts / starts.norm(dim=0)
    power = starts
    for degree in range(1, 12):
        power = A @ power
        moment = (starts * power).sum(dim=0)
        torch.testing.assert_close((d.weights * d.nodes**degree).sum(dim=1), moment, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("value", [0.0, 2.0])
def test_identity_and_zero(value):
    d = spectral_density(LinearOperator(lambda u: value * u, 50, symmetric=True))
    assert torch.isfinite(d.density).all()
    assert d.nodes.shape == (4, 1)
    assert d.matvecs == 4 * 32 + 2  # it ends where coefficients are fetched and nothing is left
    assert d.nodes.unique().item() == pytest.approx(value)


def test_no_ghosts():
    """Without reorthogonalisation, 80 steps put several copies of the largest eigenvalue into every run."""
    values = np.concatenate([0.01 * np.random.default_rng(0).standard_normal(500), [5.0, 7.0]])
    d = spectral_density(oracles.symmetric(values, torch.float32), probes=3, steps=80)
    assert ((d.nodes > 6).sum(dim=1) == 1).all()


def test_memory_is_bounded(monkeypatch):
    """Probes that do not fit together go one after another and give the same."""
    A = oracles.symmetric(np.linspace(0, 1, 90))
    together = spectral_density(A, probes=3, steps=10, leading=2)
    monkeypatch.setattr("gantools.analysis.estimates.quadrature.plan.TOGETHER_BYTES", 1)
    alone = spectral_density(A, probes=3, steps=10, leading=2)
    assert alone.nodes.shape == together.nodes.shape
    np.testing.assert_allclose(alone.weights.sum(dim=1).numpy(), 1, atol=1e-12)
    np.testing.assert_allclose(alone.weights, together.weights, atol=1e-9)


def test_refuses_jacobians_and_nan():
    with pytest.raises(GantoolsError, match="symmetric operator"):
        spectral_density(LinearOperator(lambda u: u, 9))
    with pytest.raises(GantoolsError, match="NaN or infinite"):
        spectral_density(LinearOperator(lambda u: u * float("nan"), 9, symmetric=True))


def test_cdf_holds_at_points_in_any_order():
    values = np.sort(np.random.default_rng(1).standard_normal(300))
    d = spectral_density(oracles.symmetric(values), probes=3, steps=40, confidence=0.9999)
    points = torch.linspace(-2, 2, 9, dtype=torch.float64)[torch.randperm(9)]
    low, high = d.cdf(points)
    truth = (values[None] <= points.numpy()[:, None]).mean(axis=1)
    assert (low.numpy() <= truth).all() and (truth <= high.numpy()).all()
    on_the_grid = np.interp(points.numpy(), d.grid.numpy(), d.upper.numpy())
    np.testing.assert_allclose(high.numpy(), on_the_grid, atol=0.01)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_zeros_are_an_atom_and_not_a_blurred_peak(dtype):
    values = np.concatenate([np.zeros(80), np.linspace(1, 2, 120)])
    d = spectral_density(oracles.symmetric(values, dtype), probes=4, steps=40)
    assert d.atom[0] <= 0.4 <= d.atom[1] and d.atom[1] - d.atom[0] < 0.25
    near = d.grid.abs() < 0.3
    assert d.density[near].max() < 1e-6
    assert "are zero" in str(d)
    assert spectral_density(oracles.symmetric(values + 1), probes=2, steps=30).atom is None


def test_kernel_polynomials_agree_with_lanczos():
    n = 400
    M = torch.randn(n, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    values = np.linalg.eigvalsh(((M + M.T) / (2 * n) ** 0.5).numpy())
    A = oracles.symmetric(values)
    d = spectral_density(A, probes=6, steps=60)
    density, share = kernel_polynomial(A, d.grid, moments=80, probes=6, seed=1)
    grid = d.grid.numpy()
    assert np.trapezoid(density.numpy(), grid) == pytest.approx(1, abs=1e-2)
    truth = (values[None] <= grid[:, None]).mean(axis=1)
    assert np.abs(share.numpy() - truth).max() < 0.04
    semicircle = np.sqrt(np.maximum(4 - grid**2, 0)) / (2 * np.pi)
    assert np.abs(density.numpy() - semicircle)[np.abs(grid) < 1.8].max() < 0.08
    before = A.matvecs
    assert cross_check(A, d, moments=80) < 0.02
    assert A.matvecs - before == 10 * 40
    assert cross_check(oracles.symmetric(0.1 * values), d, moments=80) > 0.2


def test_kernel_polynomials_refuse_what_leaves_the_grid():
    grid = torch.linspace(-1, 1, 50, dtype=torch.float64)
    with pytest.raises(GantoolsError, match="leaves the grid"):
        kernel_polynomial(oracles.symmetric(np.linspace(-3, 3, 60)), grid)
    with pytest.raises(GantoolsError, match="symmetric operator"):
        kernel_polynomial(LinearOperator(lambda u: u, 9), grid)


def test_ritz_cloud_outlines_the_spectrum():
    A, truth = oracles.rotations(np.cos(np.arange(60)), np.sin(np.arange(60)), [3.0, -4.0])
    cloud = ritz_cloud(A, starts=3, steps=40)
    assert cloud.values.shape == cloud.residuals.shape == (3, 40)
    assert cloud.matvecs == A.matvecs == 120
    for value in cloud.trusted(1e-6).numpy():
        assert np.abs(truth - value).min() < 1e-5
    assert {3.0, -4.0} <= {round(v, 6) for v in cloud.trusted(1e-6).real.tolist()}
    V = cloud.values.abs().max()
    assert V <= 4 + 1e-9
    assert ritz_cloud(A, starts=1, steps=500).residuals.max() < 1e-10
    with pytest.raises(GantoolsError, match="at least 1"):
        ritz_cloud(A, starts=0)
