"""Studies of theory on GANs: their parts against closed forms and `update_operator`, and their quick forms."""

import numpy as np
import pytest
import torch
from harness import catalogue
from theory import (
    best_gamma,
    biased_games,
    consensus_bias,
    copies_spectra,
    edge_of_stability,
    forecast,
    forecast_runs,
    r3gan,
    weighed_games,
)

import gantools as gt
from gantools.cli.flags import parse_train
from gantools.games.analytic import quadratic
from gantools.trainers.copies import states_of_copies
from tests.quick import few

STUDIES = (consensus_bias, best_gamma, edge_of_stability, forecast, r3gan)


# The bias of consensus ------------------------------------------------------------------------------------------------


def test_the_shift_of_the_linear_game_is_the_one_found_by_hand(monkeypatch):
    """Of the bilinear game J + J^T J is [[1, 1], [-1, 1]], and half the gradient of tr C = |w|^2 is w = (1, 1)."""
    monkeypatch.setattr(biased_games, "NODES", 3)  # as exact for polynomials of degree 5
    expected = biased_games.Expected("bilinear, noise")
    assert expected.parts(expected.rest)[2].numpy() == pytest.approx([1, 1])
    assert expected.first_order(1.0, 16).numpy() == pytest.approx([0, -1 / 16], abs=1e-9)
    exact = -np.linalg.solve([[1 + 1 / 16, 1], [-1, 1 + 1 / 16]], [1 / 16, 1 / 16])
    assert expected.shift(1.0, 16).numpy() == pytest.approx(exact)


def test_the_trace_of_the_wasserstein_game_shrinks_what_is_generated(monkeypatch):
    """tr C = s^2 + 1 + (2 s^4 + 2)/4 at a discriminator of 0, so that the scale's half gradient is s + s^3 = 2."""
    monkeypatch.setattr(biased_games, "NODES", 5)
    expected = biased_games.Expected("Gaussian GAN, Wasserstein, R1")
    assert expected.parts(expected.rest)[2].numpy() == pytest.approx([0, 2, 0, -2], abs=1e-12)
    assert expected.first_order(1.0, 16).numpy() == pytest.approx([0, -2 / 16, 0, 2 / 16], abs=1e-8)


@pytest.mark.parametrize("name", few(list(biased_games.GAMES), 1))
@pytest.mark.parametrize("estimator", consensus_bias.ESTIMATORS)
def test_the_mean_direction_is_that_of_the_trainer_over_all_batches_of_two(name, estimator, monkeypatch):
    """Batches of two of all pairs of samples, each weighed by its probability, are every batch there is."""
    monkeypatch.setattr(biased_games, "NODES", 4)
    expected = biased_games.Expected(name)
    w = expected.rest + torch.linspace(-0.2, 0.3, len(expected.rest), dtype=torch.float64)
    samples, copies = len(expected.weights), len(expected.weights) ** 2
    first, second = torch.arange(copies) // samples, torch.arange(copies) % samples
    one = {key: torch.cat([batch[key][0] for batch in expected.batch]) for key in ("real", "latent")}
    game = biased_games.GAMES[name](copies)
    game.load_vector(w.repeat_interleave(copies))
    optimizer = gt.trainers.Consensus(game, lr=1.0, gamma=0.7, estimator=estimator)
    optimizer.step({key: torch.stack([x[first], x[second]]) for key, x in one.items()})
    mean = game.vector().view(-1, copies) @ (expected.weights[first] * expected.weights[second])
    size = 2 if estimator == "same" else float("inf")
    assert torch.allclose(w - mean, expected.direction(w, 0.7, size), atol=1e-10)


# The best weight ------------------------------------------------------------------------------------------------------


def test_the_best_weight_of_a_bilinear_game_is_one_over_h_s_squared():
    """The step has 1 - h gamma s^2 -+ i h s, of least modulus h s there."""
    h, s = 0.1, 2.0
    J = np.array([[0, s], [-s, 0]])
    gammas = np.linspace(0, 4, 401)
    gamma = weighed_games.best_weight(J, h, gammas)
    assert gamma == pytest.approx(1 / (h * s**2)) and weighed_games.radius(J, gamma, h) == pytest.approx(h * s)
    idle = np.pad(J, (0, 1))  # a parameter that nothing reaches is left out
    assert weighed_games.best_weight(idle, h, gammas) == pytest.approx(gamma)


