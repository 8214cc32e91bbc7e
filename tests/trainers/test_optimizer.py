"""The contract of every optimizer: a pure update, a thin step, states that come back, sentences for what is wrong."""

import copy
import io

import pytest
import torch
from torch import nn

import gantools as gt
from gantools.errors import GantoolsError
from gantools.trainers import BASES, Alternating, Consensus, Simultaneous, make
from tests import cases
from tests.quick import few

F64 = torch.float64
METHODS = {
    "simultaneous": {},
    "alternating": {"n_d": 2},
    "consensus": {"gamma": 0.5},
    # Every other method is held to the same contract in test_every_optimizer.py.
}
EVERY = [(name, base) for name in METHODS for base in sorted(BASES)]


def optimizer_of(name, base="sgd", game=None, **settings):
    game = cases.tanh_gan() if game is None else game
    return make(name, game, lr=1e-2, base=base, **METHODS[name], **settings)


def batches_of(optimizer, step):
    return [cases.gan_batch(seed=10 * step + k) for k in range(optimizer.batches_per_step)]


def batch_norm_game():
    torch.manual_seed(0)
    nets = [nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, n)).to(F64) for n in (2, 1)]
    return gt.gan(*nets)


def everything(state):
    return {**state.memory, **state.buffers}, dict(state.counters)


@pytest.mark.parametrize(("name", "base"), few(EVERY, 6))
def test_update_is_pure_and_step_takes_it(name, base):
    game = batch_norm_game()
    optimizer = optimizer_of(name, base, game)
    for step in range(2):
        optimizer.step(*batches_of(optimizer, step))
    w, batches = game.vector(), batches_of(optimizer, 2)
    state = optimizer.state
    kept, buffers = copy.deepcopy(everything(state)), game.buffers()
    w_kept = w.clone()
    w1, state1 = optimizer.update(w, state, *batches)
    w2, state2 = optimizer.update(w, state, *batches)
    assert torch.equal(w1, w2) and not torch.equal(w1, w)
    assert torch.equal(w, w_kept) and torch.equal(game.vector(), w)
    tensors, counters = everything(state)
    assert counters == kept[1] and all(torch.equal(tensors[k], kept[0][k]) for k in tensors)
    assert all(torch.equal(t, buffers[k]) for k, t in game.buffers().items())
    assert optimizer.state is state
    optimizer.step(*batches)
    assert torch.equal(game.vector(), w1)
    for key, value in everything(state1)[0].items():
        assert torch.equal(value, everything(state2)[0][key])
        assert torch.equal(value, everything(optimizer.state)[0][key])
    assert all(torch.equal(t, state1.buffers[k]) for k, t in game.buffers().items())
    assert any(not torch.equal(t, buffers[k]) for k, t in game.buffers().items())


@pytest.mark.parametrize("name", METHODS)
def test_a_step_is_checked_before_it_is_taken(name):
    game = batch_norm_game()
    optimizer = optimizer_of(name, "adam", game)
    before, buffers, present = game.vector(), game.buffers(), optimizer.state
    kept, seen = copy.deepcopy(everything(present)), []

    def refuse(w, state):
        raise ValueError

    with pytest.raises(ValueError):
        optimizer.step(*batches_of(optimizer, 0), check=refuse)
    assert torch.equal(game.vector(), before) and optimizer.state is present
    assert all(torch.equal(t, buffers[k]) for k, t in game.buffers().items())
    assert all(torch.equal(t, kept[0][k]) for k, t in everything(present)[0].items())
    assert present.counters == kept[1]

    optimizer.step(*batches_of(optimizer, 0), check=lambda *next: seen.extend(next))
    w, state = seen
    assert torch.equal(game.vector(), w) and optimizer.state is state and not torch.equal(w, before)


