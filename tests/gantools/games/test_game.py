"""Games: the field against plain autograd, the flat vector, buffers, what is refused and how it is said."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

import gantools as gt
from gantools.analysis.operators.jacobian import jacobian
from gantools.errors import GantoolsError
from gantools.games import arbiter
from tests import cases
from tests.game_oracles import (
    finite_jacobian,
    finite_product,
    flat,
    frozen_field,
    nonsaturating_losses,
    plain_simultaneous_step,
    relative,
    tanh_gan_field,
)
from tests.quick import few

F64 = torch.float64


def own_gradients(losses, modules):
    """Each module's gradient of its own loss by plain autograd, one vector."""
    parts = []
    for loss, module in zip(losses, modules, strict=True):
        grads = torch.autograd.grad(loss, list(module.parameters()), retain_graph=True, allow_unused=True)
        for g, p in zip(grads, module.parameters(), strict=True):
            parts.append((torch.zeros_like(p) if g is None else g).reshape(-1))
    return torch.cat(parts)


# The field -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", ["nonsaturating", "minimax"])
def test_field_equals_the_written_out_one(loss):
    game, batch = cases.tanh_gan(loss), cases.gan_batch()
    assert relative(game.field(batch), tanh_gan_field(game.vector(), batch, loss).detach()) < 1e-14


@pytest.mark.parametrize("loss", sorted(gt.losses.LOSSES))
def test_field_equals_plain_autograd_for_every_loss(loss):
    game, batch = cases.tanh_gan(loss), cases.gan_batch()
    g, d = game.players.generator, game.players.discriminator
    expected = own_gradients(gt.losses.LOSSES[loss](d(batch["real"]), d(g(batch["latent"]))), (g, d))
    assert relative(game.field(batch), expected) < 1e-14


def test_minimization_is_the_gradient():
    model, loss, batch = cases.classifier()
    game = gt.minimization(model, loss)
    assert list(game.slices) == ["model"]
    assert relative(game.field(batch), own_gradients([loss(model, batch)], [model])) < 1e-14


def test_a_loss_may_be_a_function_of_the_scores():
    def mine(real, fake):
        return -fake.mean(), fake.mean() - real.tanh().mean()

    game, batch = cases.tanh_gan(mine), cases.gan_batch()
    g, d = game.players.generator, game.players.discriminator
    assert relative(game.field(batch), own_gradients(mine(d(batch["real"]), d(g(batch["latent"]))), (g, d))) < 1e-14


def test_order_and_slices():
    game = gt.Game(
        {"second": cases.Point([1.0, 2.0]), "first": cases.Point([3.0])},
        lambda p, b: {"first": 5 * p.first.value.sum(), "second": p.second.value.square().sum()},
    )
    assert game.slices == {"second": slice(0, 2), "first": slice(2, 3)}
    assert torch.equal(game.vector(), torch.tensor([1.0, 2.0, 3.0], dtype=F64))
    assert torch.equal(game.field(None), torch.tensor([2.0, 4.0, 5.0], dtype=F64))
    assert game.num_parameters == 3 and game.dtype == F64
    assert [p.shape for p in game.parameters()] == [(2,), (1,)]


def test_field_leaves_no_trace():
    game, batch = cases.tanh_gan(regularizers=[gt.regularizers.R1(1.0)]), cases.gan_batch()
    before = game.vector()
    game.field(batch)
    assert torch.equal(game.vector(), before)
    assert all(p.grad is None for p in game.parameters())
    assert not batch["real"].requires_grad and not batch["latent"].requires_grad


def test_field_works_under_no_grad():
    game, batch = cases.tanh_gan(regularizers=[gt.regularizers.R1(1.0)]), cases.gan_batch()
    expected = game.field(batch)
    with torch.no_grad():
        assert torch.equal(game.field(batch), expected)


def test_inference_mode_is_refused():
    """Nothing would be recorded, and every gradient would silently be zero."""
    game, batch = cases.tanh_gan(), cases.gan_batch()
    with torch.inference_mode(), pytest.raises(GantoolsError, match="inference_mode.*outside it"):
        game.field(batch)


def test_nan_data_gives_a_nan_field_and_no_exception():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    batch["real"][0] = float("nan")
    field = game.field(batch)
    assert field[game.slices["discriminator"]].isnan().all()
    assert field[game.slices["generator"]].isfinite().all()


