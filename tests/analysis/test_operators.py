"""Matrix-free operators against dense autograd, finite differences and closed forms."""

import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

import gantools as gt
from gantools.analysis import products
from gantools.analysis.operators import hessian, jacobian, update_operator
from gantools.dependence import require_dependence
from gantools.errors import GantoolsError, NonFiniteFieldError
from gantools.trainers import BASES, Adam, Alternating, Consensus, RMSProp, Simultaneous
from tests import cases
from tests.game_oracles import dense_autograd, eigenvalues, finite_jacobian, relative, tanh_gan_field

F64 = torch.float64
METHODS = ["reverse", "forward", "replay", "auto"]


def vectors(n, k, seed=0):
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=F64)


# Products ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["nonsaturating", "minimax"])
@pytest.mark.parametrize("method", METHODS)
def test_jacobian_against_dense_autograd_of_the_written_out_field(loss, method):
    game, batch = cases.tanh_gan(loss), cases.gan_batch()
    dense = dense_autograd(lambda w: tanh_gan_field(w, batch, loss), game.vector())
    operator = jacobian(game, batch, method=method)
    assert operator.shape == (30, 30) and operator.dtype == F64 and operator.device.type == "cpu"
    assert operator.method == method or method == "auto"
    assert operator.slices == game.slices and operator.kind == "field" and not operator.symmetric
    block = vectors(30, 5)
    for u in (block[:, 0], block[:, 1:2], block, block[:, ::2], block[:, :0]):
        assert (operator @ u - dense @ u).norm() < 1e-13 * dense.norm() * max(u.norm(), 1)
        assert (operator.T @ u - dense.T @ u).norm() < 1e-13 * dense.norm() * max(u.norm(), 1)
    z = torch.complex(block[:, 0], block[:, 1])
    assert relative(operator @ z, dense.to(z.dtype) @ z) < 1e-13
    assert relative(operator.dense(), dense) < 1e-13
    assert relative(operator.dense(chunk=7), dense) < 1e-13
    assert relative(operator.T.dense(), dense.T) < 1e-13
    assert relative(operator.T.T @ block, dense @ block) < 1e-13


def test_the_oracle_agrees_with_finite_differences():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    dense = dense_autograd(lambda w: tanh_gan_field(w, batch), game.vector())
    assert relative(finite_jacobian(lambda w: tanh_gan_field(w, batch).detach(), game.vector()), dense) < 1e-10


@pytest.mark.parametrize("method", METHODS)
def test_blocks_wider_than_one_pass(method):
    """Blocks go through in parts of 64 columns; the parts must come back in order."""
    operator = jacobian(cases.tanh_gan(), cases.gan_batch(), method=method)
    block = vectors(30, 150)
    torch.testing.assert_close(operator @ block, operator.dense() @ block)
    torch.testing.assert_close(operator.T @ block, operator.dense().T @ block)


def test_products_keep_no_graph_and_work_under_no_grad():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    u = vectors(30, 2)
    for method in METHODS:
        with torch.no_grad():
            operator = jacobian(game, batch, method=method)
            inside = operator @ u
        outside = operator @ u.clone().requires_grad_()
        assert not inside.requires_grad and not outside.requires_grad
        torch.testing.assert_close(inside, outside)


def test_an_unknown_method_is_refused():
    with pytest.raises(GantoolsError, match="Unknown method 'foward'. Did you mean 'forward'"):
        jacobian(cases.tanh_gan(), cases.gan_batch(), method="foward")


def test_batching_may_fail_and_is_then_left_alone():
    """A custom function without a batching rule: blocks go through one vector at a time."""

    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return 2 * x * grad

    game = gt.minimization(cases.Point([1.0, 2.0, 3.0]), lambda m, _: (Square.apply(m.value) ** 2).sum())
    operator = jacobian(game, None)
    assert operator.method == "reverse"  # and there is no forward derivative either
    expected = torch.diag(12 * torch.tensor([1.0, 4.0, 9.0], dtype=F64))
    torch.testing.assert_close(operator.dense(), expected)