@pytest.mark.parametrize("name", METHODS)
def test_a_step_that_fails_takes_nothing(name):
    """The loss fails at the last evaluation of the step, after the earlier ones have moved running statistics."""
    evaluations, allowed = [], None
    nets = batch_norm_game().players

    def losses(players, batch):
        evaluations.append(None)
        if len(evaluations) == allowed:
            raise ValueError
        real, fake = players.discriminator(batch["real"]), players.discriminator(players.generator(batch["latent"]))
        return {"generator": -fake.mean(), "discriminator": fake.mean() - real.mean()}

    game = gt.Game(dict(nets), losses)
    optimizer = optimizer_of(name, "adam", game)
    optimizer.step(*batches_of(optimizer, 0))
    evaluations.clear()
    optimizer.step(*batches_of(optimizer, 1))
    allowed = len(evaluations)
    before, buffers, present = game.vector(), game.buffers(), optimizer.state
    kept = copy.deepcopy(everything(present))
    evaluations.clear()
    with pytest.raises(ValueError):
        optimizer.step(*batches_of(optimizer, 2))
    assert len(evaluations) == allowed
    assert torch.equal(game.vector(), before) and optimizer.state is present and present.counters == kept[1]
    assert all(torch.equal(t, buffers[k]) for k, t in game.buffers().items())
    assert all(torch.equal(t, kept[0][k]) for k, t in everything(present)[0].items())


@pytest.mark.parametrize(("name", "base"), few(EVERY, 6))
def test_a_saved_state_continues_bit_for_bit(name, base):
    def run(steps, optimizer):
        for step in steps:
            optimizer.step(*batches_of(optimizer, step))

    straight = optimizer_of(name, base, batch_norm_game())
    run(range(8), straight)
    first = optimizer_of(name, base, batch_norm_game())
    run(range(5), first)
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    w, buffers = first.game.vector(), first.game.buffers()
    file.seek(0)
    second = optimizer_of(name, base, batch_norm_game())
    second.load_state_dict(torch.load(file, weights_only=True))
    second.game.load_vector(w)
    second.game.load_buffers(buffers)
    run(range(5, 8), second)
    assert torch.equal(second.game.vector(), straight.game.vector())
    assert all(torch.equal(t, straight.game.buffers()[k]) for k, t in second.game.buffers().items())
    for key, value in straight.state_dict()["memory"].items():
        assert torch.equal(value, second.state_dict()["memory"][key])


def test_a_loaded_state_is_pure_too():
    """Its buffers are the game's: an update from it must not fall back on the modules' own and move them."""
    optimizer = optimizer_of("simultaneous", "adam", batch_norm_game())
    optimizer.load_state_dict(optimizer.state_dict())
    buffers = optimizer.game.buffers()
    optimizer.update(optimizer.game.vector(), optimizer.state, cases.gan_batch())
    assert all(torch.equal(t, buffers[k]) for k, t in optimizer.game.buffers().items())


def test_state_dicts_are_copies():
    optimizer = optimizer_of("simultaneous", "momentum")
    optimizer.step(cases.gan_batch())
    saved = optimizer.state_dict()
    kept = copy.deepcopy(saved)
    optimizer.step(cases.gan_batch(seed=1))
    assert all(torch.equal(saved["memory"][k], kept["memory"][k]) for k in kept["memory"])
    optimizer.load_state_dict(saved)
    saved["memory"]["generator:momentum"].zero_()
    assert torch.equal(optimizer.state.memory["generator:momentum"], kept["memory"]["generator:momentum"])


def test_a_state_of_something_else_is_refused():
    adam = optimizer_of("simultaneous", "adam")
    adam.step(cases.gan_batch())
    saved = adam.state_dict()
    wider = gt.gan(cases.mlp(2, 4, 2), cases.mlp(2, 3, 1), "hinge")
    for other in (
        optimizer_of("simultaneous", "sgd"),
        optimizer_of("simultaneous", "rmsprop"),
        optimizer_of("simultaneous", "adam", wider),
        optimizer_of("simultaneous", "adam", cases.bilinear([[1.0]], [1.0], [1.0])),
    ):
        before = other.state
        with pytest.raises(GantoolsError, match="does not fit Simultaneous on this game.*that it came from"):
            other.load_state_dict(saved)
        assert other.state is before
    # Both keep a square_avg, of another scale and from another start.
    flavour = optimizer_of("simultaneous", "rmsprop").state_dict()
    with pytest.raises(GantoolsError, match="RMSProp: .*does not fit.*RMSPropTF1: "):
        optimizer_of("simultaneous", "rmsprop_tf1").load_state_dict(flavour)
    for nonsense in ({}, None, {"memory": {}}, [1]):
        with pytest.raises(GantoolsError, match="not the state of a game optimizer"):
            adam.load_state_dict(nonsense)