def test_paths_are_powers_of_the_step_and_steps_are_counted():
    def make():
        return weighed_games.GAMES["quadratic"](np.random.default_rng(3))

    game, batch = make()
    J, w = weighed_games.jacobian(game, batch, game.vector()), game.vector().numpy()
    h, gammas = 0.05, np.array([0.0, 0.5])
    norms, ends = weighed_games.paths(make, gammas, h, 7)
    for i, gamma in enumerate(gammas):
        end = np.linalg.matrix_power(np.eye(6) - h * (J + gamma * J.T @ J), 7) @ w
        assert ends[i].numpy() == pytest.approx(end) and norms[-1, i] == pytest.approx(np.linalg.norm(J @ end))
    geometric = np.stack([0.5 ** np.arange(11), 0.9 ** np.arange(11), 1.1 ** np.arange(11)], 1)
    needed = weighed_games.steps_needed(geometric, 0.1, 50.0)
    assert needed == pytest.approx([4, np.log(0.1) / np.log(0.9), 500])


# The edge of stability ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("base", "beta"), [("rmsprop", 0.0), ("adam", edge_of_stability.BETA)])
def test_a_step_with_held_moments_diverges_from_the_bound_on(base, beta):
    """On a parabola of curvature 1 with D = 1/2 and rate h the eigenvalue of h D^-1 J is 2 h."""
    radii = []
    for factor in (0.99, 1.01):
        point = torch.nn.Linear(1, 1, bias=False, dtype=torch.float64)
        game = gt.minimization(point, lambda model, batch: model.weight.square().sum() / 2)
        rate = factor * edge_of_stability.BOUNDS[base] / 2
        rule = copies_spectra.Held(torch.full((1,), 0.5, dtype=torch.float64), beta)
        optimizer = gt.trainers.Simultaneous(game, lr=rate, base=rule)
        U = gt.analysis.update_operator(optimizer, torch.zeros(1)).dense()
        radii.append(float(torch.linalg.eigvals(U).abs().max()))
    assert radii[0] < 1 < radii[1]


def test_what_consensus_descends_has_the_derivative_that_it_has_at_an_equilibrium():
    game, batch = quadratic(mu=0.2, s=1.0)
    game.load_vector(torch.zeros(2, dtype=torch.float64))
    A = edge_of_stability.own_map(gt.trainers.Consensus(game, lr=1e-3, gamma=3.0), batch)
    J = gt.analysis.jacobian(game, batch).dense()
    assert torch.allclose(torch.stack([A @ u for u in torch.eye(2, dtype=torch.float64)], 1), J + 3 * J.T @ J)
    assert edge_of_stability.largest_real(A) == pytest.approx(0.2 + 3 * 1.04)


# The forecast ---------------------------------------------------------------------------------------------------------

STEPS_OF = [(method, base) for base in ("adam", "rmsprop", "sgd") for method in forecast_runs.METHODS]


@pytest.mark.parametrize(("method", "base"), STEPS_OF)
def test_derivatives_of_all_copies_are_those_of_update_operator(method, base):
    streams = [torch.Generator().manual_seed(seed) for seed in range(2)]
    games = [gt.gan(*(one.double() for one in forecast_runs.players("Gaussian", rng))) for rng in streams]
    together, rates, weights = gt.stacked(games), np.array([0.01, 0.03]), np.array([0.5, 2.0])
    optimizer = forecast_runs.METHODS[method](together, base=base).with_own(rates, weights)
    for _ in range(3):
        optimizer.step(together.each([forecast_runs.draw("Gaussian", 16, rng) for rng in streams]))
    batch = forecast_runs.draw("Gaussian", 16, streams[0])
    found = copies_spectra.maps(optimizer, together.each([batch, batch]))["real"]
    together.hand_out()
    for s, state in enumerate(states_of_copies(optimizer)):
        extra = {"gamma": weights[s]} if method == "consensus" else {}
        alone = gt.trainers.make(method, games[s], lr=rates[s], base=base, **extra)
        alone.load_state_dict(state)
        values = [np.sort_complex(torch.linalg.eigvals(A).numpy()) for A in
                  (gt.analysis.update_operator(alone, batch).dense(), found[s])]  # fmt: skip
        assert abs(np.abs(values[0]).max() - np.abs(values[1]).max()) < 1e-9
        assert values[0].sum() == pytest.approx(values[1].sum(), abs=1e-9)