# The flat vector -----------------------------------------------------------------------------------------------------


def test_vector_is_a_copy_and_goes_back():
    game = cases.tanh_gan()
    w = game.vector()
    assert torch.equal(w, flat(*game.players.values()))
    game.load_vector(2 * w)
    assert torch.equal(game.vector(), 2 * w)
    game.load_vector(torch.stack([w, 3 * w], 1)[:, 1])  # a strided column
    assert torch.equal(game.vector(), 3 * w)
    single = gt.minimization(cases.Point([1.0]), lambda m, b: m.value.sum())
    copy_of = single.vector()
    single.load_vector(copy_of + 1)
    assert copy_of.item() == 1.0


@pytest.mark.parametrize("w", [torch.zeros(29), torch.zeros(31), torch.zeros(30, 1), torch.zeros(())])
def test_a_vector_that_does_not_fit_is_refused(w):
    with pytest.raises(GantoolsError, match=r"30 parameters: pass a tensor of shape \(30,\)"):
        cases.tanh_gan().load_vector(w)


def test_mixed_dtypes_promote():
    game = gt.Game(
        {"a": cases.mlp(2, 1, dtype=torch.float32), "b": cases.mlp(2, 1)},
        lambda p, x: {"a": p.a(x.float()).square().mean(), "b": p.b(x).square().mean()},
    )
    w = game.vector()
    assert w.dtype == F64
    x = torch.ones(3, 2, dtype=F64)
    assert game.field(x).dtype == F64
    game.load_vector(w)
    assert torch.equal(game.vector(), w)
    assert {p.dtype for p in game.parameters()} == {torch.float32, F64}


def test_a_copy_of_a_game_is_a_game():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    twin = copy.deepcopy(game)
    field = game.field(batch)
    twin.load_vector(torch.zeros(30, dtype=F64))
    assert torch.equal(game.field(batch), field)
    assert relative(twin.field(batch), field) > 0.1


# Complex parameters --------------------------------------------------------------------------------------------------


class ComplexUnit(nn.Module):
    def __init__(self):
        super().__init__()
        source = torch.Generator().manual_seed(0)
        self.scale = nn.Parameter(torch.randn(3, generator=source, dtype=F64))
        self.rotation = nn.Parameter(torch.randn(3, 2, generator=source, dtype=torch.complex128))

    def forward(self, x):
        return (self.scale[:, None] * (self.rotation * x).exp()).sum(0)


def complex_game():
    target = torch.tensor([0.3 + 1j, -0.5 + 0.2j], dtype=torch.complex128)
    return gt.minimization(ComplexUnit(), lambda model, x: (model(x) - target).abs().square().mean())


def test_complex_parameters_enter_as_their_real_view():
    game, x = complex_game(), torch.tensor(0.7, dtype=F64)
    model = game.players["model"]
    assert game.num_parameters == 3 + 12 and game.dtype == F64
    assert torch.equal(game.vector()[3:], torch.view_as_real(model.rotation.detach()).flatten())
    game.losses(game.players, x)["model"].backward()
    expected = torch.cat([model.scale.grad, torch.view_as_real(model.rotation.grad).flatten()])
    assert relative(game.field(x), expected) < 1e-14
    game.load_vector(game.vector() + 1)
    assert (torch.view_as_real(model.rotation.detach()).flatten() - game.vector()[3:]).abs().max() == 0


@pytest.mark.parametrize("method", ["reverse", "forward"])
def test_complex_jacobian_is_that_of_the_real_field(method):
    game, x = complex_game(), torch.tensor(0.7, dtype=F64)
    dense = finite_jacobian(frozen_field(game, x), game.vector())
    assert relative(jacobian(game, x, method=method).dense(), dense) < 1e-9


def test_complex_weights_train():
    game, x = complex_game(), torch.tensor(0.7, dtype=F64)
    first = None
    optimizer = gt.trainers.Simultaneous(game, lr=0.03, base="adam")
    for _ in range(200):
        info = optimizer.step(x)
        first = info.losses["model"] if first is None else first
    assert info.losses["model"] < 1e-3 * first