def test_the_state_moves_to_a_method_with_the_same_memory():
    first = optimizer_of("simultaneous", "adam")
    first.step(cases.gan_batch())
    second = optimizer_of("consensus", "adam")
    second.load_state_dict(first.state_dict())
    assert second.state.counters == {"generator": 1, "discriminator": 1}


# Settings ------------------------------------------------------------------------------------------------------------


def test_make_by_name():
    game = cases.tanh_gan()
    optimizer = make("consensus", game, lr=3e-4, gamma=2.0, base="rmsprop")
    assert isinstance(optimizer, Consensus) and optimizer.gamma == 2.0 and optimizer.game is game
    with pytest.raises(GantoolsError, match="Unknown optimizer 'concensus'. Did you mean 'consensus'"):
        make("concensus", game)
    with pytest.raises(GantoolsError, match="Unknown setting of optimizer 'consensus' 'gama'. Did you mean 'gamma'"):
        make("consensus", game, gama=1.0)
    with pytest.raises(GantoolsError, match="Unknown setting of optimizer 'simultaneous' 'gamma'. Known: base, clip"):
        make("simultaneous", game, gamma=1.0)


def test_an_optimizer_moves_a_game():
    with pytest.raises(GantoolsError, match="game must be a Game, not a Sequential: make the game first"):
        Simultaneous(cases.mlp(2, 1))


@pytest.mark.parametrize(
    "lr", [0.0, -1e-3, float("nan"), float("inf"), "1e-4", None, {"generator": 0.1, "discriminator": 0}]
)
def test_a_learning_rate_is_positive(lr):
    with pytest.raises(GantoolsError, match="learning rate of '(generator|discriminator)' is .*positive number"):
        Simultaneous(cases.tanh_gan(), lr=lr)


def test_learning_rates_by_player():
    with pytest.raises(GantoolsError, match="Unknown player 'critic'"):
        Simultaneous(cases.tanh_gan(), lr={"generator": 0.1, "critic": 0.1})
    with pytest.raises(GantoolsError, match="lr names no rate for 'discriminator'"):
        Simultaneous(cases.tanh_gan(), lr={"generator": 0.1})
    game, batch = cases.tanh_gan(), cases.gan_batch()
    w, field = game.vector(), game.field(batch)
    Simultaneous(game, lr={"discriminator": 0.3, "generator": 0.1}).step(batch)
    rates = torch.tensor([0.1] * 17 + [0.3] * 13, dtype=F64)
    torch.testing.assert_close(game.vector(), w - rates * field)


# Batches and info ----------------------------------------------------------------------------------------------------


def test_batches_per_step():
    assert optimizer_of("simultaneous").batches_per_step == 1
    assert optimizer_of("consensus").batches_per_step == 1
    assert Alternating(cases.tanh_gan(), n_d=5).batches_per_step == 5
    batch = cases.gan_batch()
    with pytest.raises(GantoolsError, match=r"A step of Simultaneous takes 1 batch\(es\), but got 2"):
        optimizer_of("simultaneous").step(batch, batch)


def test_five_minibatches_for_five_updates():
    game, batches = cases.tanh_gan(), [cases.gan_batch(seed=k) for k in range(5)]
    optimizer = Alternating(game, lr=1e-2, n_d=5)
    assert not optimizer.step(*batches).reused_batches
    assert optimizer.state.counters == {"generator": 1, "discriminator": 5}
    assert optimizer.step(*batches[:2]).reused_batches  # 0, 1, 0, 1, 0
    assert optimizer.state.counters["discriminator"] == 10


@pytest.mark.parametrize("name", METHODS)
def test_several_batches_in_one_are_refused(name):
    with pytest.raises(GantoolsError, match="single batches: pass them one by one"):
        optimizer_of(name).step([cases.gan_batch(), cases.gan_batch()])


