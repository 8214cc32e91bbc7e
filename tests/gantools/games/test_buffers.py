"""Buffers: analyses leave them alone, steps move them as a plain loop does."""

import warnings

import pytest
import torch
from torch import nn

import gantools as gt
from gantools.analysis.operators.jacobian import jacobian
from gantools.games import arbiter
from tests import cases
from tests.game_oracles import finite_jacobian, frozen_field, nonsaturating_losses, plain_simultaneous_step, relative
from tests.quick import few

F64 = torch.float64


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


@pytest.mark.parametrize("kind", few(BUFFERED, 1))
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


@pytest.mark.parametrize("kind", few(BUFFERED, 1))
@pytest.mark.parametrize("training", few([True, False], 1))
def test_jacobian_with_buffers_against_finite_differences(kind, training):
    nets, batch = nets_with_buffers(kind), cases.gan_batch()
    game = gt.gan(*(net.train(training) for net in nets))
    dense = finite_jacobian(frozen_field(game, batch), game.vector())
    for method in ("reverse", "forward"):
        operator = jacobian(game, batch, method=method, spectral_norm="frozen")
        assert relative(operator.dense(), dense) < 1e-7
        assert relative(operator.T.dense(), dense.T) < 1e-7


@pytest.mark.parametrize("layer", few([nn.BatchNorm1d, nn.LayerNorm], 1))
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