# Sharing, freezing, unreached ----------------------------------------------------------------------------------------


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.encode = nn.Linear(3, 2, bias=False, dtype=F64)
        self.decode = nn.Linear(2, 3, bias=False, dtype=F64)
        self.again = self.encode
        self.mirror = nn.Linear(3, 2, bias=False, dtype=F64)
        self.mirror.weight = self.encode.weight

    def forward(self, x):
        return self.decode(torch.tanh(self.encode(x)) + self.again(x) * self.mirror(x))


def test_tied_weights_count_once():
    torch.manual_seed(0)
    model, x = Tied(), torch.randn(4, 3, dtype=F64)
    game = gt.minimization(model, lambda m, x: (m(x) - x).square().mean())
    assert game.num_parameters == 12
    assert relative(game.field(x), own_gradients([(model(x) - x).square().mean()], [model])) < 1e-14
    dense = finite_jacobian(frozen_field(game, x), game.vector())
    assert relative(jacobian(game, x).dense(), dense) < 1e-9
    gt.trainers.Simultaneous(game, lr=0.1).step(x)
    assert model.mirror.weight is model.encode.weight


@pytest.mark.parametrize("share", ["parameter", "module", "view"])
def test_sharing_between_players_is_refused(share):
    a, b = cases.mlp(2, 3, 2), cases.mlp(2, 3, 1)
    if share == "parameter":
        b[0].weight = a[0].weight
    elif share == "module":
        b[0] = a[0]
    else:
        b[0].bias = nn.Parameter(a[0].weight.data.flatten()[1:4])
    with pytest.raises(GantoolsError, match=r"Players 'a' and 'b' share the parameter '0\.(weight|bias)'.*own copy"):
        gt.Game({"a": a, "b": b}, lambda players, batch: {})


def test_parameters_side_by_side_in_one_storage_are_not_shared():
    store = torch.zeros(10, dtype=F64)
    a, b = cases.Point([0.0]), cases.Point([0.0])
    a.value, b.value = nn.Parameter(store[:4]), nn.Parameter(store[4:])
    game = gt.Game({"a": a, "b": b}, lambda p, _: {"a": p.a.value.sum(), "b": p.b.value.sum()})
    assert game.num_parameters == 10


def test_two_parameters_over_the_same_memory_within_a_player_are_refused():
    model = cases.mlp(2, 2, 2)
    model[2].weight = nn.Parameter(model[0].weight.data)
    with pytest.raises(GantoolsError, match="share memory but are two.*assigning the same nn.Parameter"):
        gt.minimization(model, lambda m, x: m(x).sum())


def test_frozen_parameters_are_constants():
    game_of = lambda: cases.mlp(2, 3, 1)  # noqa: E731
    model, x = game_of(), torch.ones(4, 2, dtype=F64)
    model[0].weight.requires_grad_(False)
    game = gt.minimization(model, lambda m, x: m(x).square().mean())
    assert game.num_parameters == 3 + 3 + 1
    field = game.field(x)
    w0 = model[0].weight.clone()
    gt.trainers.Simultaneous(game, lr=0.1, base="adam").step(x)
    assert torch.equal(model[0].weight, w0) and not model[0].weight.requires_grad
    free = game_of()
    everything = own_gradients([free(x).square().mean()], [free])
    assert relative(field, everything[6:]) < 1e-14
    operator = jacobian(game, x)
    before = operator @ torch.ones(7, dtype=F64)
    with torch.no_grad():
        model[0].weight.mul_(3)
    assert torch.equal(operator @ torch.ones(7, dtype=F64), before)


def test_a_player_with_nothing_to_move_is_refused():
    model = cases.mlp(2, 1).requires_grad_(False)
    with pytest.raises(GantoolsError, match="'model' has no trainable parameter"):
        gt.minimization(model, lambda m, x: m(x).sum())
    with pytest.raises(GantoolsError, match=r"pass a torch\.nn\.Module"):
        gt.Game({"f": torch.sin}, lambda p, b: {})
    for nobody in ({}, [], [cases.Point([1.0])]):
        with pytest.raises(GantoolsError, match="at least one player"):
            gt.Game(nobody, lambda p, b: {})