@pytest.mark.parametrize("name", ["simultaneous", "consensus"])
def test_info_is_of_the_point_before_the_step(name):
    game, batch = cases.tanh_gan(), cases.gan_batch()
    field = game.field(batch)
    info = optimizer_of(name, game=game).step(batch)
    torch.testing.assert_close(info.field_norm, field.norm())
    for player, part in game.slices.items():
        torch.testing.assert_close(info.field_norms[player], field[part].norm())
    real, fake = (
        cases.tanh_gan().players.discriminator(x)
        for x in (batch["real"], cases.tanh_gan().players.generator(batch["latent"]))
    )
    expected = gt.losses.LOSSES["nonsaturating"](real, fake)
    for loss, value in zip(info.losses.values(), expected, strict=True):
        torch.testing.assert_close(loss, value.detach())
        assert not loss.requires_grad


@pytest.mark.parametrize("name", METHODS)
def test_a_nan_batch_shows_in_the_info_before_anything_moved(name):
    optimizer = optimizer_of(name)
    before, batch = optimizer.game.vector(), cases.gan_batch()
    batch["real"][0, 0] = float("nan")

    def check(w, state):
        assert not state.info.field_norms["discriminator"].isfinite()
        assert torch.equal(optimizer.game.vector(), before)

    assert not optimizer.step(batch, check=check).field_norm.isfinite()


def test_training_keeps_no_graph():
    optimizer = optimizer_of("consensus", "adam")
    optimizer.step(cases.gan_batch())
    assert all(not t.requires_grad for t in optimizer.state.memory.values())
    assert all(p.is_leaf and p.grad is None for p in optimizer.game.parameters())
    assert not optimizer.state.info.field_norm.requires_grad


@pytest.mark.parametrize("name", METHODS)
def test_one_player(name):
    model, loss, batch = cases.classifier()
    game = gt.minimization(model, loss)
    optimizer = optimizer_of(name, "adam", game)
    first = optimizer.step(batch).losses["model"]
    for _ in range(30):
        info = optimizer.step(batch)
    assert info.losses["model"] < first


@pytest.mark.parametrize("name", METHODS)
def test_dropout_in_training_is_not_the_optimizers_business(name):
    torch.manual_seed(0)
    d = nn.Sequential(nn.Linear(2, 8), nn.Dropout(0.5), nn.Tanh(), nn.Linear(8, 1)).to(F64)
    optimizer = optimizer_of(name, game=gt.gan(cases.mlp(2, 3, 2), d))
    optimizer.step(*batches_of(optimizer, 0))
    assert d.training and d[1].training


def test_the_examination_gives_random_numbers_back():
    """A run that is resumed examines its losses once more; its further random draws must not differ for that."""

    def losses(players, batch):
        fake = players.generator(batch["latent"])
        scores = players.discriminator(fake + 0.1 * torch.randn(fake.shape, dtype=F64))
        return {"generator": -scores.mean(), "discriminator": scores.tanh().mean()}

    def zero_sum_losses(players, batch):
        loss = losses(players, batch)["generator"]
        return {"generator": loss, "discriminator": -loss}

    for method, settings, function in (
        ("consensus", {"gamma": 0.1}, losses),
        ("competitive", {"solver": "cg"}, zero_sum_losses),
    ):
        ends = []
        for examined in (False, True):
            game = gt.Game(dict(cases.tanh_gan().players), function)
            optimizer = make(method, game, lr=1e-2, **settings)
            optimizer._examined = examined
            torch.manual_seed(3)
            optimizer.step(cases.gan_batch())
            ends.append(optimizer.game.vector())
        assert torch.equal(*ends), method


def test_an_error_of_the_losses_is_not_taken_for_a_missing_derivative():
    """Only a missing derivative is worth another evaluation, without fused kernels."""
    calls = []

    def losses(players, batch):
        calls.append(None)
        if len(calls) == 1:
            raise NotImplementedError("Odd widths are not implemented.")
        return {"model": players.model(batch).square().mean()}

    optimizer = Simultaneous(gt.Game({"model": nn.Linear(2, 1).to(F64)}, losses))
    optimizer._examined = True  # only the step itself
    batch = torch.ones(3, 2, dtype=F64)
    with pytest.raises(NotImplementedError, match="Odd widths"):
        optimizer.step(batch)
    assert len(calls) == 1
    optimizer.step(batch)
    assert len(calls) == 2
