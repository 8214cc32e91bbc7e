"""The wave-function mixture against quadrature, plain formulas and scikit-learn's Gaussian mixture."""

import math

import numpy as np
import pytest
import torch
from scipy import stats
from scipy.integrate import quad
from sklearn.mixture import GaussianMixture

import gantools as gt
from gantools.errors import GantoolsError
from gantools.nn import QuantumMixture
from tests.draws import seeded
from tests.quick import few

F64 = torch.float64


def mixture(phases, d=2, **settings):
    """A mixture with components that overlap."""
    rng, k = np.random.default_rng(3), len(phases)
    roots = rng.normal(size=(k, d, d))
    covariances = 0.4 * roots @ roots.transpose(0, 2, 1) + 0.5 * np.eye(d)
    model = QuantumMixture(k, **{"reg_covar": 0.0, **settings})
    return model.set_parameters(1 + rng.random(k), 1.2 * rng.normal(size=(k, d)), covariances, phases)


PHASES = [[0.0, 0.0], [0.0, math.pi / 2], [0.0, 2.5], [0.3, -1.0, 2.0]]


@pytest.mark.parametrize("phases", few(PHASES, 2))
def test_the_density_integrates_to_one(phases):
    line = mixture(phases, d=1)
    total, _ = quad(lambda x: math.exp(line.score_samples([[x]])[0]), -40, 40, epsabs=1e-12, limit=400)
    assert total == pytest.approx(1, abs=1e-10)
    # Trapezoids converge beyond all orders for what decays so fast.
    plane, grid = mixture(phases), np.linspace(-16, 16, 401)
    points = np.stack(np.meshgrid(grid, grid), -1).reshape(-1, 2)
    total = np.exp(plane.score_samples(points)).sum() * (grid[1] - grid[0]) ** 2
    assert total == pytest.approx(1, abs=1e-10)


@pytest.mark.parametrize("phases", PHASES)
def test_the_density_is_the_squared_modulus_of_the_superposition(phases):
    model, x = mixture(phases), np.random.default_rng(0).normal(size=(20, 2))
    waves = np.stack(
        [
            a * np.sqrt(stats.multivariate_normal(m, c).pdf(x)) * np.exp(-1j * phi)
            for a, m, c, phi in zip(model.amplitudes_, model.means_, model.covariances_, phases, strict=True)
        ],
        1,
    )
    density = np.abs(waves.sum(1)) ** 2
    assert np.abs(np.exp(model.score_samples(x)) - density).max() < 1e-12
    assert np.array_equal(model.predict(x), np.abs(waves).argmax(1))
    shares = (waves * waves.sum(1, keepdims=True).conj()).real / density[:, None]
    assert np.abs(model.contributions(x) - shares).max() < 1e-9
    assert np.abs(shares.sum(1) - 1).max() < 1e-9
    assert model.score(x) == pytest.approx(np.log(density).mean())
    assert np.abs(np.exp(1j * model.phases_) - np.exp(1j * (np.array(phases) - phases[0]))).max() < 1e-12


def sklearn_mixture(weights, means, covariances):
    model = GaussianMixture(len(weights))
    model.weights_, model.means_, model.covariances_ = weights, means, covariances
    model.precisions_cholesky_ = np.linalg.cholesky(np.linalg.inv(covariances))
    return model


def test_a_quarter_turn_apart_two_components_are_a_gaussian_mixture():
    model, x = mixture([0.4, 0.4 + math.pi / 2]), np.random.default_rng(0).normal(size=(50, 2))
    reference = sklearn_mixture(model.amplitudes_**2, model.means_, model.covariances_)
    assert model.amplitudes_ @ model.amplitudes_ == pytest.approx(1, abs=1e-12)
    assert np.abs(model.score_samples(x) - reference.score_samples(x)).max() < 1e-10
    assert np.abs(model.contributions(x) - reference.predict_proba(x)).max() < 1e-10
    assert (model.contributions(x) >= 0).all()
    # With phases zero every cross term adds: more mass between the components than in any Gaussian mixture of them.
    together = mixture([0.0, 0.0])
    between = together.means_.mean(0, keepdims=True)
    a = together.amplitudes_
    parts = [
        stats.multivariate_normal(m, c).pdf(between)
        for m, c in zip(together.means_, together.covariances_, strict=True)
    ]
    overlap = (1 - a @ a) / (2 * a[0] * a[1])
    assert 0 < overlap < 1
    expected = a[0] ** 2 * parts[0] + a[1] ** 2 * parts[1] + 2 * a[0] * a[1] * math.sqrt(parts[0] * parts[1])
    assert math.exp(together.score_samples(between)[0]) == pytest.approx(expected)


