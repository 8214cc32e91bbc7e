"""The arbiter: what it refuses, what it lets pass, and that it leaves no trace."""

import copy
import random
import re

import numpy as np
import pytest
import torch
from torch import nn

import gantools as gt
from gantools.analysis import hessian, jacobian
from gantools.errors import GantoolsError, GantoolsWarning
from gantools.games import arbiter
from gantools.games.plain_field import SAMPLES
from gantools.trainers import Consensus, Simultaneous
from tests import cases
from tests.quick import few

F64 = torch.float64


def mean_square(model, x):
    return model(x).square().mean()


def captured_penalty(model):
    parameters = list(model.parameters())
    return lambda m, x: mean_square(m, x) + 0.1 * sum(p.square().sum() for p in parameters)


class Enclosed(nn.Module):
    """Keeps its weight in a function as well, and uses that."""

    def __init__(self):
        super().__init__()
        self.net = cases.mlp(3, 4, 2)
        weight = self.net[0].weight
        self.kept = lambda: weight

    def forward(self, x):
        return self.net[2](torch.tanh(nn.functional.linear(x, self.kept(), self.net[0].bias)))


class Counting(nn.Module):
    """Scales its inputs by a number that each forward pass moves on, as annealed noise and warm-ups do."""

    def __init__(self, rate):
        super().__init__()
        self.net, self.count, self.rate = cases.mlp(3, 4, 2), 0, rate

    def forward(self, x):
        self.count += 1
        return self.net(x * (1 + self.rate * self.count))


def drawing(draw):
    return lambda model, x: (model(x) * draw()).square().mean()


SOURCE = torch.Generator().manual_seed(3)
MOVING = {
    "counter": (lambda: Counting(0.01), mean_square, "a counter, a pool or a cache moves"),
    "slow counter": (lambda: Counting(1e-5), mean_square, "a counter, a pool or a cache moves"),
    "numpy": (lambda: cases.mlp(3, 4, 2), drawing(lambda: np.random.random()), "NumPy's or Python's random"),  # noqa: NPY002
    "python": (lambda: cases.mlp(3, 4, 2), drawing(random.random), "NumPy's or Python's random"),
    "generator": (
        lambda: cases.mlp(3, 4, 2),
        drawing(lambda: torch.rand(1, generator=SOURCE)),
        "a generator of its own",
    ),
}


@pytest.mark.parametrize("kind", MOVING)
def test_what_moves_between_evaluations_is_not_called_captured(kind):
    make, loss, words = MOVING[kind]
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), dtype=F64)
    with pytest.raises(GantoolsError, match=words) as error:
        jacobian(gt.minimization(make(), loss), x)
    assert "from one evaluation to the next" in str(error.value) and "captured" not in str(error.value)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("kind", ["captured", "enclosed"])
def test_parameters_from_outside_are_refused(kind, dtype):
    model = (Enclosed() if kind == "enclosed" else cases.mlp(3, 4, 2)).to(dtype)
    loss = captured_penalty(model) if kind == "captured" else mean_square
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), dtype=F64).to(dtype)
    sentence = r"field of player 'model' differs by .*% from plain autograd.*captured"
    for use in (
        lambda game: game.field(x),
        lambda game: jacobian(game, x),
        lambda game: Simultaneous(game).step(x),
        lambda game: Consensus(game).step(x),
    ):
        with pytest.raises(GantoolsError, match=sentence):
            use(gt.minimization(model, loss))
    hessian(model, loss, x, check=False)


def under_no_grad(model, x):
    with torch.no_grad():
        return mean_square(model, x)


@pytest.mark.parametrize(
    "loss",
    [
        under_no_grad,
        lambda m, x: mean_square(m, x).detach(),
        lambda m, x: torch.tensor(mean_square(m, x).item()),
        lambda m, x: (m(x).argmax(1) == 1).double().mean(),
    ],
    ids=["no_grad", "detach", "item", "argmax"],
)
def test_a_loss_without_a_gradient_is_refused(loss):
    model, x = cases.mlp(3, 4, 2), torch.ones(2, 3, dtype=F64)
    for use in (lambda g: jacobian(g, x), lambda g: Simultaneous(g).step(x), lambda g: g.field(x)):
        with pytest.raises(GantoolsError, match="loss of player 'model' has no gradient.*no_grad"):
            use(gt.minimization(model, loss))