@pytest.mark.parametrize("method", METHODS)
def test_float32(method):
    game, batch = cases.tanh_gan(dtype=torch.float32), cases.gan_batch(dtype=torch.float32)
    dense = dense_autograd(
        lambda w: tanh_gan_field(w, {k: v.double() for k, v in batch.items()}), game.vector().double()
    )
    operator = jacobian(game, batch, method=method)
    assert operator.dtype == torch.float32
    assert relative(operator.dense().double(), dense) < 1e-5


# Hessians ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_hessian_of_a_model(method):
    model, loss, batch = cases.classifier()
    operator = hessian(model, loss, batch, method=method)
    assert operator.symmetric and operator.kind == "hessian" and operator.T is operator
    assert operator.slices == {"model": slice(0, 31)}

    def value(w):
        a, b, c, d = w.split([12, 4, 12, 3])
        x, y = batch
        scores = torch.tanh(x @ a.view(4, 3).T + b) @ c.view(3, 4).T + d
        return (scores.logsumexp(1) - scores[torch.arange(len(y)), y]).mean()

    w = torch.cat([p.detach().flatten() for p in model.parameters()])
    dense = torch.autograd.functional.hessian(value, w)
    assert relative(operator.dense(), dense) < 1e-13
    assert relative(jacobian(gt.minimization(model, loss), batch).dense(), dense) < 1e-13


@pytest.mark.parametrize("method", METHODS)
def test_hessians_of_players_are_the_diagonal_blocks(method):
    game, batch = cases.tanh_gan(), cases.gan_batch()
    dense = dense_autograd(lambda w: tanh_gan_field(w, batch), game.vector())
    for player, part in game.slices.items():
        operator = hessian(game, batch, player=player, method=method)
        assert operator.slices == {player: slice(0, part.stop - part.start)} and operator.symmetric
        assert relative(operator.dense(), dense[part, part]) < 1e-13


def test_hessian_needs_to_know_whose():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    with pytest.raises(GantoolsError, match="game of 2 players.*player= one of 'generator', 'discriminator'"):
        hessian(game, batch)
    with pytest.raises(GantoolsError, match="Unknown player 'critic'"):
        hessian(game, batch, player="critic")
    model, loss, data = cases.classifier()
    with pytest.raises(GantoolsError, match="Unknown player 'critic'"):
        hessian(model, loss, data, player="critic")
    for wrong in ((model,), (model, loss), (model, data, loss), (loss, model, data)):
        with pytest.raises(GantoolsError, match=r"Call hessian\(model, loss, batch\)"):
            hessian(*wrong)
    assert hessian(gt.minimization(model, loss), data).n == 31


def test_a_player_without_a_name_has_a_hessian_of_its_own():
    game, j = cases.nonnormal()
    renamed = gt.Game(
        {"": game.players["0"], "b": game.players["1"]},
        lambda p, b: dict(zip(p, game.losses({"0": p[""], "1": p["b"]}, b).values(), strict=True)),
    )
    torch.testing.assert_close(hessian(renamed, None, player="").dense(), j[:3, :3])


def test_softmax_has_a_null_space():
    """Adding one number to all scores changes no probability: 5 directions of the last layer are flat."""
    model, loss, batch = cases.classifier()
    dense = hessian(model, loss, batch).dense()
    flat = torch.zeros(31, 5, dtype=F64)
    for k in range(4):
        flat[16 + k : 28 : 4, k] = 1  # weight (3, 4) to the k-th hidden unit
    flat[28:, 4] = 1
    assert (dense @ flat).norm() < 1e-14 * dense.norm()
    assert (torch.linalg.eigvalsh(dense).abs() < 1e-12 * dense.norm()).sum() >= 5


def test_a_wrong_second_derivative_is_refused():
    class Wrong(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x.sin().sum() * x.square().sum()

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return grad * (x.cos() * x.square().sum().detach() + 2 * x * x.sin().sum())

    game = gt.minimization(cases.Point([0.3, 1.0, -0.4]), lambda m, _: Wrong.apply(m.value))
    with pytest.raises(GantoolsError, match="not symmetric: a custom autograd function"):
        jacobian(game, None)


# Snapshots -----------------------------------------------------------------------------------------------------------


def noisy_nets():
    torch.manual_seed(0)
    nets = [nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, n)) for n in (2, 1)]
    return gt.gan(*(net.to(F64) for net in nets))


