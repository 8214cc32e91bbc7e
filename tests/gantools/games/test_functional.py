"""Kernels that can be differentiated any number of times: elementary normalizations against fused ones."""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gantools as gt
from gantools.analysis import jacobian
from gantools.errors import GantoolsError
from gantools.games import functional
from gantools.games.elementary import ElementaryOperations
from tests import cases
from tests.game_oracles import finite_product, frozen_field, relative
from tests.quick import few

F64 = torch.float64


def old_weight_norm(module):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.utils.weight_norm(module)


NORMALIZATIONS = {
    "batch": (lambda: nn.BatchNorm2d(3), (4, 3, 2, 2)),
    "batch1d": (lambda: nn.BatchNorm1d(3, affine=False), (4, 3)),
    "batch cumulative": (lambda: nn.BatchNorm1d(3, momentum=None), (4, 3, 5)),
    "batch untracked": (lambda: nn.BatchNorm1d(3, track_running_stats=False), (4, 3)),
    "batch eval": (lambda: nn.BatchNorm1d(3).eval(), (4, 3)),
    "instance": (lambda: nn.InstanceNorm2d(3, affine=True, track_running_stats=True), (4, 3, 2, 3)),
    "instance eval": (lambda: nn.InstanceNorm2d(3, track_running_stats=True).eval(), (4, 3, 2, 3)),
    "instance1d": (lambda: nn.InstanceNorm1d(3), (3, 5)),
    "layer": (lambda: nn.LayerNorm((2, 3)), (4, 2, 3)),
    "layer plain": (lambda: nn.LayerNorm(3, elementwise_affine=False, eps=0.1), (4, 2, 3)),
    "weight": (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(3, 2)), (4, 3)),
    "weight whole": (lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 2, 3), dim=None), (2, 3, 4, 4)),
    "weight old": (lambda: old_weight_norm(nn.ConvTranspose2d(3, 2, 3)), (2, 3, 4, 4)),
}


@pytest.mark.parametrize("name", NORMALIZATIONS)
def test_elementary_normalizations_equal_the_fused_ones(name, generator):
    make, shape = NORMALIZATIONS[name]
    module = make().to(F64)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=F64))
    state = copy.deepcopy(module.state_dict())
    results = []
    for mode in (None, ElementaryOperations()):
        module.load_state_dict(state)
        for _ in range(3):
            x = torch.randn(shape, generator=torch.Generator().manual_seed(1), dtype=F64, requires_grad=True)
            if mode is None:
                out = module(x)
            else:
                with mode:
                    out = module(x)
                assert mode.used
        gradient = torch.autograd.grad(out.tanh().sum(), [x, *module.parameters()])
        results.append([out.detach(), *gradient, *(b.clone() for b in module.buffers())])
    for fused, elementary in zip(*results, strict=True):
        torch.testing.assert_close(elementary, fused, rtol=1e-11, atol=1e-12)


def test_they_refuse_what_the_fused_ones_refuse():
    with ElementaryOperations():
        with pytest.raises(ValueError, match="one value a channel"):
            nn.BatchNorm1d(3)(torch.zeros(1, 3))
        with pytest.raises(RuntimeError, match="normalized_shape"):
            nn.LayerNorm(3)(torch.zeros(2, 4))


@pytest.mark.parametrize("name", ["batch1d", "instance1d", "layer", "weight"])
def test_their_third_derivatives_are_right(name):
    make, shape = NORMALIZATIONS[name]
    module = make().to(F64)
    source = torch.Generator().manual_seed(3)
    start, *directions = torch.randn(4, *shape, generator=source, dtype=F64)
    weights = torch.randn(module(start).shape, generator=source, dtype=F64)

    def second(t, create_graph=False):
        x = (
            (start + t * directions[0]).requires_grad_(not create_graph)
            if not torch.is_tensor(t)
            else start + t * directions[0]
        )
        value = (module(x).tanh() * weights).sum()
        for d in directions[1:]:
            (g,) = torch.autograd.grad(value, x, create_graph=True)
            value = (g * d).sum()
        return value

    t = torch.zeros((), dtype=F64, requires_grad=True)
    with ElementaryOperations():
        (exact,) = torch.autograd.grad(second(t, create_graph=True), t)
        h = 1e-3
        f = [second(k * h).item() for k in (-2, -1, 1, 2)]
    finite = (8 * (f[2] - f[1]) - (f[3] - f[0])) / (12 * h)
    assert abs(exact.item() - finite) < 1e-6 * max(1, abs(finite))