def by_a_number(model, x):
    z = model(x)
    return z.square().mean() * (1 + z[0, 0].item() ** 2)


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize(
    "loss", [lambda m, x: cases.Cube.apply(m(x)).square().mean(), by_a_number], ids=["numpy", "item"]
)
def test_what_leaves_pytorch_is_told_with_its_size(loss, dtype):
    model = cases.mlp(3, 4, 2).to(dtype)
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), dtype=F64).to(dtype)
    sentence = r"derivative of the field.*off by .*%.*leaves PyTorch"
    with pytest.raises(GantoolsError, match=sentence):
        hessian(model, loss, x, method="reverse")
    with pytest.warns(GantoolsWarning, match=f"{sentence}.*central differences"):
        H = hessian(model, loss, x)
    game, u = gt.minimization(model, loss), torch.ones(H.n, dtype=dtype)
    w, h = game.vector(), 1e-3
    moved = [copied_field(model, loss, x, w + k * h * u) for k in (-2, -1, 1, 2)]
    truth = (8 * (moved[2] - moved[1]) - (moved[3] - moved[0])) / (12 * h)
    assert (H @ u - truth).norm() <= (1e-6 if dtype == F64 else 2e-3) * truth.norm()
    with pytest.raises(GantoolsError, match="leaves PyTorch"):
        Consensus(gt.minimization(model, loss)).step(x)
    Simultaneous(gt.minimization(model, loss)).step(x)  # needs no derivative of the field


def test_a_missing_block_is_found_beside_large_ones():
    """A number from the other player, in a block far below the norm of the whole."""

    def losses(players, _):
        a, b = players.a.value, players.b.value
        return {"a": 1e4 * (a**4).sum() + a.sum() * b.sum().sin().item(), "b": (b**4).sum() + a.sum() * b.sum()}

    game = gt.Game({"a": cases.Point([1.0, 2.0]), "b": cases.Point([0.3, 0.4])}, losses)
    with pytest.warns(GantoolsWarning, match="field of player 'a' by the parameters of 'b'"):
        J = jacobian(game, None)
    assert abs(J.dense()[0, 2] - torch.tensor(0.7).cos()) < 1e-6  # beside entries of 1e5


@pytest.mark.parametrize("loss", [
    lambda m, x: cases.WrongTangent.apply(m(x)).square().mean(),
    lambda m, x: torch.linalg.solve(m[0].weight @ m[0].weight.T + torch.eye(4, dtype=F64), m[0](x).T).square().mean(),
], ids=["custom", "solve"])  # fmt: skip
def test_where_only_dual_numbers_are_wrong_reverse_mode_serves(loss):
    model, x = cases.mlp(3, 4, 2), torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=F64)
    H = hessian(model, loss, x)
    assert H.method == "reverse"
    game = gt.minimization(model, loss)
    w, u, h = game.vector(), torch.randn(H.n, generator=torch.Generator().manual_seed(2), dtype=F64), 1e-4
    fields = [copied_field(model, loss, x, w + k * h * u) for k in (-2, -1, 1, 2)]
    finite = (8 * (fields[2] - fields[1]) - (fields[3] - fields[0])) / (12 * h)
    assert (H @ u - finite).norm() < 1e-7 * finite.norm()
    if arbiter.judge(game, x, forward=True).forward is False:
        with pytest.raises(GantoolsError, match="Dual numbers give wrong products.*method='reverse'"):
            hessian(model, loss, x, method="forward")


def copied_field(model, loss, x, w):
    game = gt.minimization(copy.deepcopy(model), loss)
    game.load_vector(w)
    value = loss(game.players["model"], x)
    found = torch.autograd.grad(value, game.parameters(), allow_unused=True, materialize_grads=True)
    return torch.cat([g.reshape(-1) for g in found])


@pytest.mark.parametrize("dtype", few([torch.float32, F64], 1))
@pytest.mark.parametrize(
    "activation",
    [nn.ReLU, nn.SiLU, *(pytest.param(a, marks=pytest.mark.slow) for a in (nn.Tanh, nn.LeakyReLU, nn.Hardtanh))],
)
@pytest.mark.parametrize("loss", sorted(gt.losses.LOSSES))
def test_no_false_alarm(loss, activation, dtype):
    batch = cases.gan_batch(16, dtype=dtype)
    for regularizers in ([], [gt.regularizers.R1(1.0), gt.regularizers.R2(1.0)]):
        verdict = arbiter.judge(cases.tanh_gan(loss, regularizers, 0, dtype, activation), batch, forward=True)
        assert verdict.decided and verdict.forward is not False and verdict.error < arbiter.ACCURATE


