"""Continuous flows: densities of linear fields in closed form, estimates of the trace, samples, Hessians."""

import itertools

import pytest
import torch
from torch import nn

import gantools as gt
from gantools.errors import GantoolsError
from gantools.nn import ContinuousFlow
from tests.draws import draw, seeded
from tests.gantools.nn.integrators.blocks import F64, layers

TIGHT = {"method": "rk4", "steps": 60}  # to 1e-9 here
ADAPTIVE = {"rtol": 1e-8, "atol": 1e-10}


class Linear(nn.Module):
    """Field A u."""

    def __init__(self, A):
        super().__init__()
        self.A = nn.Parameter(A)

    def forward(self, u):
        return u @ self.A.T


class Growing(nn.Module):
    """Field t A u, of another flow at every time."""

    def __init__(self, A):
        super().__init__()
        self.A = A

    def forward(self, t, u):
        return t * u @ self.A.T


def normal(B):
    return torch.distributions.MultivariateNormal(torch.zeros(len(B), dtype=F64), B @ B.T)


@pytest.mark.parametrize("adjoint", [False, True])
def test_a_linear_field_has_the_density_of_a_normal_and_its_gradient(adjoint):
    A, x = 0.6 * draw(3, 3, seed=2), draw(5, 3)
    flow = ContinuousFlow(Linear(A), 3, 0.8, adjoint=adjoint, **ADAPTIVE)
    of_matrix = A.clone().requires_grad_()
    expected = normal(torch.linalg.matrix_exp(0.8 * of_matrix)).log_prob(x)
    got = flow(x)
    assert torch.allclose(got, expected, atol=1e-7) and flow.evaluations > 6
    (gradient,) = torch.autograd.grad(got.sum(), flow.f.A)
    assert torch.allclose(gradient, torch.autograd.grad(expected.sum(), of_matrix)[0], rtol=1e-5, atol=1e-6)


def test_the_volume_of_a_linear_field_is_the_trace_times_the_time_and_the_way_leads_back():
    A, x = 0.6 * draw(3, 3, seed=2), draw(5, 3)
    u, change = ContinuousFlow(Linear(A), 3, 0.7, **TIGHT).to_base(x)
    assert torch.allclose(change, -0.7 * A.trace().expand(5), atol=1e-8)
    assert torch.allclose(u, x @ torch.linalg.matrix_exp(-0.7 * A).T, atol=1e-8)


def test_a_field_of_time_is_met_at_the_times_of_the_way_from_normal_to_data():
    """t A u from 0 to T is A u for a time of T^2 / 2; from T to 0 with the clock the other way it would not be."""
    A, x = 0.6 * draw(2, 2, seed=2), draw(5, 2)
    flow = ContinuousFlow(Growing(A), 2, 1.4, takes_time=True, **TIGHT)
    shifted = ContinuousFlow(_Late(A), 2, 1.4, takes_time=True, **TIGHT)
    assert torch.allclose(flow(x), normal(torch.linalg.matrix_exp(0.98 * A)).log_prob(x), atol=1e-7)
    # exp(t) from 0 to T: an integral of e^T - 1, which a clock of the other sign would not give.
    assert torch.allclose(shifted(x), normal(torch.linalg.matrix_exp((torch.e**1.4 - 1) * A)).log_prob(x), atol=1e-6)


class _Late(Growing):
    def forward(self, t, u):
        return torch.exp(t) * u @ self.A.T


def test_estimates_of_the_trace_are_right_in_the_mean_over_all_signs():
    A, x = 0.6 * draw(3, 3, seed=2), draw(1, 3)
    flow = ContinuousFlow(Linear(A), 3, method="rk4", steps=8)
    signs = torch.tensor(list(itertools.product([-1.0, 1.0], repeat=3)), dtype=F64)
    estimates = flow(x.expand(8, 3), signs)
    assert torch.allclose(estimates.mean(), flow(x)[0], atol=1e-12)
    assert estimates.std() > 0.1
    diagonal = ContinuousFlow(Linear(torch.diag(A.diagonal())), 3, method="rk4", steps=8)
    assert torch.allclose(diagonal(x.expand(8, 3), signs), diagonal(x), atol=1e-12)


def test_samples_have_the_density_and_begin_at_normal_ones():
    A = 0.6 * draw(2, 2, seed=2)
    flow = ContinuousFlow(Linear(A), 2, **TIGHT)
    x = flow.sample(4000, seeded(3))
    start = torch.randn(4000, 2, generator=seeded(3), dtype=F64)
    assert torch.allclose(flow.to_base(x)[0], start, atol=1e-7)
    E = torch.linalg.matrix_exp(A)
    assert (torch.cov(x.T) - E @ E.T).norm() < 0.1 * (E @ E.T).norm()
    (gradient,) = torch.autograd.grad(x.sum(), flow.f.A)
    assert gradient.norm() > 0


def test_a_density_of_the_plane_integrates_to_one_if_its_equation_is_solved_and_not_with_one_step():
    ticks = torch.linspace(-7, 7, 85, dtype=F64)
    grid, cell = torch.cartesian_prod(ticks, ticks), (ticks[1] - ticks[0]) ** 2
    with torch.no_grad():
        fine, coarse = (
            ContinuousFlow(layers(2, 8, seed=4), 2, method=method, steps=steps)(grid).exp().sum() * cell
            for method, steps in (("rk4", 8), ("midpoint", 1))
        )
    assert abs(fine - 1) < 1e-5 and abs(coarse - 1) > 0.01


def test_a_flow_is_a_game_of_one_player_with_its_hessian():
    flow, x = ContinuousFlow(layers(2, 3, seed=4), 2, method="rk4", steps=2), draw(4, 2)
    game = gt.minimization(flow, lambda model, batch: -model(batch).mean())
    H = gt.analysis.hessian(game, x).dense()
    assert torch.allclose(H, H.T, atol=1e-10)
    w, u = game.vector(), draw(game.num_parameters, seed=8)
    ends = [game.field_at(w + h * u, game.buffers(), x).vector for h in (1e-5, -1e-5)]
    assert torch.allclose(H @ u, (ends[0] - ends[1]) / 2e-5, atol=1e-6 * H.norm())
    gt.trainers.make("simultaneous", game, lr=0.1).step(x)


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (lambda: ContinuousFlow(nn.Identity(), 0), "at least one dimension"),
        (lambda: ContinuousFlow(nn.Identity(), 2, time=-1.0), "positive time"),
        (lambda: ContinuousFlow(nn.Identity(), 2, method="rk4"), "fixed methods"),
        (lambda: ContinuousFlow(nn.Identity(), 2)(draw(3, 4)), r"\(3, 4\): a flow of size 2 takes \(B, 2\)"),
        (lambda: ContinuousFlow(nn.Identity(), 2)(draw(3, 2), draw(2, 2)), "Noise of shape"),
        (lambda: ContinuousFlow(nn.Linear(2, 1).double(), 2)(draw(3, 2)), "a flow needs one that keeps it"),
    ],
)
def test_mistakes_are_told(mistake, message):
    with pytest.raises(GantoolsError, match=message):
        mistake()