# The update operator takes single batches and works backwards.
@pytest.mark.parametrize(
    ("kind", "method", "several"),
    [(k, m, s) for k in ("jacobian", "hessian") for m in ("reverse", "forward", "replay") for s in (False, True)]
    + [("update", "reverse", False)],
)
def test_operators_are_snapshots(several, method, kind):
    game = noisy_nets()
    batches = [cases.gan_batch(8), cases.gan_batch(6, seed=1)] if several else cases.gan_batch()
    optimizer = Simultaneous(game, lr=0.1, base="adam")
    optimizer.step(cases.gan_batch(seed=7))
    if kind == "jacobian":
        operator = jacobian(game, batches, method=method)
    elif kind == "hessian":
        operator = hessian(game, batches, player="generator", method=method)
    else:
        operator = update_operator(optimizer, batches)
    u = vectors(operator.n, 3)
    first, transposed = operator @ u, operator.T @ u
    for step in range(3):
        optimizer.step(cases.gan_batch(seed=step))
    game.load_vector(-game.vector())
    for module in game.players.values():
        module.eval()
        for buffer in module.buffers():
            buffer.mul_(3)
    if not several:
        batches["latent"].normal_()
    assert torch.equal(operator @ u, first) or relative(operator @ u, first) < 1e-13
    assert relative(operator.T @ u, transposed) < 1e-13
    assert relative(operator @ u[:, 0], first[:, 0]) < 1e-13
    assert not game.players.generator.training


def test_an_operator_leaves_the_modules_as_they_were():
    game, batch = noisy_nets(), cases.gan_batch()
    parameters = game.parameters()
    before = [p.detach().clone() for p in parameters]
    operator = jacobian(game, batch)
    operator @ vectors(operator.n, 2)
    for p, old, live in zip(
        parameters, before, (p for m in game.players.values() for p in m.parameters()), strict=True
    ):
        assert live is p and isinstance(p, nn.Parameter) and torch.equal(p, old) and p.grad is None


# Several batches -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_the_mean_over_ragged_batches_is_the_full_batch(method):
    model, loss, (x, y) = cases.classifier(size=11)
    full = hessian(model, loss, (x, y)).dense()
    game = gt.minimization(model, loss)
    loader = DataLoader(TensorDataset(x, y), batch_size=4)  # 4, 4, 3
    for operator in (hessian(model, loss, loader, method=method), jacobian(game, list(loader), method=method)):
        assert relative(operator.dense(), full) < 1e-13
        assert relative(operator @ full[:, 0], full @ full[:, 0]) < 1e-13
    equal_weights = hessian(model, loss, loader, size=lambda batch: 1.0).dense()
    assert relative(equal_weights, full) > 1e-4


@pytest.mark.parametrize("method", METHODS)
def test_the_mean_of_jacobians_of_a_gan(method):
    game, batches = cases.tanh_gan(), [cases.gan_batch(size, seed=size) for size in (8, 8, 3)]
    expected = sum(len(b["real"]) * jacobian(game, b).dense() for b in batches) / 19
    operator = jacobian(game, batches, method=method)
    assert relative(operator.dense(), expected) < 1e-13
    assert relative(operator.T.dense(), expected.T) < 1e-13
    loader = DataLoader(DictData(), batch_size=4)
    full = {key: torch.stack([DictData()[i][key] for i in range(10)]) for key in ("real", "latent")}
    assert relative(jacobian(game, loader, method=method).dense(), jacobian(game, full).dense()) < 1e-12


class DictData(Dataset):
    def __len__(self):
        return 10

    def __getitem__(self, i):
        batch = cases.gan_batch(1, seed=i)
        return {key: value[0] for key, value in batch.items()}


def test_a_shuffled_loader_is_refused():
    model, loss, (x, y) = cases.classifier(size=12)
    shuffled = DataLoader(TensorDataset(x, y), 4, shuffle=True, generator=torch.Generator().manual_seed(0))
    with pytest.raises(GantoolsError, match="differ from one pass to the next.*shuffle=False"):
        hessian(model, loss, shuffled)


