"""Averages of the iterates: parameters and buffers, against written-out sums; nothing of the game moves."""

import math

import pytest
import torch
from torch import nn

import gantools as gt
from gantools import GantoolsError
from gantools.trainers import AVERAGES, Average, Exponential, Simultaneous, Uniform, make
from tests import cases

F64 = torch.float64


def batch_norm_gan():
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)).to(F64)
    critic = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(2, 4)), nn.Tanh(), nn.Linear(4, 1))
    return gt.gan(generator, critic.to(F64))


def trained(rule, steps=7):
    game = batch_norm_gan()
    optimizer, average = make("simultaneous", game, lr=0.1), Average(game, rule)
    points, buffers = [], []
    for step in range(steps):
        optimizer.step(cases.gan_batch(seed=step))
        average.update()
        points.append(game.vector())
        buffers.append(game.buffers())
    return game, average, points, buffers


def test_uniform_is_the_mean_of_the_points_after_the_start():
    game, average, points, buffers = trained(Uniform(start=2))
    assert torch.allclose(average.vector, torch.stack(points[2:]).mean(0), rtol=1e-14)
    for name, value in average.buffers.items():
        if name.endswith(("running_mean", "running_var")):
            assert torch.allclose(value, torch.stack([b[name] for b in buffers[2:]]).mean(0), rtol=1e-14)
        else:  # the count of batches and the singular vectors
            assert torch.equal(value, buffers[-1][name])
    assert any(name.endswith("_u") for name in buffers[0]) and any(b.endswith("tracked") for b in buffers[0])


def test_exponential_is_its_sum():
    game, average, points, buffers = trained(Exponential(decay=0.8, ramp=0))
    start = batch_norm_gan().vector()
    weights = [0.2 * 0.8 ** (6 - k) for k in range(7)]
    expected = 0.8**7 * start + sum(w * p for w, p in zip(weights, points, strict=True))
    assert torch.allclose(average.vector, expected, rtol=1e-13)


def test_the_ramp_bounds_the_half_life_by_a_fraction_of_the_steps():
    rule = Exponential(decay=0.999, ramp=0.05)
    assert rule.share(0) == 1
    for count in (1, 10, 1000, 10**6):
        half_life = math.log(2) / -math.log1p(-rule.share(count))
        assert half_life <= 0.05 * count * (1 + 1e-9) and rule.share(count) >= 0.001 - 1e-15
    assert rule.share(10**6) == pytest.approx(0.001)


@pytest.mark.slow
def test_averages_of_simultaneous_steps_find_the_equilibrium_that_the_steps_leave():
    game = cases.bilinear(torch.eye(1, dtype=F64), [1.0], [0.0])
    optimizer, average = Simultaneous(game, lr=0.01), Average(game, "uniform")
    for _ in range(round(2 * math.pi * 5 / 0.01)):
        optimizer.step(None)
        average.update()
    assert game.vector().norm() > 1 > 0.05 > average.vector.norm()


@pytest.mark.parametrize("rule", AVERAGES)
def test_applied_puts_everything_back_even_after_an_error(rule):
    game, average, points, buffers = trained(rule)
    with pytest.raises(ZeroDivisionError), average.applied():
        assert torch.equal(game.vector(), average.vector)
        assert all(torch.equal(value, average.buffers[name]) for name, value in game.buffers().items())
        raise ZeroDivisionError
    assert torch.equal(game.vector(), points[-1])
    assert all(torch.equal(value, buffers[-1][name]) for name, value in game.buffers().items())


@pytest.mark.parametrize("rule", AVERAGES)
def test_resuming_is_bit_equal(rule):
    _, straight, *_ = trained(rule)
    game = batch_norm_gan()
    optimizer, first = make("simultaneous", game, lr=0.1), Average(game, rule)
    for step in range(7):
        if step == 3:
            second = Average(game, rule)
            second.load_state_dict(first.state_dict())
            first = second
        optimizer.step(cases.gan_batch(seed=step))
        first.update()
    assert torch.equal(first.vector, straight.vector)
    assert all(torch.equal(value, straight.buffers[name]) for name, value in first.buffers.items())


def test_bad_settings_and_foreign_states_are_refused():
    with pytest.raises(GantoolsError, match=r"decay in \[0, 1\)"):
        Exponential(decay=1.0)
    with pytest.raises(GantoolsError, match="at least 0"):
        Uniform(start=-1)
    average = Average(batch_norm_gan())
    with pytest.raises(GantoolsError, match="does not fit this game"):
        average.load_state_dict(Average(cases.tanh_gan()).state_dict())
    with pytest.raises(GantoolsError, match="Did you mean 'ema'"):
        Average(cases.tanh_gan(), "emma")
