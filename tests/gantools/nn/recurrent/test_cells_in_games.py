"""Recurrent cells: gradients through time, Jacobians of games, on a GPU and compiled."""

import pytest
import torch
from torch import nn

import gantools as gt
from tests.draws import draw, seeded
from tests.gantools.nn.recurrent.cells import CELLS, F64, make, moved, state_tensors
from tests.quick import few

# Gradients through time ---------------------------------------------------------------------------------------------


def gradient_ratio(cell, steps=100):
    """|dC/dh_1| / |dC/dh_T| at the start, for a random linear cost of the last state."""
    x = draw(steps, 2, 3)
    _, first = cell(x[:1])
    first = [s.detach().requires_grad_() for s in state_tensors(first)]
    _, last = cell(x[1:], tuple(first) if len(first) > 1 else first[0])
    last = state_tensors(last)[0]
    by_last = draw(*last.shape, seed=9)
    (by_first, *_) = torch.autograd.grad((last * by_last).sum(), first)
    return (by_first.norm() / by_last.norm()).item()


@pytest.mark.parametrize("name", ["URNN", "KRU", "FullUnitaryRNN", "EUNN", "EUNN fft", "EUNN real"])
def test_gradients_neither_vanish_nor_explode_over_a_hundred_steps(name):
    assert gradient_ratio(make(name, n=64)) == pytest.approx(1, abs=1e-12)


def test_gradients_of_gated_nets_vanish():
    assert 1e-5 < gradient_ratio(make("GORU", n=64)) < 0.05
    torch_lstm = nn.LSTM(3, 64, dtype=F64)
    with torch.no_grad():
        for p in torch_lstm.parameters():
            p.uniform_(-1 / 8, 1 / 8, generator=seeded())
    assert gradient_ratio(torch_lstm) < 1e-10


# Games --------------------------------------------------------------------------------------------------------------


def sequence_loss(model, batch):
    outputs, state = model(batch["input"])
    total = (outputs[-1] * batch["target"]).sum(-1).square().mean()
    return total + sum(s.square().mean() for s in state_tensors(state))


def small_problem(name):
    cell = moved(make(name, 2, 4))
    return cell, {"input": draw(2, 3, 2).transpose(0, 1).contiguous(), "target": draw(2, cell.output_size, seed=3)}


def directions(n):
    return torch.linalg.qr(draw(n, 2, seed=8))[0]


def finite_differences(function, point, h=1e-6):
    """Central differences along the directions, (n, 2)."""
    return torch.stack(
        [(function(point + h * u) - function(point - h * u)) / (2 * h) for u in directions(len(point)).T], 1
    )


@pytest.mark.parametrize("name", few(CELLS, 3))
def test_hessians_are_those_of_finite_differences_in_both_modes(name):
    cell, batch = small_problem(name)
    game = gt.minimization(cell, sequence_loss)
    expected = finite_differences(lambda w: game.field_at(w, game.buffers(), batch).vector, game.vector())
    for method in ("reverse", "forward"):
        got = gt.analysis.hessian(cell, sequence_loss, batch, method=method) @ directions(game.num_parameters)
        assert (got - expected).abs().max() < 1e-7 * expected.abs().max()


@pytest.mark.parametrize("name", few(CELLS, 5))
def test_second_derivatives_are_finite_where_the_state_is_exactly_zero(name):
    """No input, and every bias and first state zero: each modulus is then 0."""
    cell = make(name, 2, 4)
    with torch.no_grad():
        for label, p in cell.named_parameters():
            if label in ("bias", "h0"):
                p.zero_()
    batch = {"input": torch.zeros(3, 2, 2, dtype=F64), "target": draw(2, cell.output_size)}
    assert cell(batch["input"])[0].abs().max() == 0
    hessian = gt.analysis.hessian(cell, sequence_loss, batch, method="reverse")
    assert (hessian @ draw(hessian.n)).isfinite().all()


@pytest.mark.parametrize("name", few(CELLS, 3))
def test_a_game_of_cells_has_its_jacobian_and_update_operator(name):
    """A cell against a critic of its last output. Consensus differentiates the field, so the cell is here thrice."""
    cell, batch = small_problem(name)
    critic = nn.Linear(cell.output_size, 1, bias=False, dtype=F64)
    with torch.no_grad():
        critic.weight.copy_(draw(1, cell.output_size, seed=4))

    def losses(players, batch):
        score = players.critic(players.cell(batch["input"])[0][-1]).square().mean()
        return {"cell": score, "critic": 0.05 * players.critic.weight.square().sum() - score}

    game = gt.Game({"cell": cell, "critic": critic}, losses)
    w, u = game.vector(), directions(game.num_parameters)
    field = finite_differences(lambda w: game.field_at(w, game.buffers(), batch).vector, w)
    jacobian = gt.analysis.jacobian(game, batch, method="reverse")
    assert (jacobian @ u - field).abs().max() < 1e-7 * field.abs().max()
    assert (jacobian.T @ u - field).abs().max() > 1e-3 * field.abs().max()

    optimizer = gt.trainers.make("consensus", game, lr=0.01, gamma=1.0, base="sgd")
    state = optimizer.state
    expected = finite_differences(lambda w: optimizer.update(w, state, batch)[0], w, h=1e-5)
    got = gt.analysis.update_operator(optimizer, batch) @ u
    # Second derivatives of torch.matrix_exp carry ten digits, which the differences divide by h.
    assert (got - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.gpu
@pytest.mark.parametrize("name", CELLS)
def test_cells_compute_the_same_on_a_gpu(name):
    cell, x = moved(make(name)), draw(6, 4, 3)
    expected, _ = cell(x)
    got, _ = cell.cuda()(x.cuda())
    assert torch.allclose(got.cpu(), expected, rtol=0, atol=1e-10)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch's own, where it breaks a graph
@pytest.mark.parametrize("name", CELLS)
def test_cells_compute_the_same_when_compiled(name):
    cell, x = moved(make(name, 2, 4)), draw(3, 2, 2)
    torch.compiler.reset()
    compiled = torch.compile(cell, backend="aot_eager", dynamic=False)
    expected, _ = cell(x)
    got, _ = compiled(x)
    assert torch.allclose(got, expected, rtol=0, atol=1e-12)
    gradients = [torch.autograd.grad(o.square().sum(), list(cell.parameters())) for o in (expected, got)]
    for a, b in zip(*gradients, strict=True):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-12)