def test_iterators_and_emptiness_are_refused():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    for batches, sentence in (
        (iter([batch]), "only once"),
        ((b for b in [batch]), "only once"),
        ([], "list of batches is empty"),
        (range(0), "no batches"),
        ({key: value[:0] for key, value in batch.items()}, "batch is empty"),
    ):
        with pytest.raises(GantoolsError, match=sentence):
            jacobian(game, batches)


def test_one_graph_at_a_time_is_alive(monkeypatch):
    game, batches = cases.tanh_gan(), [cases.gan_batch(seed=k) for k in range(6)]
    alive, most = weakref.WeakSet(), []
    original = products.ReverseProducts.__init__

    def counting(self, *args, **kwargs):
        most.append(len(alive) + 1)
        alive.add(self)
        original(self, *args, **kwargs)

    monkeypatch.setattr(products.ReverseProducts, "__init__", counting)
    gc.disable()  # a reference cycle would keep graphs until it runs
    try:
        operator = jacobian(game, batches, method="reverse")
        assert len(alive) == 0
        most.clear()
        operator @ vectors(30, 4)
        operator.T @ vectors(30, 4)
    finally:
        gc.enable()
    assert len(most) == 12 and max(most) == 1


def test_whether_batching_pays_is_learnt_from_two_blocks_over_all_batches(monkeypatch):
    calls = []
    original = products.Batching._learn
    monkeypatch.setattr(products.Batching, "_learn", lambda *args: calls.append(1) or original(*args))
    monkeypatch.setattr(products, "forward_pays", lambda *args: False)
    batches = [cases.gan_batch(seed=k) for k in range(3)]
    operator = jacobian(cases.tanh_gan(), batches)
    for _ in range(3):
        operator @ vectors(30, 5)
    assert len(calls) == 2
    # Without "auto" no clock decides, so that a run can be repeated to the last bit.
    operator = jacobian(cases.tanh_gan(), batches, method="reverse")
    expected = torch.stack([operator @ column for column in vectors(30, 40).T], 1)
    assert torch.allclose(operator @ vectors(30, 40), expected, rtol=1e-12) and len(calls) == 2


def test_forward_mode_builds_one_graph_for_all_transposed_products(monkeypatch):
    built = []
    original = products.ReverseProducts.__init__
    operator = jacobian(cases.tanh_gan(), cases.gan_batch(), method="forward")
    monkeypatch.setattr(
        products.ReverseProducts, "__init__", lambda self, *args, **kw: built.append(1) or original(self, *args, **kw)
    )
    for _ in range(3):
        operator @ vectors(30, 1)
        operator.T @ vectors(30, 1)
    assert len(built) == 1


@pytest.mark.parametrize("several", [False, True])
def test_mixed_products_agree_whichever_way_blocks_go(several, monkeypatch):
    monkeypatch.setattr(products, "forward_pays", lambda *args: True)
    game, batch = cases.tanh_gan(), cases.gan_batch()
    dense = dense_autograd(lambda w: tanh_gan_field(w, batch), game.vector())
    for seconds in ([1.0, 2.0], [2.0, 1.0]):
        operator = jacobian(game, [batch, batch] if several else batch)
        assert operator.method == "forward"
        with monkeypatch.context() as patch:
            clock = iter(seconds)
            patch.setattr(products.Batching, "pays", True)
            patch.setattr(products, "timed", lambda work, _, clock=clock: (work(), next(clock, 1.0)))
            assert relative(operator.dense(), dense) < 1e-13
        assert relative(operator @ dense[:, 0], dense @ dense[:, 0]) < 1e-13
        assert relative(operator.T.dense(), dense.T) < 1e-13


def test_a_forward_hessian_goes_forward(monkeypatch):
    model, loss, batch = cases.classifier()
    operator = hessian(model, loss, batch, method="forward")
    monkeypatch.setattr(products.ReverseProducts, "__init__", lambda *args, **kw: pytest.fail("built a graph"))
    operator @ vectors(31, 2)
    operator.T @ vectors(31, 2)


