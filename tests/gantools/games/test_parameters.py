"""Parameters of a game: complex, shared, frozen, and those that no loss reaches."""

import pytest
import torch
from torch import nn

import gantools as gt
from gantools.analysis.operators.jacobian import jacobian
from gantools.errors import GantoolsError
from tests import cases
from tests.game_oracles import finite_jacobian, frozen_field, own_gradients, relative

F64 = torch.float64


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
