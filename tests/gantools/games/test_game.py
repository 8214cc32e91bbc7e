"""Games: the field against plain autograd, the flat vector, buffers, what is refused and how it is said."""

import copy

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import gantools as gt
from gantools.errors import GantoolsError
from tests import cases
from tests.game_oracles import flat, own_gradients, relative, tanh_gan_field

F64 = torch.float64


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