# What is refused -----------------------------------------------------------------------------------------------------


def gan_losses(objective, fake_of):
    def losses(players, batch):
        fake = players.generator(batch["latent"])
        real_scores = players.discriminator(batch["real"])
        g, _ = objective(real_scores, players.discriminator(fake))
        _, d = objective(real_scores, players.discriminator(fake_of(players, batch, fake)))
        return {"generator": g, "discriminator": d}

    return losses


def detached(players, batch, fake):
    return fake.detach()


def without_grad(players, batch, fake):
    with torch.no_grad():
        return players.generator(batch["latent"])


def partly_without_grad(players, batch, fake):
    with torch.no_grad():
        features = players.generator[0](batch["latent"])
    return players.generator[1:](features)


def modules(activation=nn.Tanh, dtype=F64):
    return {
        "generator": cases.mlp(2, 4, 2, activation=activation, dtype=dtype),
        "discriminator": cases.mlp(2, 4, 1, seed=1, activation=activation, dtype=dtype),
    }


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("loss", ["nonsaturating", "wasserstein", "hinge", "least_squares"])
@pytest.mark.parametrize("fake_of", [detached, without_grad])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_a_detached_fake_batch_is_refused_by_name(method, loss, fake_of, dtype):
    game = gt.Game(modules(nn.ReLU, dtype), gan_losses(gt.losses.LOSSES[loss], fake_of))
    sentence = "field of player 'discriminator' depends on the parameters of 'generator'.*do not detach the fake batch"
    with pytest.raises(GantoolsError, match=sentence):
        jacobian(game, cases.gan_batch(dtype=dtype), method=method)
    with pytest.raises(GantoolsError, match=sentence):
        update_operator(Simultaneous(game), cases.gan_batch(dtype=dtype))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_no_grad_around_a_part_of_the_generator_is_refused(method, dtype):
    game = gt.Game(modules(dtype=dtype), gan_losses(gt.losses.LOSSES["nonsaturating"], partly_without_grad))
    with pytest.raises(GantoolsError, match="field of player 'discriminator' depends on parameters that reverse"):
        jacobian(game, cases.gan_batch(dtype=dtype), method=method)
    with pytest.raises(GantoolsError, match="do not detach the fake batch"):
        Consensus(game).step(cases.gan_batch(dtype=dtype))


def test_a_players_own_block_does_not_mind_a_detached_fake_batch():
    attached = gt.Game(modules(), gan_losses(gt.losses.LOSSES["nonsaturating"], lambda p, b, fake: fake))
    apart = gt.Game(modules(), gan_losses(gt.losses.LOSSES["nonsaturating"], detached))
    batch = cases.gan_batch()
    for player in attached.slices:
        one, other = (hessian(game, batch, player=player).dense() for game in (attached, apart))
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("loss", sorted(gt.losses.LOSSES))
@pytest.mark.parametrize("activation", [nn.Tanh, nn.ReLU, nn.LeakyReLU, nn.SiLU])
@pytest.mark.parametrize("dtype", [torch.float32, F64])
def test_no_false_alarm(loss, activation, dtype):
    batch = cases.gan_batch(16, dtype=dtype)
    for regularizers in ([], [gt.regularizers.R1(1.0), gt.regularizers.R2(1.0)]):
        for seed in range(3):
            require_dependence(cases.tanh_gan(loss, regularizers, seed, dtype, activation), batch)


@pytest.mark.parametrize("loss", sorted(gt.losses.LOSSES))
@pytest.mark.parametrize("dead", ["generator", "discriminator", "both"])
def test_no_false_alarm_on_dead_layers(loss, dead):
    game, batch = cases.tanh_gan(loss, activation=nn.ReLU), cases.gan_batch(16)
    for player in game.players if dead == "both" else [dead]:
        with torch.no_grad():
            game.players[player][0].bias.fill_(-30.0)
    for optimizer in (Consensus(game, lr=1e-3), Simultaneous(game, lr=1e-3, base="adam")):
        optimizer.step(batch)
        assert update_operator(optimizer, batch).dense().isfinite().all()
    assert jacobian(game, batch).dense().isfinite().all()


