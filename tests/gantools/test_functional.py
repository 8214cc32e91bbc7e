"""Kernels that can be differentiated any number of times: elementary normalizations against fused ones."""

import copy
import warnings

import pytest
import torch
from torch import nn

import gantools as gt
from gantools import functional
from gantools.errors import GantoolsError
from gantools.normalization import ExactNormalization
from tests import cases

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
    for mode in (None, ExactNormalization()):
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
    with ExactNormalization():
        with pytest.raises(ValueError, match="more than 1 value per channel"):
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
    with ExactNormalization():
        (exact,) = torch.autograd.grad(second(t, create_graph=True), t)
        h = 1e-3
        f = [second(k * h).item() for k in (-2, -1, 1, 2)]
    finite = (8 * (f[2] - f[1]) - (f[3] - f[0])) / (12 * h)
    assert abs(exact.item() - finite) < 1e-6 * max(1, abs(finite))


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