def test_no_false_alarm_on_exact_kinks():
    """Zero biases at zero inputs: every unit stands on its kink, where differences see half of it."""
    model = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
    nn.init.zeros_(model[0].bias)
    x = torch.zeros(8, 1, 6, 6)
    x[:, :, 2:4, 2:4] = torch.randn(8, 1, 2, 2, generator=torch.Generator().manual_seed(1))
    assert arbiter.judge(gt.minimization(model, mean_square), x).decided


def test_no_false_alarm_where_a_loss_computes_in_float32():
    model, x = cases.mlp(3, 4, 2), torch.randn(6, 3, generator=torch.Generator().manual_seed(1), dtype=F64)
    arbiter.judge(gt.minimization(model, lambda m, x: m(x).float().square().mean()), x)


def test_no_false_alarm_under_autocast():
    model, x = cases.mlp(3, 8, 2, dtype=torch.float32), torch.randn(6, 3, generator=torch.Generator().manual_seed(1))

    def loss(m, x):
        with torch.autocast("cpu", torch.bfloat16):
            return m(x).float().square().mean()

    arbiter.judge(gt.minimization(model, loss), x)


def test_it_leaves_no_trace():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2))
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(1))
    state, random = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    game = gt.minimization(model, mean_square)
    first = arbiter.judge(game, x)
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert all(p.requires_grad and p.grad is None for p in model.parameters()) and model.training
    assert arbiter.judge(game, x) is first  # once


def test_its_cost_is_that_of_a_few_samples():
    """Counted: evaluations of the loss, and the samples in each; 20 gradients at most."""
    sizes = []

    def loss(model, x):
        sizes.append(len(x))
        return mean_square(model, x)

    arbiter.judge(gt.minimization(cases.mlp(3, 4, 2), loss), torch.ones(1000, 3, dtype=F64))
    assert len(sizes) <= 20 and set(sizes) == {SAMPLES}


def test_a_loss_that_needs_its_whole_batch_gets_it():
    def loss(model, x):
        return mean_square(model, x.view(3, 4, 3)[0] if len(x) == 12 else x.view(-1, 100))

    arbiter.judge(gt.minimization(cases.mlp(3, 4, 2), loss), torch.ones(12, 3, dtype=F64))


def test_where_the_derivative_is_infinite_is_said():
    for loss in (lambda m, _: m.value.norm(), lambda m, _: m.value.abs().pow(1.5).sum()):
        with pytest.raises(GantoolsError, match="field is finite, but its derivative is NaN or infinite"):
            hessian(cases.Point([0.0, 0.0]), loss, None)


def test_numbers_of_a_verdict_are_python_numbers():
    verdict = arbiter.judge(cases.tanh_gan(), cases.gan_batch(), forward=True)
    assert isinstance(verdict.error, float) and verdict.decided is True and not isinstance(verdict.error, np.ndarray)
    assert re.match(r"Verdict\(forward=True", str(verdict))


def test_a_copy_inside_the_loss_is_told():
    """Its tensors have other shapes, which one memo would mix up."""
    model, x = cases.mlp(3, 4, 2), torch.ones(4, 3, dtype=F64)
    with pytest.warns(GantoolsWarning, match="leaves PyTorch"):
        hessian(model, lambda m, x: (m(x) - copy.deepcopy(m)(2 * x)).square().mean(), x)


def test_a_coin_tossed_in_the_loss_is_refused():
    torch.manual_seed(0)  # with one state in fifty it falls alike each time
    model, x = cases.mlp(3, 4, 2), torch.ones(4, 3, dtype=F64)
    with pytest.raises(GantoolsError, match="differs between two evaluations"):
        hessian(model, lambda m, x: mean_square(m, x) * (1 + (torch.rand(()) < 0.5)), x)


def test_a_derivative_that_is_nan_where_the_field_changes_smoothly():
    """The backward pass of entmax takes the root of a clamped square, whose own derivative at zero is infinite."""

    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            y = x.clamp(min=0).square()
            ctx.save_for_backward(y)
            return y

        @staticmethod
        def backward(ctx, g):
            return 2 * g * ctx.saved_tensors[0].sqrt()

    torch.manual_seed(0)
    net, x = nn.Linear(3, 4).double(), torch.randn(6, 3, dtype=torch.float64)
    with pytest.warns(GantoolsWarning, match="NaN or infinite, although the field changes"):
        H = hessian(net, lambda net, x: Square.apply(net(x)).sum(), x)
    exact = hessian(net, lambda net, x: net(x).clamp(min=0).square().sum(), x).dense()
    assert (H.dense() - exact).norm() < 1e-6 * exact.norm()