def test_no_false_alarm_where_players_do_not_meet():
    game = gt.Game(
        {"a": cases.Point([1.0, -2.0]), "b": cases.Point([0.5]), "c": cases.Point([2.0])},
        lambda p, _: {
            "a": p.a.value.square().sum() + p.a.value.sum() * p.b.value.sum(),
            "b": p.b.value.pow(4).sum(),
            "c": (p.c.value.exp() * p.a.value.sum()).sum(),
        },
    )
    dense = jacobian(game, None).dense()
    a, b, c = game.slices.values()
    assert not dense[b, a].any() and not dense[b, c].any() and not dense[a, c].any() and dense[c, a].all()


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("wakes", [True, False])
def test_no_false_alarm_where_the_derivative_is_truly_zero(wakes, dtype):
    """A unit about to wake, and a dependence on the square of what is zero: the field moves, but not to and fro."""

    def losses(players, batch):
        b = players.b.value
        gate = torch.relu(b[0] - 1e-12) if wakes else 1e6 * b[0].square()
        return {"a": (players.a.value * (3 + gate)).sum(), "b": b.pow(4).sum()}

    players = {"a": cases.Point([1.0]).to(dtype), "b": cases.Point([0.0, 1.0]).to(dtype)}
    game = gt.Game(players, losses)
    assert not jacobian(game, None).dense()[0].any()


def test_no_false_alarm_at_an_equilibrium():
    for loss in ("minimax", "wasserstein"):
        assert jacobian(cases.dirac(loss), cases.DIRAC_BATCH).dense().abs().sum() > 0
    game, _ = cases.nonnormal()
    game.load_vector(torch.zeros(5, dtype=F64))
    jacobian(game, None)


def test_no_false_alarm_on_noise_inside_the_loss():
    """Random numbers are no detachment; each evaluation of the probe draws the same."""

    def losses(players, batch):
        noise = torch.randn(2, dtype=F64)
        return {"a": (players.a.value * noise).sin().sum(), "b": (players.b.value * noise).square().sum()}

    game = gt.Game({"a": cases.Point([1.0, 2.0]), "b": cases.Point([1.0, 2.0])}, losses)
    before = torch.get_rng_state()
    require_dependence(game, None)
    assert torch.equal(torch.get_rng_state(), before)
    with pytest.raises(GantoolsError, match="differs between two evaluations"):
        jacobian(game, None)


def test_dropout_is_refused_by_the_players_name():
    d = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5), nn.Linear(4, 1)).to(F64)
    game, batch = gt.gan(cases.mlp(2, 3, 2), d), cases.gan_batch()
    for make in (
        lambda: jacobian(game, batch),
        lambda: game.field(batch),
        lambda: update_operator(Simultaneous(game), batch),
        lambda: hessian(game, batch, player="generator"),
    ):
        with pytest.raises(GantoolsError, match=r"Dropout is active in player 'discriminator' \(1\).*\.eval\(\)"):
            make()
    d.eval()
    jacobian(game, batch)


@pytest.mark.parametrize(
    "noise",
    [lambda x: nn.functional.dropout(x, 0.3), lambda x: x + 1e-3 * torch.randn_like(x)],
    ids=["dropout", "randn"],
)
@pytest.mark.parametrize("method", METHODS)
def test_randomness_inside_the_loss_is_refused(noise, method):
    model, _, batch = cases.classifier()
    with pytest.raises(GantoolsError, match="differs between two evaluations.*into the batch"):
        hessian(model, lambda m, b: nn.functional.cross_entropy(noise(m(b[0])), b[1]), batch, method=method)


def test_a_field_that_is_not_finite_is_refused():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    batch["real"][0] = float("nan")
    with pytest.raises(NonFiniteFieldError, match="NaN or infinite"):
        jacobian(game, batch)
    with pytest.raises(NonFiniteFieldError, match="NaN or infinite"):
        update_operator(Simultaneous(game), batch)


# Whole steps ---------------------------------------------------------------------------------------------------------