def test_unreached_parameters_have_gradient_zero():
    model, x = cases.mlp(2, 3, 1), torch.ones(4, 2, dtype=F64)
    model.spare = nn.Parameter(torch.ones(5, dtype=F64))
    game = gt.minimization(model, lambda m, x: nn.Sequential.forward(m[:3], x).square().mean())
    field = game.field(x)
    spare = slice(0, 5)
    assert torch.equal(field[spare], torch.zeros(5, dtype=F64)) and field[5:].abs().min() > 0
    dense = jacobian(game, x).dense()
    assert not dense[spare].any() and not dense[:, spare].any() and dense.any()


def test_a_loss_independent_of_everything_has_field_zero():
    game = gt.Game(
        {"a": cases.Point([1.0, 2.0]), "b": cases.Point([3.0])},
        lambda p, x: {"a": x.square().mean(), "b": p.b.value.square().sum()},
    )
    x = torch.ones(3, dtype=F64)
    assert torch.equal(game.field(x), torch.tensor([0.0, 0.0, 6.0], dtype=F64))
    assert torch.equal(jacobian(game, x).dense(), torch.diag(torch.tensor([0.0, 0.0, 2.0], dtype=F64)))
    nothing = gt.minimization(cases.Point([1.0]), lambda m, x: x.sum())
    assert nothing.field(x).item() == 0 and jacobian(nothing, x).dense().item() == 0
    gt.trainers.Consensus(nothing, lr=0.1).step(x)
    assert nothing.vector().item() == 1


# Names ---------------------------------------------------------------------------------------------------------------


def test_any_string_is_a_players_name():
    names = ["a.b", "", "0", "a", "keys", "a:momentum", "..", "\\"]
    game = gt.Game(
        {name: cases.Point([float(i)]) for i, name in enumerate(names)},
        lambda players, _: {n: (i + 1) * p.value.sum() for i, (n, p) in enumerate(players.items())},
    )
    assert list(game.slices) == names
    assert torch.equal(game.field(None), torch.arange(1.0, 9.0, dtype=F64))
    gt.trainers.Simultaneous(game, lr=1.0, base="momentum").step(None)
    assert torch.equal(game.vector(), -torch.ones(8, dtype=F64))
    assert len(game.named_parameters()) == 8
    assert game.players[""].value is game.named_parameters()[".value"]


def test_named_parameters_never_collide():
    inner = nn.Module()
    inner.b = cases.Point([1.0])
    game = gt.Game({"a": inner, "a.b": cases.Point([2.0])}, lambda p, _: {})
    assert list(game.named_parameters()) == ["a.b.value", r"a\.b.value"]
    assert [p.item() for p in game.named_parameters().values()] == [1.0, 2.0]
    assert list(cases.tanh_gan().named_parameters())[0] == "generator.0.weight"


def test_players_by_attribute():
    game = cases.bilinear([[1.0]], [1.0], [1.0])
    assert game.players.x is game.players["x"]
    with pytest.raises(AttributeError, match="no player 'z'; players: x, y"):
        _ = game.players.z
    with pytest.raises(GantoolsError, match="Unknown player 'generater'. Did you mean 'generator'"):
        cases.tanh_gan().require_player("generater")


# What losses return, what batches are --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("returned", "sentence"),
    [
        (lambda x, y: {"x": x.sum()}, r"returned the keys \['x'\].*'x', 'y'"),
        (lambda x, y: {"x": x.sum(), "y": y.sum(), "z": y.sum()}, "one scalar for each"),
        (lambda x, y: (x.sum(), y.sum()), "returned a tuple"),
        (lambda x, y: None, "NoneType"),
        (lambda x, y: {"x": x.sum(), "y": y}, r"player 'y' is not a real scalar.*\(2,\).*mean or sum"),
        (lambda x, y: {"x": x.sum(), "y": y.sum() * 1j}, "'y' is not a real scalar.*complex"),
        (lambda x, y: {"x": 0.0, "y": y.sum()}, "'x' is not a real scalar.*float"),
    ],
)
def test_wrong_losses_are_refused(returned, sentence):
    game = gt.Game(
        {"x": cases.Point([1.0, 2.0]), "y": cases.Point([1.0, 2.0])}, lambda p, _: returned(p.x.value, p.y.value)
    )
    with pytest.raises(GantoolsError, match=sentence):
        game.field(None)


def test_a_scalar_may_have_dimensions_of_one():
    game = gt.minimization(cases.Point([2.0]), lambda m, _: m.value.square().reshape(1, 1))
    assert game.field(None).item() == 4


