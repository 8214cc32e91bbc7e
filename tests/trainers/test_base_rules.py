"""Base rules against torch.optim, and RMSProp of TensorFlow 1 against NumPy."""

import numpy as np
import pytest
import torch

import gantools as gt
from gantools.errors import GantoolsError
from gantools.trainers import BASES, Adam, Momentum, RMSProp, RMSPropTF1
from gantools.trainers.base_rules import safe_sqrt
from tests import cases
from tests.game_oracles import flat, plain_simultaneous_step, relative
from tests.quick import few

RATES = {"generator": 2e-3, "discriminator": 5e-3}
TORCH = {
    "sgd": (lambda p, lr: torch.optim.SGD(p, lr=lr), "sgd"),
    "momentum": (lambda p, lr: torch.optim.SGD(p, lr=lr, momentum=0.9), "momentum"),
    "negative momentum": (
        # torch.optim refuses a negative momentum at construction only
        lambda p, lr: torch.optim.SGD([{"params": list(p), "momentum": -0.3}], lr=lr),
        Momentum(-0.3),
    ),
    "rmsprop": (lambda p, lr: torch.optim.RMSprop(p, lr=lr), "rmsprop"),
    "rmsprop 0.9": (lambda p, lr: torch.optim.RMSprop(p, lr=lr, alpha=0.9, eps=1e-4), RMSProp(0.9, 1e-4)),
    "adam": (lambda p, lr: torch.optim.Adam(p, lr=lr), "adam"),
    "adam with negative momentum": (
        lambda p, lr: torch.optim.Adam([{"params": list(p), "betas": (-0.5, 0.99)}], lr=lr),
        Adam((-0.5, 0.99)),
    ),
    "adam 0 0.9": (lambda p, lr: torch.optim.Adam(p, lr=lr, betas=(0.0, 0.9), eps=1e-6), Adam((0.0, 0.9), 1e-6)),
}


@pytest.mark.parametrize("name", few(TORCH, 3))
@pytest.mark.parametrize("dtype", few([torch.float64, torch.float32], 1))
def test_bases_equal_torch_optim_over_100_steps(name, dtype):
    make, base = TORCH[name]
    game, plain = cases.tanh_gan(dtype=dtype), cases.tanh_gan(dtype=dtype)
    optimizer = gt.trainers.Simultaneous(game, lr=RATES, base=base)
    modules = list(plain.players.values())
    optimizers = [make(module.parameters(), RATES[player]) for player, module in plain.players.items()]
    start = game.vector()
    for step in range(100):
        batch = cases.gan_batch(seed=step, dtype=dtype)
        optimizer.step(batch)
        plain_simultaneous_step(*modules, optimizers, batch)
    assert relative(start, flat(*modules)) > 1e-2
    assert relative(game.vector(), flat(*modules)) < 1e-6


def test_rmsprop_of_tensorflow_against_numpy():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    optimizer = gt.trainers.Simultaneous(game, lr=RATES, base="rmsprop_tf1")
    w, v = game.vector().numpy().copy(), np.ones(30)
    rates = np.repeat([2e-3, 5e-3], [17, 13])
    for _ in range(100):
        g = game.field(batch).numpy()
        v = 0.9 * v + 0.1 * g**2
        w = w - rates * g / np.sqrt(v + 1e-10)
        optimizer.step(batch)
        np.testing.assert_allclose(game.vector().numpy(), w, rtol=1e-12, atol=1e-13)


def test_rmsprop_flavours_differ():
    ends = []
    for base in ("rmsprop", "rmsprop_tf1"):
        game = cases.tanh_gan()
        gt.trainers.Simultaneous(game, lr=1e-2, base=base).step(cases.gan_batch())
        ends.append(game.vector())
    assert (ends[0] - ends[1]).norm() > 1e-2


@pytest.mark.parametrize("base", sorted(BASES))
def test_updates_are_pure(base):
    rule = BASES[base]()
    w = torch.ones(3, dtype=torch.float64)
    memory = rule.init(w)
    before = {key: value.clone() for key, value in memory.items()}
    direction = torch.tensor([1.0, -2.0, 0.0], dtype=torch.float64)
    first, after = rule.update(direction, memory, 0, 0.1)
    assert all(torch.equal(memory[key], before[key]) for key in before)
    assert set(after) == set(before)
    again, _ = rule.update(direction, memory, 0, 0.1)
    assert torch.equal(first, again) and first[2] == 0 and first.isfinite().all()