def step_function(optimizer, batches):
    """The pure update as a function of one vector, for finite differences; no gantools.analysis involved."""
    state, game = optimizer.state, optimizer.game
    names = list(state.memory)
    sizes = [game.num_parameters, *(state.memory[k].numel() for k in names)]

    def function(z):
        w, *pieces = z.split(sizes)
        with game.frozen():
            new, after = optimizer.update(
                w, type(state)(dict(zip(names, pieces, strict=True)), state.counters, game.buffers()), *batches
            )
        return torch.cat([new, *(after.memory[k] for k in names)])

    return function, torch.cat([game.vector(), *(state.memory[k] for k in names)])


STEPS = {
    "simultaneous": lambda game, base: Simultaneous(game, lr={"generator": 0.02, "discriminator": 0.03}, base=base),
    "alternating": lambda game, base: Alternating(game, lr=0.02, base=base, n_d=2),
    "consensus": lambda game, base: Consensus(game, lr=0.02, base=base, gamma=0.7),
    "independent": lambda game, base: Consensus(game, lr=0.02, base=base, gamma=0.7, estimator="independent"),
}
# With the usual eps a first moment's derivative is as large as 1/eps where a second moment is small.
BASE_RULES = {**{name: name for name in BASES}, "adam": Adam((0.5, 0.9), 1e-3), "rmsprop": RMSProp(0.9, 1e-3)}


@pytest.mark.parametrize("base", sorted(BASE_RULES))
@pytest.mark.parametrize("method", STEPS)
def test_update_operator_against_finite_differences(method, base):
    game = cases.tanh_gan()
    optimizer = STEPS[method](game, BASE_RULES[base])
    for step in range(4):
        optimizer.step(*[cases.gan_batch(seed=3 * step + k) for k in range(optimizer.batches_per_step)])
    batches = [cases.gan_batch(seed=50 + k) for k in range(optimizer.batches_per_step)]
    operator = update_operator(optimizer, *batches)
    function, z = step_function(optimizer, batches)
    assert operator.n == len(z) and operator.kind == "map"
    eps = torch.full_like(z, 2e-5)
    for name, part in operator.slices.items():
        if name.endswith(("sq", "square_avg")):
            eps[part] = 1e-3 * z[part]  # their roots have a kink at zero
    dense = finite_jacobian(function, z, eps)
    assert relative(operator.dense(), dense) < 1e-6
    assert relative(operator.T.dense(), dense.T) < 1e-6
    u = vectors(operator.n, 1)[:, 0]
    assert relative(operator @ u, dense @ u) < 1e-6
    for name, part in operator.slices.items():
        memory = optimizer.state.memory.get(name)
        inside = memory if memory is not None else game.vector()[game.slices[name]]
        assert torch.equal(z[part], inside)


@pytest.mark.parametrize("layer", [nn.BatchNorm1d, nn.LayerNorm])
@pytest.mark.parametrize("method", STEPS)
def test_update_operator_with_normalization(layer, method):
    """The third derivatives of PyTorch's fused normalizations are wrong."""
    torch.manual_seed(1)
    d = nn.Sequential(nn.Linear(2, 4), layer(4), nn.Tanh(), nn.Linear(4, 1)).to(F64)
    optimizer = STEPS[method](gt.gan(cases.mlp(2, 3, 2), d), "momentum")
    for step in range(2):
        optimizer.step(*[cases.gan_batch(seed=step)] * optimizer.batches_per_step)
    batches = [cases.gan_batch(seed=5)] * optimizer.batches_per_step
    function, z = step_function(optimizer, batches)
    assert relative(update_operator(optimizer, *batches).dense(), finite_jacobian(function, z, 1e-4)) < 1e-6