CLASSES = torch.tensor([0, 2, 1, 2])
TARGET = torch.tensor([[0.5, -1.0, 0.2], [0.0, 0.3, -0.4], [1.5, -0.7, 0.9], [-0.2, 0.8, 0.1]], dtype=F64)
SIGNS = TARGET.add(0.01).sign()
LABELS = torch.tensor([[0, 2, -1], [1, -1, 0], [-1, 0, 1], [2, 1, 0]])
BAGS = torch.tensor([0, 3, 1, 2, 2])
W = TARGET.view(4, 1, 3, 1)
FUNCTIONS = {
    "silu": F.silu,
    "silu in place": lambda x: F.silu(x.clone(), inplace=True),
    "mish": F.mish,
    "hardsigmoid": F.hardsigmoid,
    "group norm": lambda x: F.group_norm(x.reshape(2, 6), 2, TARGET.view(-1)[:6], TARGET.view(-1)[6:]),
    "group norm of images": lambda x: F.group_norm(x.reshape(1, 4, 3, 1), 2, TARGET[:, 0], eps=0.1),
    "mse": lambda x: F.mse_loss(x, TARGET),
    "mse sum": lambda x: F.mse_loss(x, TARGET, reduction="sum"),
    "mse none": lambda x: F.mse_loss(x, TARGET, reduction="none"),
    "mse weighted": lambda x: F.mse_loss(x, TARGET, weight=TARGET.abs()),
    "mse, legacy": lambda x: nn.MSELoss(reduction="sum")(x, TARGET),
    "huber": lambda x: F.huber_loss(x, TARGET, delta=0.7),
    "huber weighted": lambda x: F.huber_loss(x, TARGET, weight=TARGET.abs(), reduction="sum"),
    "soft margin": lambda x: F.soft_margin_loss(x, SIGNS),
    "multi margin": lambda x: F.multi_margin_loss(x, CLASSES, weight=TARGET[2].abs()),
    "multi margin squared": lambda x: F.multi_margin_loss(x, CLASSES, p=2, margin=0.5, reduction="none"),
    "multi margin of one": lambda x: F.multi_margin_loss(0.1 * x[0], CLASSES[0]),
    "multilabel margin": lambda x: F.multilabel_margin_loss(x, LABELS),
    "distances": lambda x: torch.cdist(x, TARGET),
    "distances within a set": lambda x: torch.cdist(x, x.flip(0)),
    "distances, p = 1": lambda x: torch.cdist(x, TARGET, p=1.0),
    "distances, p = 3": lambda x: torch.cdist(x[None], TARGET[None], p=3.0),
    "distances, largest": lambda x: torch.cdist(x, TARGET, p=float("inf")),
    "distances in pairs": F.pdist,
    "bag": lambda x: F.embedding_bag(BAGS, x, torch.tensor([0, 2])),
    "bag of rows": lambda x: F.embedding_bag(BAGS[:4].view(2, 2), x, mode="sum", per_sample_weights=TARGET[:2, :2]),
    "bag, largest": lambda x: F.embedding_bag(BAGS, x, torch.tensor([0, 2, 5]), mode="max", include_last_offset=True),
    "transposed convolution": lambda x: F.conv_transpose1d(
        x[None], TARGET[:, None].expand(-1, 2, -1), TARGET[:, 0], 2, 2, 1, 2
    ),
    "transposed convolution, beyond": lambda x: F.conv_transpose2d(x[..., None], W, stride=3, output_padding=2),
    "empty bag": lambda x: F.embedding_bag(BAGS, x, torch.tensor([0, 2, 2])),
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_elementary_functions_equal_the_fused_ones(name, generator):
    function = FUNCTIONS[name]
    x = torch.randn(4, 3, generator=generator, dtype=F64, requires_grad=True)
    fused = function(x)
    with ElementaryOperations():
        elementary = function(x)
    torch.testing.assert_close(elementary, fused, rtol=1e-12, atol=1e-13)
    weights = torch.randn(fused.shape, generator=generator, dtype=F64)
    gradients = [torch.autograd.grad((y * weights).sum(), x)[0] for y in (elementary, fused)]
    rtol = 1e-7 if name == "hardsigmoid" else 1e-12  # PyTorch's has a sixth in single precision
    torch.testing.assert_close(*gradients, rtol=rtol, atol=1e-13)


@pytest.mark.parametrize("name", few(FUNCTIONS, 12))
def test_their_second_derivatives_are_right_in_every_direction_and_mode(name, generator):
    function, model = FUNCTIONS[name], nn.Linear(3, 3).to(F64)
    x = torch.randn(4, 3, generator=generator, dtype=F64)
    w = torch.randn(12, generator=generator, dtype=F64)
    with torch.no_grad():
        model.weight.copy_(w[:9].view(3, 3)), model.bias.copy_(w[9:])

    def loss(model, x):
        y = function(model(x))
        return (y.sin() * torch.arange(1, y.numel() + 1).view(y.shape)).sum()

    def gradient(t, u):
        shifted = copy.deepcopy(model)
        with torch.no_grad():
            for p, step in zip(shifted.parameters(), (u[:9].view(3, 3), u[9:]), strict=True):
                p.add_(step, alpha=t)
        return torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss(shifted, x), list(shifted.parameters()))])

    u, h = torch.randn(12, generator=generator, dtype=F64), 1e-4
    finite = (8 * (gradient(h, u) - gradient(-h, u)) - (gradient(2 * h, u) - gradient(-2 * h, u))) / (12 * h)
    for method in ("reverse", "forward"):
        H = gt.analysis.hessian(model, loss, x, method=method)
        assert (H @ u - finite).norm() < 1e-7 * finite.norm()


