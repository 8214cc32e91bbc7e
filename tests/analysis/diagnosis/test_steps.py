"""Causes in the steps, on games whose eigenvalues are known in closed form."""

import pytest
import torch

import gantools as gt
from gantools import trainers
from gantools.analysis import diagnose
from gantools.analysis.diagnosis import walk
from gantools.games.analytic import bilinear, dirac, quadratic
from tests.quick import few


def causes(found):
    return [finding.cause for finding in found.findings]


def diagnosed(made, method="simultaneous", steps=300, **settings):
    game, batch = made
    return diagnose(game, batch, trainers.make(method, game, **settings), steps=steps)


@pytest.mark.parametrize(
    ("made", "settings"),
    few(
        [
            (lambda: quadratic(1.0, 1.0), {"lr": 0.1}),  # |1 - 0.1 (1 + i)| = 0.906
            (lambda: dirac(regularizers=[gt.regularizers.R1(1.0)]), {"method": "alternating", "lr": 0.1}),
            (lambda: bilinear(), {"method": "consensus", "gamma": 1.0, "lr": 0.1}),
            (lambda: bilinear(), {"method": "extragradient", "lr": 0.3}),
        ],
        1,
    ),
)
def test_what_converges_is_healthy(made, settings):
    found = diagnosed(made(), **settings)
    assert found.healthy and not found.undecided and "Healthy" in str(found)


@pytest.mark.slow
def test_simultaneous_steps_on_a_bilinear_game_rotate_and_the_advised_flag_cures_them():
    found = diagnosed(bilinear(), lr=0.1)  # |1 - 0.1 i| > 1
    assert causes(found)[0] == "rotation"
    advice = found.findings[0].advice[0]
    method, settings = advice.flags[1], dict(zip(advice.flags[2::2], advice.flags[3::2], strict=True))
    game, batch = bilinear()
    optimizer = trainers.make(
        method, game, lr=0.1, **{k.removeprefix("--optimizer."): float(v) for k, v in settings.items()}
    )
    for _ in range(300):
        optimizer.step(batch)
    assert game.vector().norm() < 0.1 * 1.6  # it starts at (1, 1, -0.5, -0.5)


def test_a_rate_beyond_the_bound_is_named_and_the_advised_one_is_below_it():
    found = diagnosed(quadratic(2.0, 1.0), lr=1.5)  # stable below 2 * 2 / 5 = 0.8
    assert causes(found)[0] == "rate_too_large"
    assert float(found.findings[0].advice[0].flags[1]) < 0.8


def test_what_is_found_in_few_of_the_steps_is_said_to_be_so(monkeypatch):
    monkeypatch.setattr(walk, "stopwatch", lambda: lambda: 1e9)  # every walk ends at its fifth look
    game, batch = quadratic(2.0, 1.0)
    found = diagnose(game, batch, trainers.make("simultaneous", game, lr=1.5), steps=3000)
    assert causes(found)[0] == "rate_too_large"
    assert f"the time allowed {found.steps} of 3000 steps" in found.undecided[0]


@pytest.mark.slow
def test_momentum_without_which_the_same_steps_converge_is_named():
    game, batch = quadratic(0.3, 1.0)  # |1 - 0.2 (0.3 + i)| = 0.961, with momentum 0.9 it leaves the unit circle
    optimizer = trainers.make("simultaneous", game, lr=0.2, base=trainers.Momentum(0.9))
    finding = diagnose(game, batch, optimizer, steps=300).findings[0]
    assert finding.cause == "momentum_too_high" and finding.advice[0].flags == ("--optimizer.base.beta", "0.0")


def test_nothing_moves_and_no_random_number_is_drawn():
    game, batch = dirac()
    optimizer = trainers.make("simultaneous", game, lr=0.1, base="adam")
    optimizer.step(batch)
    before, memory, random = game.vector(), optimizer.state_dict(), torch.get_rng_state()
    diagnose(game, batch, optimizer, steps=50, seconds=5)
    assert torch.equal(game.vector(), before) and torch.equal(torch.get_rng_state(), random)
    after = optimizer.state_dict()
    assert after["counters"] == memory["counters"]
    assert all(torch.equal(after["memory"][key], value) for key, value in memory["memory"].items())


def test_without_an_optimizer_its_steps_are_not_judged():
    game, batch = bilinear()
    found = diagnose(game, batch, steps=50)
    assert not found.findings and not found.healthy and "no optimizer was given" in found.undecided[0]


def test_the_optimizer_of_another_game_is_refused():
    game, batch = bilinear()
    other, _ = bilinear()
    with pytest.raises(gt.GantoolsError, match="another game"):
        diagnose(game, batch, trainers.make("simultaneous", other))