@pytest.mark.parametrize("base", sorted(BASES))
@pytest.mark.parametrize("method", STEPS)
@pytest.mark.parametrize("steps", [0, 3])
def test_dead_units_give_no_nan(base, method, steps):
    game, batch = cases.tanh_gan(activation=nn.ReLU), cases.gan_batch()
    with torch.no_grad():
        game.players.discriminator[0].bias[0] = -30.0
    optimizer = STEPS[method](game, base)
    for _ in range(steps):
        optimizer.step(batch)
    dead = torch.cat([torch.zeros(17), torch.tensor([1.0, 1, 0, 0, 0, 0, 1]), torch.zeros(6)]).bool()
    assert not game.field(batch)[dead].any()
    operator = update_operator(optimizer, batch)
    dense = operator.dense()
    assert dense.isfinite().all() and operator.T.dense().isfinite().all()
    # A dead unit stays where it is, and nobody depends on its rate.
    w = dense[:30, :30]
    assert torch.equal(w[dead], torch.eye(30, dtype=F64)[dead])


def test_update_operator_of_adam_at_its_first_step():
    """The sign of the gradient: the derivative of d / (|d| + eps) nearly vanishes."""
    game, batch = cases.tanh_gan(), cases.gan_batch()
    optimizer = Simultaneous(game, lr=0.1, base=Adam((0.0, 0.0), 1e-12))
    dense = update_operator(optimizer, batch).dense()
    alive = game.field(batch).abs() > 1e-6
    assert (dense[:30, :30][alive] - torch.eye(30, dtype=F64)[alive]).abs().max() < 1e-4


def test_update_operator_uses_the_present_state_and_takes_nothing():
    game, batch = noisy_nets(), cases.gan_batch()
    optimizer = Consensus(game, lr=0.01, base="adam", gamma=0.1)
    optimizer.step(batch)
    state, w, buffers = optimizer.state, game.vector(), game.buffers()
    operator = update_operator(optimizer, batch)
    operator @ vectors(operator.n, 2)
    assert optimizer.state is state and torch.equal(game.vector(), w)
    assert all(torch.equal(t, buffers[k]) for k, t in game.buffers().items())
    optimizer.step(batch)
    later = update_operator(optimizer, batch)
    assert relative(later.dense(), operator.dense()) > 1e-3
    assert list(operator.slices) == [
        "generator",
        "discriminator",
        "generator:exp_avg",
        "generator:exp_avg_sq",
        "discriminator:exp_avg",
        "discriminator:exp_avg_sq",
    ]


def test_update_operator_predicts_a_small_displacement():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    optimizer = Simultaneous(game, lr=0.05, base="momentum")
    optimizer.step(batch)
    operator = update_operator(optimizer, batch)
    w, state = game.vector(), optimizer.state
    end, _ = optimizer.update(w, state, batch)
    u = vectors(30, 1)[:, 0]
    moved, _ = optimizer.update(w + 1e-6 * u, state, batch)
    predicted = operator @ torch.cat([u, torch.zeros(30, dtype=F64)])
    assert relative((moved - end) / 1e-6, predicted[:30]) < 1e-5


def test_update_operator_takes_the_batches_of_one_step():
    optimizer, batch = Alternating(cases.tanh_gan(), n_d=3), cases.gan_batch()
    repeated = update_operator(optimizer, batch).dense()
    assert torch.equal(repeated, update_operator(optimizer, batch, batch, batch).dense())
    with pytest.raises(GantoolsError, match=r"takes 3 batch\(es\), but got 4"):
        update_operator(optimizer, *[batch] * 4)
    with pytest.raises(GantoolsError, match="single batches"):
        update_operator(optimizer, [batch, batch])


def test_the_spectrum_of_a_real_step_says_whether_it_converges():
    """Near an equilibrium of a regularized GAN the distance shrinks by the spectral radius, a step at a time."""
    game = cases.dirac("nonsaturating", 1e-5, -2e-5, [gt.regularizers.R1(1.3)])
    for optimizer in (
        Simultaneous(game, lr=0.3, base="momentum"),
        Alternating(game, lr=0.3),
        Consensus(game, 0.3, gamma=0.4),
    ):
        game.load_vector(torch.tensor([1e-5, -2e-5], dtype=F64))
        radius = abs(eigenvalues(update_operator(optimizer, cases.DIRAC_BATCH))).max()
        norms = []
        for _ in range(200):
            optimizer.step(cases.DIRAC_BATCH)
            norms.append(game.vector().norm().item())
        assert abs(np.log(norms[-1] / norms[40]) / 159 - np.log(radius)) < 0.02