def test_wrong_batches_of_a_gan_are_refused():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    with pytest.raises(GantoolsError, match=r'keys "real" and "latent".*a Tensor'):
        game.field(batch["real"])
    with pytest.raises(GantoolsError, match=r"this one is the keys \['real'\]"):
        game.field({"real": batch["real"]})
    with pytest.raises(GantoolsError, match=r"samples of shape \(2,\), the data has \(3,\)"):
        game.field({"real": torch.zeros(4, 3, dtype=F64), "latent": batch["latent"]})
    for key in batch:
        with pytest.raises(GantoolsError, match=r"The batch is empty \(a tensor of shape \(0, 2\)\)"):
            game.field({**batch, key: batch[key][:0]})
    with pytest.raises(GantoolsError, match="Unknown loss 'wasserstien'. Did you mean 'wasserstein'"):
        cases.tanh_gan("wasserstien")


def test_labels_reach_both_players():
    class Conditional(nn.Module):
        def __init__(self, n_out):
            super().__init__()
            self.net = cases.mlp(3, 3, n_out)

        def forward(self, x, label):
            return self.net(torch.cat([x, label[:, None].to(x)], 1))

    g, d = Conditional(2), Conditional(1)
    batch = {**cases.gan_batch(), "label": torch.arange(8) % 2}
    real, fake = d(batch["real"], batch["label"]), d(g(batch["latent"], batch["label"]), batch["label"])
    expected = own_gradients(gt.losses.LOSSES["hinge"](real, fake), (g, d))
    assert relative(gt.gan(g, d, "hinge").field(batch), expected) < 1e-14


def test_the_mean_over_batches_is_weighted_by_size():
    model, loss, (x, y) = cases.classifier(size=14)
    game = gt.minimization(model, loss)
    full = game.field((x, y))
    loader = DataLoader(TensorDataset(x, y), batch_size=4)  # 4, 4, 4, 2
    assert relative(game.field(loader), full) < 1e-14
    assert relative(game.field([(x[:9], y[:9]), (x[9:], y[9:])]), full) < 1e-14
    unweighted = torch.stack([game.field((a, b)) for a, b in loader]).mean(0)
    assert relative(unweighted, full) > 1e-3


def test_no_batches_and_spent_iterators_are_refused():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    with pytest.raises(GantoolsError, match="empty"):
        game.field([])
    with pytest.raises(GantoolsError, match="no batches"):
        game.field(range(0))
    with pytest.raises(GantoolsError, match="only once"):
        game.field(iter([batch]))


# Ordinary losses -----------------------------------------------------------------------------------------------------


def gradient_penalty_game(penalty_of):
    g, d = cases.mlp(2, 3, 2), cases.mlp(2, 3, 1, seed=1)

    def losses(players, batch):
        fake = players.generator(batch["latent"])
        real_scores, fake_scores = players.discriminator(batch["real"]), players.discriminator(fake)
        penalty = penalty_of(players.discriminator, batch["real"], fake, batch)
        return {
            "generator": -fake_scores.mean(),
            "discriminator": fake_scores.mean() - real_scores.mean() + 10 * penalty,
        }

    return gt.Game({"generator": g, "discriminator": d}, losses)


def wgan_gp(discriminator, real, fake, batch):
    mixed = batch["mixing"] * real + (1 - batch["mixing"]) * fake
    scores = discriminator(mixed)
    (g,) = torch.autograd.grad(scores, mixed, torch.ones_like(scores), create_graph=True)
    return (g.norm(dim=1) - 1).square().mean()