def test_destructive_interference_has_negative_contributions_and_a_node():
    model = QuantumMixture(2, reg_covar=0.0)
    model.set_parameters([1.0, 1.0], [[-1.0], [1.0]], [[[1.0]], [[1.0]]], [0.0, math.pi])
    assert math.exp(model.score_samples([[0.0]])[0]) < 1e-30
    assert model.contributions([[0.5]])[0, 0] < 0
    x = torch.zeros(1, 1, dtype=F64)
    gradient = torch.autograd.grad(model(x).sum(), model.means)[0]
    assert gradient.isfinite().all()


def test_a_covariance_of_any_condition_has_a_density():
    # A line search may try such a point: formed, L L^T would have lost its smaller eigenvalue.
    model = mixture([0.0])
    with torch.no_grad():
        model.log_diagonal.zero_()
        model.lower.fill_(1e9)
    across = model.means_ + [1.0, 1e9]  # L (1, 0), one standard deviation away
    expected = -math.log(2 * math.pi) - np.array([0.0, 0.5])
    np.testing.assert_allclose(model.score_samples(np.concatenate([model.means_, across])), expected, atol=1e-6)


def test_one_component_is_fitted_by_the_mean_and_the_covariance():
    x = np.random.default_rng(0).normal(size=(200, 3)) @ np.diag([1, 2, 0.3]) + [1, -2, 0]
    model = QuantumMixture(1, reg_covar=0.0, tol=1e-9, rng=seeded()).fit(x)
    assert np.abs(model.means_[0] - x.mean(0)).max() < 1e-6
    assert np.abs(model.covariances_[0] - np.cov(x.T, bias=True)).max() < 1e-6
    assert model.converged_


def planted(phase, n=2000):
    model = QuantumMixture(2, reg_covar=0.0)
    covariances = [[[0.5, 0.2], [0.2, 0.6]], [[0.8, -0.3], [-0.3, 0.5]]]
    model.set_parameters([1.0, 0.8], [[-1.0, 0.0], [1.0, 0.5]], covariances, [0.0, phase])
    return model, model.sample(n, seeded(5))


@pytest.mark.slow
def test_with_phases_held_a_quarter_turn_apart_the_fit_is_that_of_em():
    _, x = planted(math.pi / 2)
    model = QuantumMixture(2, learn_phases=False, tol=1e-8, rng=seeded()).fit(x)
    reference = GaussianMixture(2, tol=1e-10, max_iter=5000, random_state=0).fit(x)
    assert model.lower_bound_ == pytest.approx(reference.lower_bound_, abs=1e-6)
    order = np.argsort(model.means_[:, 0]), np.argsort(reference.means_[:, 0])
    assert np.abs(model.means_[order[0]] - reference.means_[order[1]]).max() < 1e-2
    assert np.abs(model.phases_[1]) == pytest.approx(math.pi / 2)
    assert np.mean(model.predict(x)[x[:, 0] < -1] == order[0][0]) > 0.95


@pytest.mark.slow
@pytest.mark.parametrize("phase", [0.5, 2.4])
def test_a_planted_mixture_is_found_and_no_worse_than_a_gaussian_mixture(phase):
    truth, x = planted(phase)
    model = QuantumMixture(2, n_init=2, rng=seeded()).fit(x)
    assert model.lower_bound_ >= truth.score(x)
    gaussian = GaussianMixture(2, n_init=3, random_state=0).fit(x).score(x)
    assert model.lower_bound_ > gaussian - 1e-3
    if phase > 2:  # a hump of two waves in step has many near twins; a valley pins the parameters down
        assert 2 * len(x) * (model.lower_bound_ - gaussian) > 10  # likelihood ratio, one parameter more
        order = np.argsort(model.means_[:, 0])
        assert np.abs(model.means_[order] - truth.means_).max() < 0.15
        assert abs(abs(model.phases_[1]) - phase) < 0.3
    fresh = truth.sample(3000, seeded(6))
    assert model.score(fresh) == pytest.approx(truth.score(fresh), abs=0.01)