def test_areas_and_outcomes_are_those_counted_by_hand():
    failed = np.array([True, False, True, False])
    assert forecast.auc(np.array([3.0, 1.0, 1.0, 0.0]), failed) == 3.5 / 4
    assert np.isnan(forecast.auc(np.ones(2), np.array([True, True])))
    steps = np.arange(0, forecast_runs.STEPS + 1, forecast_runs.EVERY)
    good, late = np.full(len(steps), 0.2), np.where(steps >= 1100, 0.7, 0.2)
    assert forecast.outcome(good) == (0, 0) and forecast.outcome(late) == (0, 1)
    assert forecast.outcome(np.where(steps >= 1110, 0.7, 0.2)) == (0, 1)  # nine looks of it, and one: 0.65 on average
    assert forecast.outcome(np.where((steps > 300) & (steps < 700), 9.0, 0.2)) == (0, 0)
    assert forecast.outcome(np.full(len(steps), 0.6)) == (0, 0)  # bad, and no worse than at the look
    assert forecast.outcome(np.where(steps >= 1200, np.nan, 0.2)) == (0, 1)
    assert forecast.outcome(np.full(len(steps), 2.1))[0] == 1


# The pages ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", STUDIES)
def test_what_a_page_shows_is_in_the_study(module):
    for section in module.PAGE.sections:
        assert (section.columns or module.STUDY.columns).keys() <= module.STUDY.columns.keys()
    assert module.STUDY.quick and module.STUDY.name in catalogue.found()


@pytest.mark.slow
@pytest.mark.parametrize("name", [module.STUDY.name for module in STUDIES])
def test_the_quick_form(name, tmp_path, capsys):
    catalogue.main([name, "--quick", "--root", str(tmp_path)])
    table, page = capsys.readouterr().out, (tmp_path / f"{name}.md").read_text()
    assert "±" in table and page.count("\n|") >= 5 and len(list(tmp_path.glob("*.png"))) >= 1
    assert f"python scripts/studies {name}" in page


# R3GAN ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", r3gan.LOSSES)
@pytest.mark.parametrize("penalty", r3gan.PENALTIES)
def test_the_dirac_gan_at_rest_has_the_eigenvalues_of_the_matrix_by_hand(loss, penalty):
    """J = [[0, 1/2], [-1/2, Gamma]] for both losses, the generator's point and the discriminator's slope in order."""
    found = r3gan.at_rest(loss, penalty, 0.3)
    total = 0.3 * len(r3gan.PENALTIES[penalty])
    values = np.linalg.eigvals([[0, 0.5], [-0.5, total]])
    assert found["real"] == pytest.approx(values.real.min(), abs=1e-12) and found["off"] < 1e-12
    assert found["imaginary"] == pytest.approx(abs(values.imag).max(), abs=1e-12)


def test_flags_give_each_penalty_its_weight():
    cells = r3gan.STUDY.cells
    config = parse_train(r3gan.flags(cells["relativistic, R1 and R2"], 1)).config
    assert [(one.name, one.settings["gamma"]) for one in config.regularizers] == [("r1", 1.0), ("r2", 1.0)]
    assert config.loss == "relativistic" and config.optimizer.name == "alternating" and config.seed == 1
    assert not parse_train(r3gan.flags(cells["nonsaturating, none"], 1)).config.regularizers
    assert r3gan.flags(cells["Dirac, relativistic, R1"], 0) == []


def test_rotations_are_those_of_known_eigenvalues_and_a_tiny_pair_does_not_count():
    """Eigenvalues 4 and 3 +- 4i lead; the pair near 0 would turn by a right angle."""
    values = np.array([1e-9j, 3 + 4j, -1e-9j, 4.0, 3 - 4j, 0.0])
    rotation, leading = r3gan.rotations(values)
    assert rotation == pytest.approx(4 / 5) and leading == pytest.approx((4 / 5 + 4 / 5 + 0) / 3)
    # Of a hundred reals and one small pair, the pair is not among the leading ones.
    rotation, leading = r3gan.rotations(np.array([0.5j, -0.5j, *np.linspace(1, 2, 100)]))
    assert rotation == pytest.approx(0.25) and leading == 0
    assert r3gan.rotations(np.zeros(3, dtype=complex)) == (0.0, 0.0)