def r1_in_place(discriminator, real, fake, batch):
    real.requires_grad_()
    (g,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
    return g.square().sum(1).mean()


@pytest.mark.parametrize("penalty", [wgan_gp, r1_in_place])
def test_losses_that_differentiate_inside_work(penalty):
    game = gradient_penalty_game(penalty)
    batch = {**cases.gan_batch(), "mixing": torch.rand(8, 1, generator=torch.Generator().manual_seed(0), dtype=F64)}
    w = game.vector()
    fresh = {key: value.clone() for key, value in batch.items()}
    losses = game.losses(game.players, fresh)
    assert relative(game.field(batch), own_gradients(losses.values(), game.players.values())) < 1e-13
    assert not batch["real"].requires_grad
    dense = finite_jacobian(frozen_field(game, batch), w)
    for method in ("reverse", "forward"):
        assert relative(jacobian(game, batch, method=method).dense(), dense) < 1e-8
    gt.trainers.Consensus(game, lr=1e-3, gamma=0.1).step(batch)
    assert game.vector().isfinite().all()


class Sequence(nn.Module):
    def __init__(self, kind, n_out):
        super().__init__()
        torch.manual_seed(n_out)
        self.kind, self.inward, self.out = kind, nn.Linear(2, 4), nn.Linear(4, n_out)
        if kind in ("LSTM", "GRU", "RNN"):
            self.core = getattr(nn, kind)(4, 4, num_layers=2, batch_first=True)
        elif kind == "mha":
            self.core = nn.MultiheadAttention(4, 2, batch_first=True)
        elif kind == "encoder":
            self.core = nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, batch_first=True, activation="gelu")
        self.to(F64)

    def forward(self, x):
        h = self.inward(x)
        if self.kind == "mha":
            h = self.core(h, h, h, need_weights=False)[0]
        elif self.kind == "sdpa":
            h = F.scaled_dot_product_attention(h, h, h)
        elif self.kind == "encoder":
            h = self.core(h)
        else:
            h = self.core(h)[0]
        return self.out(h)


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "RNN", "mha", "sdpa", "encoder"])
@pytest.mark.parametrize("training", few([True, False], 1))
def test_recurrent_nets_and_attention(kind, training):
    game = gt.gan(Sequence(kind, 2).train(training), Sequence(kind, 1).train(training))
    batch = cases.gan_batch(3, shape=(4, 2))
    batch["latent"] = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(5), dtype=F64)
    w, function = game.vector(), frozen_field(game, batch)
    u, v = torch.randn(2, len(w), generator=torch.Generator().manual_seed(1), dtype=F64)
    finite = finite_product(function, w, u, 1e-4)
    for method in ("reverse", "forward"):
        operator = jacobian(game, batch, method=method)
        assert relative(operator @ u, finite) < 1e-8
        assert abs(v @ (operator @ u) - u @ (operator.T @ v)) < 1e-11
    for optimizer in (gt.trainers.Consensus(game, lr=1e-2, gamma=0.1), gt.trainers.Simultaneous(game, lr=1e-2)):
        optimizer.step(batch)
        assert game.vector().isfinite().all()


def test_attention_with_a_gradient_penalty_steps_first_order():
    game = gt.gan(Sequence("mha", 2), Sequence("mha", 1), regularizers=[gt.regularizers.R1(1.0)])
    batch = cases.gan_batch(3, shape=(4, 2))
    batch["latent"] = torch.randn(3, 4, 2, generator=torch.Generator().manual_seed(5), dtype=F64)
    w, field = game.vector(), game.field(batch)
    optimizer = gt.trainers.Simultaneous(game, lr=0.1)
    optimizer.step(batch)
    assert relative(game.vector(), w - 0.1 * field) < 1e-12
    optimizer.step(batch)


# Buffers -------------------------------------------------------------------------------------------------------------


def batch_norm_nets():
    torch.manual_seed(0)
    net = lambda n_out: nn.Sequential(nn.Linear(2, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, n_out)).to(F64)  # noqa: E731
    return net(2), net(1)


def spectral_nets(form):
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrap = nn.utils.parametrizations.spectral_norm if form == "parametrization" else nn.utils.spectral_norm
        discriminator = nn.Sequential(wrap(nn.Linear(2, 4)), nn.Tanh(), wrap(nn.Linear(4, 1))).to(F64)
    return cases.mlp(2, 3, 2), discriminator


def nets_with_buffers(kind):
    return batch_norm_nets() if kind == "batch norm" else spectral_nets(kind)


BUFFERED = ["batch norm", "parametrization", "hook"]


def states_of(*modules):
    return [t.clone() for m in modules for t in m.state_dict().values()]


