"""What holds for every registered method: it trains, resumes bit for bit, and is what is linearised."""

import dataclasses
import io

import pytest
import torch
from torch import nn

import gantools as gt
from gantools.analysis.operators.jacobian import update_operator
from gantools.batches import Parts, split
from gantools.trainers import BASES, OPTIMIZERS, Adam, RMSProp, make
from tests import cases
from tests.game_oracles import finite_product, period_map, relative, state_vector
from tests.quick import few

F64 = torch.float64
# Weights for small learning rates are too large for ours; a short period, or bounded rates in a solve, is a short test.
MILD = {
    "consensus": {"gamma": 0.5},
    "jare": {"gamma": 0.5},
    "lookahead": {"k": 2},
    "competitive": {"tolerance": 1e-10},
    "adaptive_competitive": {"tolerance": 1e-10, "eps": 0.1},
}
SECOND_MOMENTS = ("exp_avg_sq", "square_avg")


def has_base(name):
    return "base" in {f.name for f in dataclasses.fields(OPTIMIZERS[name])}


def optimizer_of(name, base="sgd", game=None, lr=0.03, **settings):
    settings = {**MILD.get(name, {}), **({"base": base} if has_base(name) else {}), **settings}
    return make(name, cases.tanh_gan() if game is None else game, lr=lr, **settings)


def run(optimizer, steps):
    for step in steps:
        info = optimizer.step(*cases.step_batches(optimizer, step))
        assert list(info.losses) == list(info.field_norms) == list(optimizer.game.slices)
        assert info.field_norm.isfinite()


def switching_gan():
    """The nonsaturating GAN as many loops write it: the discriminator's gradients off for the generator's loss."""
    start = cases.tanh_gan()
    players = {name: start.players[name] for name in start.slices}

    def losses(players, batch):
        G, D = players["generator"], players["discriminator"]
        fake = G(batch["latent"])
        D.requires_grad_(False)
        fooled = nn.functional.softplus(-D(fake)).mean()
        for parameter in D.parameters():
            parameter.requires_grad = True
        told = nn.functional.softplus(-D(batch["real"])).mean() + nn.functional.softplus(D(fake.detach())).mean()
        return {"generator": fooled, "discriminator": told}

    return gt.Game(players, losses)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_loss_that_switches_gradients_off_and_on_moves_the_players_alike(name):
    plain, switched = optimizer_of(name), optimizer_of(name, game=switching_gan())
    assert torch.equal(plain.game.vector(), switched.game.vector())
    run(plain, range(2))
    run(switched, range(2))
    torch.testing.assert_close(switched.game.vector(), plain.game.vector(), rtol=1e-9, atol=1e-11)


EVERY = [(name, base) for name in OPTIMIZERS for base in ("sgd", "adam") if base == "sgd" or has_base(name)]


@pytest.mark.parametrize(("name", "base"), few(EVERY, 12))
def test_trains_resumes_bit_equal_and_is_linearised(name, base):
    straight, first, second = (optimizer_of(name, base) for _ in range(3))
    start = straight.game.vector()
    run(straight, range(5))
    assert not torch.equal(straight.game.vector(), start)
    run(first, range(3))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    second.game.load_vector(first.game.vector())
    run(second, range(3, 5))
    assert torch.equal(state_vector(second.game, second), state_vector(straight.game, straight))
    assert second.state.counters == straight.state.counters
    assert all(not value.requires_grad for value in second.state.memory.values())
    operator = update_operator(straight, *cases.step_batches(straight, 9))
    assert operator.shape[0] == len(state_vector(straight.game, straight))
    assert (operator @ torch.ones(operator.shape[0], dtype=F64)).isfinite().all()


# With their usual settings a first moment's derivative is as large as 1/eps where a second moment is small.
GENTLE = {"adam": Adam(betas=(0.5, 0.9)), "rmsprop": RMSProp(0.9, 1e-3)}
LINEARISED = [
    *[(name, base, {}) for name, base in EVERY],
    *[("simultaneous", base, {}) for base in BASES if base not in ("sgd", "adam")],
    ("simultaneous", "momentum", {"lr": {"generator": 0.02, "discriminator": 0.03}}),
    ("alternating", "momentum", {"n_d": 2}),
    ("consensus", "adam", {"estimator": "independent"}),
    ("consensus", "momentum", {"every": 3}),
]