def test_samples_follow_the_density():
    model = mixture([0.0, 2.5], d=1)
    x = model.sample(4000, seeded(1))[:, 0]
    grid = np.linspace(-20, 20, 8001)
    cdf = np.cumsum(np.exp(model.score_samples(grid[:, None]))) * (grid[1] - grid[0])
    assert stats.kstest(x, lambda t: np.interp(t, grid, cdf)).pvalue > 0.01
    assert np.array_equal(x, model.sample(4000, seeded(1))[:, 0])


@pytest.mark.slow
def test_fits_repeat_and_draw_from_their_own_generator():
    _, x = planted(1.0, 300)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    one, two = (QuantumMixture(2, n_init=2, rng=seeded()).fit(x) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before[0])
    assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert np.array_equal(one.score_samples(x), two.score_samples(x))
    assert np.array_equal(QuantumMixture(2, n_init=2, rng=seeded()).fit_predict(x), one.predict(x))


def test_a_warm_start_goes_on_from_the_parameters_as_they_are():
    truth, x = planted(2.0, 300)
    rng = seeded()
    before = rng.get_state()
    model = QuantumMixture(2, max_iter=1, warm_start=True, rng=rng)
    start = [truth.amplitudes_, truth.means_, truth.covariances_, truth.phases_]
    bounds = [model.set_parameters(*start).score(x)] + [model.fit(x).lower_bound_ for _ in range(30)]
    assert np.all(np.diff(bounds) > -1e-12) and bounds[-1] > bounds[0] + 1e-3
    assert torch.equal(rng.get_state(), before)
    model.max_iter = 500
    assert model.fit(x).converged_ and model.fit(x).n_iter_ == 0
    with pytest.raises(GantoolsError, match="shape"):
        model.fit(x[:, :1])
    assert QuantumMixture(2, warm_start=True, rng=rng).fit(x).converged_ and not torch.equal(rng.get_state(), before)


def test_its_hessian_is_that_of_finite_differences_and_has_no_redundant_direction():
    _, x = planted(1.0, 200)
    batch = torch.from_numpy(x)
    model = QuantumMixture(2, tol=1e-7, rng=seeded()).fit(x)
    game = gt.minimization(model, lambda model, batch: -model(batch).mean())
    assert game.field(batch).abs().max() < 1e-6
    values = gt.analysis.spectrum(gt.analysis.hessian(game, batch)).values
    assert values.min() > 1e-5
    w = game.vector() + 0.05
    game.load_vector(w)
    u = torch.linalg.qr(torch.randn(len(w), 2, generator=seeded(), dtype=F64))[0]
    got = gt.analysis.hessian(game, batch) @ u

    def field(w):
        return game.field_at(w, game.buffers(), batch).vector

    h = 1e-6
    expected = torch.stack([(field(w + h * v) - field(w - h * v)) / (2 * h) for v in u.T], 1)
    assert (got - expected).abs().max() < 1e-7
    optimizer = gt.trainers.make("simultaneous", game, lr=0.1)
    assert torch.allclose(gt.analysis.update_operator(optimizer, batch) @ u, u - 0.1 * got, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: QuantumMixture(0), "n_components"),
        (lambda: QuantumMixture(2).predict([[0.0]]), "call fit"),
        (lambda: QuantumMixture(2).sample(3), "call fit"),
        (lambda: QuantumMixture(3).fit([[0.0], [1.0]]), "at least 3"),
        (lambda: QuantumMixture(1).fit([[0.0], [math.nan]]), "finite"),
        (lambda: mixture([0.0, 1.0]).score_samples([[0.0]]), r"pass \(N, 2\)"),
        (lambda: QuantumMixture(1).set_parameters([1.0], [[0.0]], [[[-1.0]]], [0.0]), "eigenvalues above"),
        (lambda: QuantumMixture(2).set_parameters([1.0], [[0.0]], [[[1.0]]], [0.0]), "2 positive amplitudes"),
    ],
)
def test_what_does_not_fit_is_one_sentence(call, message):
    with pytest.raises(GantoolsError, match=message):
        call()
