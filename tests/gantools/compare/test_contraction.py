"""On analytic games every method shrinks the distance at the rate that its linearisation predicts."""

import math

import numpy as np
import pytest
import torch

from gantools import analysis
from gantools.compare.contraction import GRID, Behaviour, predicted_rate, rate_of, tuned_rate
from gantools.errors import GantoolsError
from gantools.games.analytic import TOY_GAMES, bilinear, dirac, quadratic
from gantools.trainers import OPTIMIZERS
from tests import cases
from tests.game_oracles import eigenvalues, match_distance
from tests.quick import few


@pytest.mark.parametrize(
    "game", [name if name == "quadratic" else pytest.param(name, marks=pytest.mark.slow) for name in TOY_GAMES]
)
@pytest.mark.parametrize("method", few(OPTIMIZERS, 4))
def test_predicted_and_observed_agree(method, game):
    """Within 2 % of the factor, and of the digits gained or lost as far as a hundred steps can tell."""
    found = rate_of(method, game, lr=0.3, steps=100)
    assert found.predicted is not None and found.observed is not None
    assert abs(found.observed / found.predicted - 1) < 0.02
    gained = math.log(found.predicted)
    assert abs(math.log(found.observed) - gained) < 0.02 * abs(gained) + 4e-3
    assert found.seconds > 0 and found.cost.evaluations >= 1 and len(found.distances) == found.steps + 1
    assert (found.evaluations_per_digit is None) == (not found.behaviour.converges)


def test_the_games_have_their_jacobians():
    for (game, batch), expected in (
        (bilinear((2.0, 0.5)), [2j, -2j, 0.5j, -0.5j]),
        (quadratic(0.3, 1.5), [0.3 + 1.5j, 0.3 - 1.5j]),
        (dirac("wasserstein"), [1j, -1j]),
        (dirac(), [0.5j, -0.5j]),
    ):
        assert game.field(batch).norm() > 0.1
        game.load_vector(game.vector() * 0)
        assert game.field(batch).norm() == 0
        assert match_distance(eigenvalues(analysis.jacobian(game, batch)), expected) < 1e-12
    with pytest.raises(GantoolsError, match="positive"):
        bilinear((1.0, 0.0))


CLOSED = {
    ("simultaneous", "bilinear", 0.3): math.sqrt(1 + 0.09),
    ("extragradient", "bilinear", 0.3): math.sqrt(1 - 0.15**2 + 0.15**4),  # the smaller singular value lags
    ("alternating", "bilinear", 0.3): 1.0,
    ("hamiltonian", "dirac", 0.3): 1 - 0.3 / 4,
    ("simultaneous", "quadratic", 0.1): abs(1 - 0.1 * (0.2 + 1j)),
    # A period of five alternating steps, each a rotation by phi.
    ("lookahead", "dirac", 0.4): abs(0.5 + 0.5 * np.exp(5j * np.arccos(1 - 0.2**2 / 2))) ** (1 / 5),
}


@pytest.mark.parametrize(("method", "game", "lr"), CLOSED)
def test_predicted_rates_are_those_of_the_closed_forms(method, game, lr):
    assert abs(predicted_rate(method, game, lr, {}) - CLOSED[method, game, lr]) < 1e-9


def test_an_observed_rate_is_that_of_a_plain_loop():
    """By hand: simultaneous descent of the quadratic game, from the same start."""
    z, norms = torch.tensor([1.0, -0.5], dtype=cases.F64), []
    for _ in range(100):
        norms.append(float(z.norm()))
        z = z - 0.3 * torch.stack([0.2 * z[0] + z[1], -z[0] + 0.2 * z[1]])
    found = rate_of("simultaneous", "quadratic", lr=0.3, steps=99)
    assert np.allclose(np.array(found.distances), np.array(norms) / norms[0], rtol=1e-9)
    assert abs(found.observed - (norms[-1] / norms[0]) ** (1 / 99)) < 1e-9


@pytest.mark.slow
def test_the_learning_rate_is_the_best_of_the_grid():
    lr, rate = tuned_rate("simultaneous", "quadratic", {})
    by_hand = {h: abs(1 - h * (0.2 + 1j)) for h in GRID}  # the best of all is 0.2 / 1.04
    assert lr == min(by_hand, key=by_hand.get) and abs(lr / (0.2 / 1.04) - 1) < 0.16
    assert abs(rate - by_hand[lr]) < 1e-12
    assert tuned_rate("simultaneous", "bilinear", {})[0] == 0.5  # none converges


def test_what_has_no_rate_is_said():
    nilpotent = rate_of("alex_gda", "dirac", lr=2.0, steps=50)
    assert nilpotent.observed is None and nilpotent.verdict == f"reaches it in {nilpotent.steps} steps"
    assert nilpotent.evaluations_per_digit is None and nilpotent.steps < 10
    assert rate_of("alternating", "bilinear", lr=0.5, steps=50).behaviour is Behaviour.NEUTRAL
    assert rate_of("simultaneous", "dirac", lr=0.5, steps=50).behaviour is Behaviour.DIVERGES
    assert predicted_rate("simultaneous", "quadratic", 0.1, {"base": "adam"}) is None  # steps of its own length


def test_an_adaptive_step_has_no_linear_rate(monkeypatch):
    monkeypatch.setitem(rate_of.__globals__["TOY_SETTINGS"], "simultaneous", {"base": "adam"})
    found = rate_of("simultaneous", "quadratic", lr=0.1, steps=50)
    assert found.predicted is None and found.behaviour is Behaviour.NOT_LINEAR and found.evaluations_per_digit is None