@pytest.mark.parametrize(("name", "base", "settings"), few(LINEARISED, 7))
def test_the_linearisation_is_the_derivative_of_the_step(name, base, settings):
    """Memory included, away from equilibrium, by finite differences of the pure update; and its transpose."""
    optimizer = optimizer_of(name, GENTLE.get(base, base), **settings)
    run(optimizer, range(optimizer.period * 2))
    batches = cases.step_batches(optimizer, 9)
    z, n = state_vector(optimizer.game, optimizer), optimizer.game.num_parameters
    eps = torch.full_like(z, 1e-3 if base == "sgd" else 1e-4)
    offset = n
    for key, value in optimizer.state.memory.items():
        if key.endswith(SECOND_MOMENTS):
            eps[offset : offset + value.numel()] = 1e-3 * value.abs() + 1e-9
        offset += value.numel()
    step, operator = period_map(optimizer, batches), update_operator(optimizer, *batches)
    source = torch.Generator().manual_seed(0)
    assert operator.n == len(z) and operator.kind == "map"
    assert list(operator.slices) == [*optimizer.game.slices, *optimizer.state.memory]
    for _ in range(4):
        # Scaled by coordinate: the step's derivative by a second moment is huge, and so is its curvature.
        u = eps * (2 * torch.rand(len(z), generator=source, dtype=F64) - 1)
        forth = operator @ u
        assert relative(forth, finite_product(step, z, u, 1.0)) < 1e-6
        v = torch.randn(len(z), generator=source, dtype=F64)
        assert abs(v @ forth - u @ (operator.T @ v)) < 1e-6 * v.norm() * forth.norm()


BOX = 0.2


def boxed(name, clip=True, **settings):
    """Return an optimizer whose critic starts just inside a box that its first moves leave."""
    game = cases.tanh_gan("wasserstein", [gt.regularizers.Clip(BOX)] if clip else [])
    w, critic = game.vector(), game.slices["discriminator"]
    w[critic] = w[critic].clamp(-0.999 * BOX, 0.999 * BOX)
    game.load_vector(w)
    optimizer = optimizer_of(name, game=game, lr=0.5, **settings)
    for key, value in optimizer.state.memory.items():
        if key.endswith(SECOND_MOMENTS):
            value += 1  # at 0 the step has no derivative by it
    return optimizer


TURNS = [*[(name, {}) for name in OPTIMIZERS], ("alternating", {"n_d": 3}), ("alternating", {"n_d": 2, "n_g": 3})]


@pytest.mark.parametrize(("name", "settings"), few(TURNS, 10))
def test_every_evaluation_within_a_step_keeps_to_the_constraints(name, settings, monkeypatch):
    optimizer = boxed(name, **settings)
    game, seen = optimizer.game, []
    evaluate = game.field_of

    def watched(leaves, *others, **more):
        seen.append(game.flatten(leaves).detach()[game.slices["discriminator"]].abs().max())
        return evaluate(leaves, *others, **more)

    run(optimizer, range(2))  # the modules' examination before the first step is no part of it
    monkeypatch.setattr(game, "field_of", watched)
    run(optimizer, range(2, 6))
    assert max(seen) == BOX


@pytest.mark.parametrize(("name", "settings"), few(TURNS, 4))
def test_the_linearisation_holds_the_constraints(name, settings):
    optimizer, free = boxed(name, **settings), boxed(name, clip=False, **settings)
    batches, z = cases.step_batches(optimizer, 9), state_vector(optimizer.game, optimizer)
    step, operator = period_map(optimizer, batches), update_operator(optimizer, *batches)
    without = update_operator(free, *batches)
    source = torch.Generator().manual_seed(0)
    for _ in range(3):
        u, v = (torch.randn(len(z), generator=source, dtype=F64) for _ in range(2))
        forth = operator @ u
        assert relative(forth, without @ u) > 1e-3
        assert relative(forth, finite_product(step, z, u, 1e-5)) < 1e-6
        assert abs(v @ forth - u @ (operator.T @ v)) < 1e-6 * v.norm() * forth.norm()


@pytest.mark.parametrize("name", few(OPTIMIZERS, 5))
def test_a_batch_in_parts_gives_the_same_step_and_the_same_linearisation(name):
    whole, parted = optimizer_of(name), optimizer_of(name)
    for step in range(3):
        batches = [cases.gan_batch(6, seed=10 * step + k) for k in range(whole.batches_per_step)]
        whole.step(*batches)
        parts = [split(batch, 3) for batch in batches]
        parted.step(*parts)
    assert relative(parted.game.vector(), whole.game.vector()) < 1e-13
    expected, found = update_operator(whole, *batches), update_operator(parted, *parts)
    u = torch.randn(expected.shape[0], generator=torch.Generator().manual_seed(0), dtype=F64)
    assert relative(found @ u, expected @ u) < 1e-7 and relative(found.T @ u, expected.T @ u) < 1e-7