def test_mean_squares_are_recorded_without_a_crash():
    """Forward over reverse of PyTorch's `mse_loss` raises, and traced it kills the process (pytorch issue 123996)."""
    model, x = cases.mlp(3, 4, seed=1), torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=F64)
    reverse, replay = (
        gt.analysis.hessian(model, lambda model, x: F.mse_loss(model(x), x[:, :1]), x, method=method).dense()
        for method in ("reverse", "replay")
    )
    torch.testing.assert_close(replay, reverse)


def test_dropout_is_refused_with_the_players_name_wherever_it_hides():
    for layer in (nn.Dropout(0.1), nn.LSTM(2, 2, num_layers=2, dropout=0.1), nn.MultiheadAttention(2, 1, dropout=0.1)):
        game = gt.minimization(nn.Sequential(nn.Linear(2, 2), layer), lambda model, batch: model[0](batch).sum())
        with (
            pytest.raises(GantoolsError, match=r"Dropout is active in player 'model' \(1\).*\.eval\(\)"),
            game.frozen(),
        ):
            pass
        game.players["model"].eval()
        with game.frozen():
            pass


def test_dropout_of_a_loss_that_is_a_module_is_refused():
    class Loss(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.3))

        def forward(self, players, batch):
            return {"model": self.net(players["model"](batch)).square().mean()}

    game = gt.Game({"model": nn.Linear(2, 2)}, Loss())
    assert game.num_parameters == 6
    with pytest.raises(GantoolsError, match="in the losses"):
        game.field(torch.ones(3, 2))


def test_contexts_leave_everything_as_it_was():
    net = nn.Sequential(nn.utils.parametrizations.spectral_norm(nn.Linear(2, 3)), nn.BatchNorm1d(3), nn.Linear(3, 1))
    net.to(F64)
    net[1].eval()
    game = gt.minimization(net, lambda model, batch: model(batch).square().mean())
    power = net[0].parametrizations.weight[0]
    with pytest.raises(KeyError), game.frozen({m: True for m in game.module.modules()}):
        assert power.n_power_iterations == 0 and net[1].training and game.module.exact
        raise KeyError
    assert power.n_power_iterations == 1 and not net[1].training and net[0].training and not game.module.exact


def test_forward_product_equals_the_derivative():
    w = torch.tensor([0.3, -0.2], dtype=F64)
    u = torch.tensor([1.0, 2.0], dtype=F64)
    product = functional.forward_product(lambda w: torch.stack([w.prod(), w.sin().sum()]), w, u)
    expected = torch.stack([w[1] * u[0] + w[0] * u[1], (w.cos() * u).sum()])
    torch.testing.assert_close(product, expected)
    assert torch.equal(functional.forward_product(lambda w: torch.ones(3), w, u), torch.zeros(3))


def test_memory_spans_overlap_only_where_numbers_are_shared():
    base = torch.zeros(10)
    span = functional.memory_span
    assert span(base[:4])[1] <= span(base[4:])[0]
    assert span(base[:5])[1] > span(base[4:])[0]
    assert span(base[::2])[1] - span(base[::2])[0] == 9 * 4
    assert span(cases.Point([1.0]).value)[0] > 0


@pytest.mark.parametrize("method", ["reverse", "forward"])
def test_products_of_an_up_sampling_net(method):
    """J u by reverse differentiation takes the third derivative of each layer."""
    torch.manual_seed(0)
    up = nn.ConvTranspose2d(2, 2, 3, 2, 1, output_padding=1)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Tanh(), up, nn.Tanh()).to(F64)
    x = torch.randn(2, 1, 4, 4, dtype=F64)
    game = gt.minimization(net, lambda net, x: net(x).square().mean())
    J = jacobian(game, x, method=method)
    u = torch.randn(J.n, dtype=F64)
    assert relative(J @ u, finite_product(frozen_field(game, x), game.vector(), u)) < 1e-7
