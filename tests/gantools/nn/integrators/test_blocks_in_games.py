"""Residual blocks in games: gradients of the ODE block, Jacobians, on a GPU."""

import pytest
import torch

import gantools as gt
from gantools.errors import GantoolsError
from gantools.nn.integrators.ode import ODEBlock
from gantools.nn.integrators.reversible import RevBlock
from gantools.nn.integrators.schemes import Flow, FractalBlock, LMBlock, PolyBlock, ResidualBlock
from tests.draws import draw
from tests.gantools.nn.integrators.blocks import chain, layers
from tests.quick import few

# Gradients of the ODE block -----------------------------------------------------------------------------------------


def test_the_adjoint_is_the_gradient_of_the_equation_and_not_of_the_steps():
    u = draw(3, 4)

    def gradient(adjoint, **settings):
        block = ODEBlock(layers(seed=1), adjoint=adjoint, **settings)
        return torch.cat([g.flatten() for g in torch.autograd.grad(block(u).pow(2).sum(), list(block.parameters()))])

    tight = {"rtol": 1e-10, "atol": 1e-12}
    truth = gradient(False, **tight)
    assert (gradient(True, **tight) - truth).norm() < 1e-8 * truth.norm()
    euler = {"method": "euler", "steps": 10}
    of_steps, of_equation = gradient(False, **euler), gradient(True, **euler)
    assert 1e-3 < (of_equation - of_steps).norm() / of_steps.norm() < 0.2


@pytest.mark.parametrize("adjoint", [False, True])
def test_the_game_sees_the_parameters_that_it_swaps_in(adjoint):
    """The adjoint evaluates f again after the forward pass, when the module's own parameters are back in place."""
    block, u = ODEBlock(layers(seed=1), rtol=1e-9, atol=1e-11, adjoint=adjoint), draw(3, 4)
    game = gt.minimization(block, lambda model, batch: model(batch).pow(2).sum())
    w = game.vector() + 0.3 * draw(game.num_parameters, seed=7)
    got = game.field_at(w, game.buffers(), u).vector
    game.load_vector(w)
    expected = torch.autograd.grad(block(u).pow(2).sum(), list(block.parameters()))
    assert torch.allclose(got, torch.cat([g.flatten() for g in expected]), rtol=1e-7, atol=1e-9)
    assert got.norm() > 0.1


def test_an_adjoint_is_refused_where_second_derivatives_are_needed():
    block, u = ODEBlock(layers(seed=1), method="rk4", steps=4, adjoint=True), draw(3, 4)

    def loss(model, batch):
        return model(batch).pow(2).sum()

    with pytest.raises(GantoolsError, match="adjoint=False"):
        gt.analysis.hessian(block, loss, u)
    gt.trainers.make("simultaneous", gt.minimization(block, loss), lr=0.1).step(u)


# Games --------------------------------------------------------------------------------------------------------------


BLOCKS = {
    "residual": lambda: ResidualBlock(layers(), 0.5),
    "lm": lambda: Flow(LMBlock(layers(), 0.5, first=True), LMBlock(layers(seed=1), 0.5, k=-0.1).double()),
    "poly": lambda: PolyBlock(layers(), layers(seed=1), "mpoly-2", 0.5),
    "fractal": lambda: FractalBlock([layers(seed=s) for s in range(2)], 2, step=0.5),
    "rev": lambda: RevBlock(layers(2), layers(2, seed=1), 0.5),
    "rev sequence": lambda: chain(2, half=2),
    "ode rk4": lambda: ODEBlock(layers(), 1.0, "rk4", steps=2),
    "ode dopri5": lambda: ODEBlock(layers(), 0.5, rtol=1e-9, atol=1e-11),
}


def finite_differences(function, point, u, h):
    return torch.stack([(function(point + h * v) - function(point - h * v)) / (2 * h) for v in u.T], 1)


@pytest.mark.parametrize(
    "name", few([pytest.param(n, marks=pytest.mark.slow) if "dopri5" in n else n for n in BLOCKS], 3)
)
def test_a_game_of_blocks_has_its_jacobian_hessian_and_update_operator(name):
    block, critic = BLOCKS[name](), layers(4, 3, seed=9)

    def losses(players, batch):
        score = players.critic(players.block(batch)).square().mean()
        return {"block": score, "critic": 0.05 * sum(p.square().sum() for p in critic.parameters()) - score}

    game, batch = gt.Game({"block": block, "critic": critic}, losses), draw(2, 4)
    w = game.vector()
    u = torch.linalg.qr(draw(len(w), 2, seed=8))[0]
    field = finite_differences(lambda w: game.field_at(w, game.buffers(), batch).vector, w, u, 1e-6)
    # The adaptive solvers of torchdiffeq have no forward derivatives.
    for method in ("reverse",) if name == "ode dopri5" else ("reverse", "forward"):
        got = gt.analysis.jacobian(game, batch, method=method) @ u
        assert (got - field).abs().max() < 1e-6 * field.abs().max()
    own = gt.analysis.hessian(game, batch, player="block", method="reverse")
    part = game.slices["block"]
    inner = torch.zeros_like(u)
    inner[part] = u[part]
    expected = finite_differences(lambda w: game.field_at(w, game.buffers(), batch).vector, w, inner, 1e-6)[part]
    assert (own @ u[part] - expected).abs().max() < 1e-6 * field.abs().max()

    optimizer = gt.trainers.make("consensus", game, lr=0.05, gamma=0.5, base="sgd")
    state = optimizer.state
    step = finite_differences(lambda w: optimizer.update(w, state, batch)[0], w, u, 1e-5)
    got = gt.analysis.update_operator(optimizer, batch) @ u
    assert (got - step).abs().max() < 1e-5 * step.abs().max()


@pytest.mark.gpu
@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_compute_the_same_on_a_gpu(name):
    block, u = BLOCKS[name](), draw(3, 4)
    expected = torch.autograd.grad(block(u).square().sum(), list(block.parameters()))
    block.cuda()
    got = torch.autograd.grad(block(u.cuda()).square().sum(), list(block.parameters()))
    for a, b in zip(got, expected, strict=True):
        assert torch.allclose(a.cpu(), b, rtol=1e-8, atol=1e-9)
