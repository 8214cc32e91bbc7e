"""The second graph of reverse mode: its bytes are known before it is made, and what is done where they are too many."""

import pytest
import torch
from torch import nn
from torch.autograd import forward_ad

import gantools as gt
from gantools.analysis.operators.snapshot import snapshot
from gantools.analysis.products import memory
from gantools.analysis.products.autograd import ReverseProducts
from gantools.errors import GantoolsWarning
from tests import cases
from tests.game_oracles import finite_jacobian, relative
from tests.quick import few


@pytest.fixture
def nothing_free(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda device: 10)


def dense(function, point):
    return torch.autograd.functional.jacobian(function, point)


@pytest.mark.usefixtures("nothing_free")
def test_recomputed_where_it_does_not_fit():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    there = snapshot(game)
    products = ReverseProducts(there.field(batch), there.point)
    reference = dense(there.field(batch), there.point.requires_grad_())
    u = torch.randn(there.point.numel(), 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    with pytest.warns(GantoolsWarning, match=r"a second graph of about \d\S* KiB, and 10 bytes are free"):
        block = products.product(u)
    assert products._dual is None
    torch.testing.assert_close(block, reference @ u)
    torch.testing.assert_close(products.product(u[:, 0]), reference @ u[:, 0])  # told once
    torch.testing.assert_close(products.transposed(u), reference.T @ u)


class NoTangent(torch.autograd.Function):
    """x^3 without a forward derivative."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, gradient):
        return 3 * ctx.saved_tensors[0] ** 2 * gradient


@pytest.mark.usefixtures("nothing_free")
@pytest.mark.parametrize("cube", [cases.WrongTangent, NoTangent])
def test_made_all_the_same_where_dual_numbers_do_not_serve(cube):
    def function(w):
        x, y, z = w
        return torch.stack([cube.apply(x) * y, cube.apply(z) + x, z])

    point = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    products = ReverseProducts(function, point)
    u = torch.tensor([1.0, 2.0, -1.0], dtype=torch.float64)
    with pytest.warns(GantoolsWarning, match="second graph"):
        found = products.product(u)
    assert products._dual is not None
    x, y, z = point
    expected = torch.stack([3 * x**2 * y * u[0] + x**3 * u[1], u[0] + 3 * z**2 * u[2], u[2]])
    torch.testing.assert_close(found, expected)


@pytest.mark.usefixtures("nothing_free")
def test_an_operator_says_so_once_for_all_batches():
    batches = [cases.gan_batch(seed=seed) for seed in range(3)]
    game = cases.tanh_gan()
    with pytest.warns(GantoolsWarning, match="second graph") as told:
        J = gt.analysis.jacobian(game, batches, method="reverse", check=False)
        first = J @ torch.ones(J.n, dtype=torch.float64)
        J @ torch.ones(J.n, dtype=torch.float64)
    assert len(told) == 1
    there = snapshot(game)
    reference = sum(dense(there.field(b), there.point.requires_grad_()) for b in batches) / 3
    torch.testing.assert_close(first, reference.sum(1))


def conv():
    layers = [nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU(), nn.Flatten()]
    model = nn.Sequential(*layers, nn.Linear(64, 3))
    return gt.minimization(model, lambda m, b: m(b).square().mean()), torch.randn(8, 3, 8, 8)


def attention():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0)
    return gt.minimization(layer, lambda m, b: m(b).square().mean()), torch.randn(4, 12, 8)


def lstm():
    net = nn.LSTM(3, 8, batch_first=True)
    return gt.minimization(net, lambda m, b: m(b)[0].square().mean()), torch.randn(4, 10, 3)


def penalised():
    regularizers = [gt.regularizers.R1(1.0), gt.regularizers.R2(1.0)]
    game = gt.gan(cases.mlp(2, 32, 32, 2), cases.mlp(2, 32, 32, 1), regularizers=regularizers)
    return game, cases.gan_batch(64)


@pytest.mark.parametrize("make", few([penalised, conv, attention, lstm], 2))
def test_bytes_beforehand_are_enough_and_not_many_too_many(make):
    torch.manual_seed(0)
    game, batch = make()
    there = snapshot(game)
    products = ReverseProducts(there.field(batch), there.point)
    first = memory.graph_bytes(products.output, products._input)
    products.product(torch.ones_like(there.point))
    more = memory.graph_bytes(products._dual[0], products._input) - first
    assert 0 < more <= memory.SECOND * first
    assert memory.SECOND * first < 3 * more


def test_graph_bytes_of_a_product():
    x = torch.ones(1000, dtype=torch.float64, requires_grad=True)
    y = torch.rand(1000, dtype=torch.float64)
    assert memory.graph_bytes((x * y).sum(), x) == 8000
    assert memory.graph_bytes((x * y + x * y).sum(), x) == 8000  # one memory, kept by two operations


def test_graph_bytes_of_a_sparse_matrix_are_its_numbers_and_places():
    w = torch.ones(5, 1, requires_grad=True)
    S = torch.eye(5, dtype=torch.float32).to_sparse()
    assert memory.graph_bytes(torch.sparse.mm(S, w).sum(), w) == 5 * 4 + 2 * 5 * 8


def slope_by_transform(net, x):
    return torch.func.jvp(net, (x,), (torch.ones_like(x),))[1]


def slope_by_dual_numbers(net, x):
    with forward_ad.dual_level():
        return forward_ad.unpack_dual(net(forward_ad.make_dual(x, torch.ones_like(x)))).tangent


@pytest.mark.parametrize("slope", [slope_by_transform, slope_by_dual_numbers])
def test_of_losses_that_differentiate_forwards(slope):
    """A net that solves an equation, against the weights of its points; their graphs keep tensors without memory."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(1, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    weights = nn.ParameterList([nn.Parameter(torch.ones(7, 1, dtype=torch.float64))])
    x = torch.linspace(0, 1, 7, dtype=torch.float64)[:, None]

    def losses(players, x):
        residual = (slope(players["net"], x) + torch.sin(3 * x)).square()
        value = (players["weights"][0].square() * residual).mean() + players["net"](x[:1]).square().sum()
        return {"net": value, "weights": -value}

    players = {"net": net, "weights": weights}
    J = gt.analysis.jacobian(gt.Game(players, losses), x, method="reverse").dense()
    parameters = [*net.parameters(), *weights.parameters()]

    def field(w):
        nn.utils.vector_to_parameters(w, parameters)
        found = losses(players, x)
        own = [
            torch.autograd.grad(found[name], list(players[name].parameters()), retain_graph=True) for name in players
        ]
        return torch.cat([g.reshape(-1) for gradients in own for g in gradients])

    assert relative(J, finite_jacobian(field, nn.utils.parameters_to_vector(parameters).detach())) < 1e-8


def test_free_bytes():
    assert memory.free_bytes(torch.device("meta")) is None
    free = memory.free_bytes(torch.device("cpu"))
    assert free is None or free > 2**20