@pytest.mark.parametrize("kind", BUFFERED)
def test_analysis_never_moves_buffers(kind):
    nets, batch = nets_with_buffers(kind), cases.gan_batch()
    game = gt.gan(*nets)
    before = states_of(*nets)
    game.field(batch)
    for method in ("reverse", "forward", "auto"):
        operator = jacobian(game, batch, method=method)
        operator @ torch.ones(game.num_parameters, dtype=F64)
    arbiter.judge(game, batch)
    optimizer = gt.trainers.Consensus(game, lr=0.1)
    optimizer.update(game.vector(), optimizer.init(game.vector()), batch)
    gt.analysis.update_operator(optimizer, batch)

    def refuse(w, state):
        raise ValueError

    with pytest.raises(ValueError):
        optimizer.step(batch, check=refuse)
    for a, b in zip(before, states_of(*nets), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("kind", BUFFERED)
@pytest.mark.parametrize("training", few([True, False], 1))
def test_jacobian_with_buffers_against_finite_differences(kind, training):
    nets, batch = nets_with_buffers(kind), cases.gan_batch()
    game = gt.gan(*(net.train(training) for net in nets))
    dense = finite_jacobian(frozen_field(game, batch), game.vector())
    for method in ("reverse", "forward"):
        operator = jacobian(game, batch, method=method, spectral_norm="frozen")
        assert relative(operator.dense(), dense) < 1e-7
        assert relative(operator.T.dense(), dense.T) < 1e-7


@pytest.mark.parametrize("layer", [nn.BatchNorm1d, nn.LayerNorm])
def test_normalization_under_a_gradient_penalty_has_the_right_jacobian(layer):
    torch.manual_seed(1)
    d = nn.Sequential(nn.Linear(2, 4), layer(4), nn.Tanh(), nn.Linear(4, 1)).to(F64)
    game, batch = gt.gan(cases.mlp(2, 3, 2), d, regularizers=[gt.regularizers.R1(0.5)]), cases.gan_batch()
    dense = finite_jacobian(frozen_field(game, batch), game.vector(), 1e-4)
    for method in ("reverse", "forward"):
        assert relative(jacobian(game, batch, method=method).dense(), dense) < 1e-6


@pytest.mark.parametrize("kind", BUFFERED)
def test_steps_move_buffers_as_a_plain_loop_does(kind):
    nets, plain = nets_with_buffers(kind), nets_with_buffers(kind)
    optimizer = gt.trainers.Simultaneous(gt.gan(*nets), lr=0.05)
    optimizers = [torch.optim.SGD(m.parameters(), lr=0.05) for m in plain]
    for step in range(5):
        batch = cases.gan_batch(seed=step)
        optimizer.step(batch)
        plain_simultaneous_step(*plain, optimizers, batch, nonsaturating_losses)
    for a, b in zip(states_of(*nets), states_of(*plain), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)
    if kind == "batch norm":
        assert nets[0][1].num_batches_tracked == 5 and nets[1][1].num_batches_tracked == 10


def test_buffers_that_a_module_assigns_anew_are_seen():
    class Counter(nn.Module):
        def __init__(self):
            super().__init__()
            self.value = nn.Parameter(torch.ones(1, dtype=F64))
            self.register_buffer("seen", torch.zeros((), dtype=F64))

        def forward(self, x):
            self.seen = self.seen + len(x)
            return self.value * x

    model = Counter()
    game, x = gt.minimization(model, lambda m, x: m(x).sum()), torch.ones(3, dtype=F64)
    game.field(x)
    assert model.seen == 0
    optimizer = gt.trainers.Simultaneous(game, lr=0.1)
    for _ in range(2):
        optimizer.step(x)
    assert model.seen == 6


def test_weight_norm_has_the_right_jacobian_and_consensus():
    torch.manual_seed(2)
    wrap = nn.utils.parametrizations.weight_norm
    d = nn.Sequential(wrap(nn.Linear(2, 4)), nn.Tanh(), wrap(nn.Linear(4, 1))).to(F64)
    game, batch = gt.gan(cases.mlp(2, 3, 2), d), cases.gan_batch()
    w, field = game.vector(), game.field(batch)
    dense = finite_jacobian(frozen_field(game, batch), w)
    assert relative(jacobian(game, batch).dense(), dense) < 1e-7
    gt.trainers.Consensus(game, lr=0.1, gamma=2.0).step(batch)
    assert relative(game.vector(), w - 0.1 * (field + 2 * dense.T @ field)) < 1e-7