def test_safe_sqrt_has_derivative_zero_at_zero():
    v = torch.tensor([0.0, 4.0], dtype=torch.float64, requires_grad=True)
    root = safe_sqrt(v)
    (first,) = torch.autograd.grad(root.sum(), v, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), v)
    assert torch.equal(root.detach(), torch.tensor([0.0, 2.0], dtype=torch.float64))
    assert torch.equal(first.detach(), torch.tensor([0.0, 0.25], dtype=torch.float64))
    assert torch.equal(second, torch.tensor([0.0, -1 / 32], dtype=torch.float64))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Momentum(1.0), r"beta = 1.0 is outside \(-1, 1\)"),
        (lambda: RMSProp(alpha=1.0), r"alpha = 1.0 is outside \[0, 1\)"),
        (lambda: RMSPropTF1(alpha=-0.1), "outside"),
        (lambda: Adam((0.5, 1.0)), "beta_2 = 1.0"),
        (lambda: Adam((float("nan"), 0.9)), "beta_1"),
        (lambda: Adam((-1.0, 0.9)), r"beta_1 = -1.0 is outside \(-1, 1\)"),
        (lambda: Adam((0.5, -0.1)), r"beta_2 = -0.1 is outside \[0, 1\)"),
        (lambda: gt.trainers.Simultaneous(cases.tanh_gan(), base="adan"), "Unknown base 'adan'. Did you mean 'adam'"),
        (lambda: gt.trainers.Simultaneous(cases.tanh_gan(), base=Adam), "is not a base rule"),
        (lambda: gt.trainers.Simultaneous(cases.tanh_gan(), base=0.9), "is not a base rule"),
        (
            lambda: gt.trainers.Simultaneous(
                cases.tanh_gan(), base={"generator": "adam", "discriminator": {"beta": 1}}
            ),
            "{'beta': 1} is not",
        ),
        (
            lambda: gt.trainers.Simultaneous(
                cases.tanh_gan(), base=torch.optim.Adam([torch.nn.Parameter(torch.ones(1))])
            ),
            "^Adam is not a base",
        ),
        (
            lambda: gt.trainers.Simultaneous(cases.tanh_gan(), base={}),
            "base names no base rule for 'generator', 'discriminator'",
        ),
    ],
)
def test_wrong_settings_are_refused(make, sentence):
    with pytest.raises(GantoolsError, match=sentence):
        make()


class TestABaseForEachPlayer:
    BASES = {"generator": Adam((0.5, 0.999)), "discriminator": Adam((0.0, 0.9))}  # noqa: RUF012

    def test_equals_an_optimizer_for_each_player_over_steps(self):
        game, plain = cases.tanh_gan(dtype=torch.float64), cases.tanh_gan(dtype=torch.float64)
        optimizer = gt.trainers.Simultaneous(game, lr=1e-2, base=self.BASES)
        optimizers = [
            torch.optim.Adam(plain.players[player].parameters(), lr=1e-2, betas=base.betas)
            for player, base in self.BASES.items()
        ]
        for step in range(10):
            batch = cases.gan_batch(seed=step, dtype=torch.float64)
            optimizer.step(batch)
            plain_simultaneous_step(*plain.players.values(), optimizers, batch)
        assert relative(game.vector(), flat(*plain.players.values())) < 1e-12

    @pytest.mark.parametrize("name", ["lookahead", "unrolled", "lead", "complex_momentum", "consensus"])
    def test_is_taken_by_every_method_and_resumes(self, name):
        game, batch = cases.tanh_gan(dtype=torch.float64), cases.gan_batch(dtype=torch.float64)
        bases = {"generator": "adam", "discriminator": "sgd"}
        optimizer = gt.trainers.make(name, game, lr=1e-2, base=bases)
        optimizer.step(batch)
        saved, w = optimizer.state_dict(), game.vector()
        optimizer.step(batch)
        expected = game.vector()
        again = gt.trainers.make(name, game, lr=1e-2, base=bases)
        game.load_vector(w)
        again.load_state_dict(saved)
        again.step(batch)
        assert torch.equal(game.vector(), expected)

    def test_has_to_name_every_player_and_rule(self):
        game = cases.tanh_gan()
        with pytest.raises(GantoolsError, match="no base rule for 'discriminator'"):
            gt.trainers.Simultaneous(game, base={"generator": "sgd"})
        with pytest.raises(GantoolsError, match="Did you mean 'generator'"):
            gt.trainers.Simultaneous(game, base={"generater": "sgd", "discriminator": "sgd"})


def test_lead_over_a_base_for_each_player_scales_the_force_by_its_rate_where_that_is_not_sgd():
    game, batch = cases.tanh_gan(dtype=torch.float64), cases.gan_batch(dtype=torch.float64)

    def moved(base):
        game.load_vector(start)
        optimizer = gt.trainers.make("lead", game, lr=1e-2, alpha=0.3, base=base)
        for _ in range(3):
            optimizer.step(batch)
        return game.vector()

    start = game.vector()
    momentum = Momentum(0.0)  # SGD's steps, but not SGD
    mixed = moved({"generator": "sgd", "discriminator": momentum})
    part = game.slices["generator"]
    one, other = moved("sgd"), moved(momentum)
    assert relative(one, other) > 1e-6 and relative(mixed, one) > 1e-9 and relative(mixed, other) > 1e-9
    assert relative(mixed[part], one[part]) < relative(mixed[part], other[part])