def test_parts_of_different_sizes_are_weighted():
    """After later parts were evaluated, each is evaluated again with its own weight."""
    whole, parted = optimizer_of("consensus"), optimizer_of("consensus")
    batch = cases.gan_batch(7, seed=3)
    whole.step(batch)
    info = parted.step(Parts({key: value[part] for key, value in batch.items()} for part in (slice(2), slice(2, 7))))
    assert relative(parted.game.vector(), whole.game.vector()) < 1e-14
    assert whole.state.info.losses["generator"] == pytest.approx(float(info.losses["generator"]), rel=1e-14)


def batch_norm_gan():
    torch.manual_seed(0)
    nets = [nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, n)).to(F64) for n in (2, 1)]
    return gt.gan(*nets)


@pytest.mark.parametrize("name", few(OPTIMIZERS, 8))
def test_the_update_is_pure(name):
    """It moves neither the parameters, nor the memory it is given, nor running statistics; the step moves them all."""
    optimizer = optimizer_of(name, game=batch_norm_gan())
    run(optimizer, range(2))
    game, state, batches = optimizer.game, optimizer.state, cases.step_batches(optimizer, 2)
    w, memory, buffers = game.vector(), {key: value.clone() for key, value in state.memory.items()}, game.buffers()
    w1, state1 = optimizer.update(w, state, *batches)
    w2, state2 = optimizer.update(w, state, *batches)
    assert torch.equal(w1, w2) and torch.equal(game.vector(), w)
    assert all(torch.equal(state.memory[key], memory[key]) for key in memory)
    assert all(torch.equal(value, buffers[key]) for key, value in game.buffers().items())
    optimizer.step(*batches)
    assert all(torch.equal(value, state1.buffers[key]) for key, value in game.buffers().items())
    assert not all(torch.equal(value, buffers[key]) for key, value in game.buffers().items())
    assert torch.equal(game.vector(), w1) and optimizer.state.counters == state1.counters == state2.counters


def dead_gan():
    """A GAN in which a unit of the discriminator never fires."""
    game = cases.tanh_gan(activation=nn.ReLU)
    with torch.no_grad():
        game.players.discriminator[0].weight[0] = 0
        game.players.discriminator[0].bias[0] = -5
    return game


@pytest.mark.parametrize("base", ["adam", "rmsprop"])
@pytest.mark.parametrize("name", few([name for name in OPTIMIZERS if has_base(name)], 5))
def test_a_dead_unit_gives_no_nan(name, base):
    optimizer = optimizer_of(name, base, dead_gan())
    for steps in (range(0), range(3)):
        run(optimizer, steps)
        operator = update_operator(optimizer, *cases.step_batches(optimizer, 9))
        ones = torch.ones(operator.shape[0], dtype=F64)
        assert (operator @ ones).isfinite().all() and (operator.T @ ones).isfinite().all()
    assert state_vector(optimizer.game, optimizer).isfinite().all()


@pytest.mark.parametrize("name", few(OPTIMIZERS, 3))
def test_any_game(name):
    """One player with a network, and three that are vectors which turn around each other."""
    model, loss, batch = cases.classifier()
    optimizer = optimizer_of(name, game=gt.minimization(model, loss))
    losses = [optimizer.step(batch).losses["model"] for _ in range(20)]
    assert losses[-1] < losses[0]
    source = torch.Generator().manual_seed(0)
    jacobian = torch.randn(5, 5, generator=source, dtype=F64)
    jacobian = 3 * torch.eye(5, dtype=F64) + jacobian - jacobian.T
    for part in (slice(0, 2), slice(3, 5)):
        jacobian[part, part] = 3 * torch.eye(2, dtype=F64)
    game = cases.quadratic(jacobian, (2, 1, 2), torch.ones(5, dtype=F64))
    optimizer = optimizer_of(name, game=game)
    for _ in range(40):
        optimizer.step(None)
    assert game.vector().norm() < 1


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_nan_batch_shows_before_anything_moved(name):
    optimizer = optimizer_of(name)
    before, batches = optimizer.game.vector(), cases.step_batches(optimizer)
    for batch in batches:
        batch["real"][0, 0] = float("nan")

    def check(w, state):
        assert not state.info.field_norms["discriminator"].isfinite()
        assert torch.equal(optimizer.game.vector(), before)

    assert not optimizer.step(*batches, check=check).field_norm.isfinite()


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_tables_have_their_columns(name):
    cls = OPTIMIZERS[name]
    assert cls.cost and cls.paper and OPTIMIZERS.describe(name).endswith((".", ")."))
    assert all(f.metadata.get("help") for f in dataclasses.fields(cls) if f.name != "game")
