"""Models that write: statistics into buffers, and over what a trace of their custom functions needs; surrogates."""

import pytest
import torch
from torch import nn

import gantools as gt
from gantools.analysis import hessian, jacobian
from gantools.errors import GantoolsWarning
from tests.game_oracles import finite_product, frozen_field, relative


def test_detached_statistics_written_into_a_buffer():
    """`torch.cat(..., out=)`, as the batch norm of e3nn moves its running mean."""

    class Norm(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 2).to(torch.float64)
            self.register_buffer("running", torch.zeros(2, dtype=torch.float64))

        def forward(self, x):
            y = self.linear(x)
            mean = y.mean(0)
            torch.cat([0.9 * self.running[:1] + mean[:1].detach(), self.running[1:].clone()], out=self.running)
            return (y - mean) / (1 + y.var(0))

    model, x = Norm(), torch.randn(5, 3, dtype=torch.float64)
    game = gt.minimization(model, lambda model, x: model(x).sin().sum())
    H, u = jacobian(game, x), torch.ones(8, dtype=torch.float64)
    assert relative(H @ u, finite_product(frozen_field(game, x), game.vector(), u)) < 1e-7
    assert not model.running.any()


def test_a_surrogate_gradient_is_said_to_be_one():
    torch.manual_seed(0)
    net, x = nn.Linear(3, 2).double(), torch.randn(5, 3, dtype=torch.float64)
    H = hessian(net, lambda net, x: (net(x)[:, 0] * net(x)[:, 1].detach()).sum(), x)
    assert not H.symmetric and "the gradient that training follows" in repr(H)
    same = hessian(net, lambda net, x: (net(x)[:, 0] * net(x)[:, 1]).sum(), x)
    assert same.symmetric and not same.remark


def test_a_custom_function_that_writes_over_what_its_trace_needs():
    """The Matern covariance of gpytorch: distances in place, and the derivative saved in the forward pass."""

    class Matern(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            distance = x.square().sum(1).sqrt()
            decay = torch.exp(-distance)
            slope = -decay / distance
            distance.mul_(2).add_(1)
            ctx.save_for_backward(slope.clone(), x.clone())
            return decay * distance

        @staticmethod
        def backward(ctx, g):
            slope, x = ctx.saved_tensors
            inner = x.square().sum(1).sqrt()
            return (g * slope * (2 * inner - 1))[:, None] * x

    torch.manual_seed(0)
    net, x = nn.Linear(2, 3).double(), torch.randn(4, 2, dtype=torch.float64)

    def plain(net, x):
        distance = net(x).square().sum(1).sqrt()
        return (torch.exp(-distance) * (2 * distance + 1)).sum()

    with pytest.warns(GantoolsWarning, match="central differences"):
        H = hessian(net, lambda net, x: Matern.apply(net(x)).sum(), x)
    exact = hessian(net, plain, x).dense()
    assert relative(H.dense(), exact) < 1e-6
