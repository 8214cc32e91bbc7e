"""Schedules: their values, in optimizers and bases against plain loops, and on the command line."""

import math

import pytest
import torch

from gantools import GantoolsError
from gantools.cli.schedule_text import number_text, parse_number, parse_rate, rate_text
from gantools.runs.config import Choice
from gantools.runs.experiment import make_optimizer
from gantools.schedules import SCHEDULES, Cosine, Exponential, Linear, extremes, value_at
from gantools.trainers import Adam, make
from tests import cases
from tests.game_oracles import relative, tanh_gan_field

F64 = torch.float64


@pytest.mark.parametrize("schedule", [s(start=3.0, end=0.5, steps=10, warmup=4) for s in SCHEDULES.values()])
def test_ends_and_warmup(schedule):
    values = [schedule.at(count) for count in range(30)]
    assert values[:4] == pytest.approx([3 * (k + 1) / 5 for k in range(4)])
    assert values[4] == pytest.approx(3.0) and values[14:] == pytest.approx([0.5] * 16)
    assert all(a > b for a, b in zip(values[4:14], values[5:15], strict=True))


def test_shapes():
    assert Linear(2.0, 0.0, 4).at(1) == pytest.approx(1.5)
    assert Cosine(2e-4, 5e-5, 100).at(25) == pytest.approx(5e-5 + 1.5e-4 * (1 + math.cos(math.pi / 4)) / 2)
    assert Exponential(1.0, 0.01, 10).at(5) == pytest.approx(0.1)
    assert value_at(0.3, 7) == 0.3 and extremes(Linear(1.0, 2.0, 5), "x") == (1.0, 2.0)


def test_a_step_with_schedules_is_that_of_a_plain_loop():
    rate, beta = Linear(0.1, 0.02, 5), Cosine(0.5, 0.9, 4)
    game = cases.tanh_gan()
    lr = {"generator": 0.05, "discriminator": rate}
    optimizer = make("simultaneous", game, lr=lr, base=Adam(betas=(0.3, beta)))
    w, m, v = game.vector(), torch.zeros(30, dtype=F64), torch.zeros(30, dtype=F64)
    for step in range(8):
        batch = cases.gan_batch(seed=step)
        optimizer.step(batch)
        g, b = tanh_gan_field(w, batch).detach(), beta.at(step)
        m, v = 0.3 * m + 0.7 * g, b * v + (1 - b) * g**2
        h = torch.tensor([0.05] * 17 + [rate.at(step)] * 13, dtype=F64)
        w = w - h * (m / (1 - 0.3 ** (step + 1))) / ((v / (1 - b ** (step + 1))).sqrt() + 1e-8)
        assert relative(game.vector(), w) < 1e-12


def test_resuming_goes_on_where_the_schedule_was():
    def fresh():
        return make("alternating", cases.tanh_gan(), lr=Cosine(0.1, 0.01, 6), n_d=2)

    straight, first, second = fresh(), fresh(), fresh()
    for step in range(6):
        straight.step(*cases.step_batches(straight, step))
    for step in range(3):
        first.step(*cases.step_batches(first, step))
    second.load_state_dict(first.state_dict())
    second.game.load_vector(first.game.vector())
    for step in range(3, 6):
        second.step(*cases.step_batches(second, step))
    assert torch.equal(straight.game.vector(), second.game.vector())
    # A player's schedule counts its own updates.
    assert second.state.counters == {"generator": 6, "discriminator": 12}


def test_directions_are_shortened_for_each_player():
    optimizer, plain = make("simultaneous", cases.tanh_gan(), lr=1.0, clip_norm=0.1), cases.tanh_gan()
    batch = cases.gan_batch()
    field = tanh_gan_field(plain.vector(), batch).detach()
    before = optimizer.game.vector()
    info = optimizer.step(batch)
    moved = before - optimizer.game.vector()
    for player, part in plain.slices.items():
        norm = field[part].norm()
        expected = field[part] * min(1.0, 0.1 / norm)
        assert relative(moved[part], expected) < 1e-13 and info.field_norms[player] == pytest.approx(float(norm))
    assert (field.norm() > 0.2) and moved.norm() <= 0.1 * 2**0.5 + 1e-12


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-4", 1e-4),
        ("cosine(2e-4, 5e-5, 100)", Choice("cosine", {"start": 2e-4, "end": 5e-5, "steps": 100})),
        ("linear(1.0, end=0.0, steps=3, warmup=2)", Choice("linear", {"start": 1, "end": 0, "steps": 3, "warmup": 2})),
        ("a=1e-4, b=linear(1,0,5)", {"a": 1e-4, "b": Choice("linear", {"start": 1, "end": 0, "steps": 5})}),
    ],
)
def test_spelling_and_back(text, expected):
    rate = parse_rate(text)
    assert rate == expected and parse_rate(rate_text(rate)) == rate
    if not isinstance(rate, dict):
        assert parse_number(number_text(rate)) == rate


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("cosin(1, 0, 5)", "Did you mean 'cosine'"),
        ("cosine(1, 0)", "takes start, end, steps"),
        ("cosine(1, 0, 5, 0, 7)", "takes start, end, steps"),
        ("cosine(1, 0, 5.5)", "whole"),
        ("cosine(1, 'a', 5)", "numbers"),
        ("a=cosine(1, 0)", "takes start, end, steps"),
        ("cosine(1, 0, 5), 3", "not a number|no name"),
    ],
)
def test_misspelt(text, sentence):
    with pytest.raises(GantoolsError, match=sentence):
        parse_rate(text)


def test_bad_schedules_are_refused():
    with pytest.raises(GantoolsError, match="at least 1 and 0"):
        Linear(1.0, 0.0, 0)
    with pytest.raises(GantoolsError, match="both must be above 0"):
        Exponential(1.0, 0.0, 5)
    with pytest.raises(GantoolsError, match="learning rate of 'generator'.*positive"):
        make("simultaneous", cases.tanh_gan(), lr=Linear(0.1, -0.1, 5))
    with pytest.raises(GantoolsError, match=r"beta_2 = .*outside \[0, 1\)"):
        Adam(betas=(0.0, Linear(0.9, 1.0, 5)))
    with pytest.raises(GantoolsError, match="clip_norm = 0.*positive"):
        make("simultaneous", cases.tanh_gan(), clip_norm=0.0)


def test_a_choice_with_schedules_is_built():
    cosine = Choice("cosine", {"start": 1e-2, "end": 1e-3, "steps": 9})
    choice = Choice("simultaneous", {"lr": {"generator": cosine, "discriminator": 0.1},
                                     "base": Choice("adam", {"betas": [0.0, cosine], "eps": 1e-8})})  # fmt: skip
    assert Choice.from_dict(choice.to_dict()) == choice
    optimizer = make_optimizer(choice, cases.tanh_gan())
    assert optimizer.rates["generator"] == Cosine(1e-2, 1e-3, 9)
    assert optimizer.rules["generator"] == Adam(betas=(0.0, Cosine(1e-2, 1e-3, 9)))
