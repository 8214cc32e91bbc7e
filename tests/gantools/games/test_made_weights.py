"""Weights that are made of parameters or written over, and layers whose backward pass runs a module again."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import utils
from torch.nn.utils import parametrizations, prune

import gantools as gt
from gantools.analysis import hessian, update_operator
from gantools.errors import GantoolsError, GantoolsWarning
from gantools.trainers import Simultaneous
from tests import cases
from tests.draws import draw
from tests.gantools.games.test_wrappers import assert_right, mean_square


def weight_norm(layer: nn.Module) -> None:
    with pytest.warns(FutureWarning, match="weight_norm"):
        utils.weight_norm(layer)


CHANGES = {
    "spectral norm by hook, at rest": lambda layer: utils.spectral_norm(layer).eval(),
    "spectral norm, at rest": lambda layer: parametrizations.spectral_norm(layer).eval(),
    "weight norm by hook": weight_norm,
    "weight norm": parametrizations.weight_norm,
    "orthogonal, exponential": lambda layer: parametrizations.orthogonal(layer, orthogonal_map="matrix_exp"),
    "orthogonal, Cayley": lambda layer: parametrizations.orthogonal(layer, orthogonal_map="cayley"),
    "pruned": lambda layer: prune.l1_unstructured(layer, "weight", 0.4),
}


@pytest.mark.parametrize("change", CHANGES)
def test_weights_made_of_parameters(change):
    torch.manual_seed(0)
    model = cases.mlp(3, 4, 2)
    CHANGES[change](model[0])
    model.eval()
    assert_right(model, mean_square, draw(5, 3), methods=("auto", "reverse", "difference"))


class RunAgain(torch.autograd.Function):
    """Keeps no graph, and runs the module once more in the backward pass, as adjoints and reversible nets do."""

    @staticmethod
    def forward(ctx, module, x, *parameters):
        ctx.module = module
        ctx.save_for_backward(x, *parameters)
        with torch.no_grad():
            return module(x)

    @staticmethod
    def backward(ctx, *gradients):
        x, *parameters = ctx.saved_tensors
        with torch.enable_grad():
            out = ctx.module(x)
            return None, None, *torch.autograd.grad(out, parameters, gradients[0], create_graph=True)


class Adjoint(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = cases.mlp(2, 3, 2)

    def forward(self, x: Tensor) -> Tensor:
        return RunAgain.apply(self.inner, x, *self.inner.parameters())


def test_a_backward_pass_that_runs_the_module_again():
    model, x = Adjoint(), draw(5, 2)
    assert_right(model, mean_square, x, methods=("auto", "reverse"))
    plain = torch.autograd.grad(mean_square(model, x), list(model.parameters()))
    game = gt.minimization(model, mean_square)
    gradient = torch.cat([g.reshape(-1) for g in plain])
    torch.testing.assert_close(game.field(x), gradient)
    before = game.vector()
    Simultaneous(game, lr=0.1).step(x)
    torch.testing.assert_close(game.vector(), before - 0.1 * gradient)


class StartFromTheBatch(nn.Module):
    """Shift and scale of activations, which the first batch sets, as Glow's activation normalization does."""

    def __init__(self):
        super().__init__()
        self.shift, self.scale = (nn.Parameter(torch.full((3,), value, dtype=torch.float64)) for value in (0.3, 0.7))
        self.register_buffer("begun", torch.tensor(False))

    def forward(self, x: Tensor) -> Tensor:
        if not self.begun:
            self.shift.data.copy_(-x.mean(0))
            self.scale.data.copy_(1 / x.std(0))
            self.begun.fill_(True)
        return (self.scale * (x + self.shift)).sin()


def test_a_layer_that_starts_from_the_first_batch_is_analysed_after_it():
    model, x = StartFromTheBatch(), draw(6, 3)
    for operator in (
        lambda: hessian(model, mean_square, x),
        lambda: update_operator(Simultaneous(gt.minimization(model, mean_square)), x),
    ):
        with pytest.raises(
            GantoolsError, match=r"writes over parameters \(model.shift, model.scale\).*on a batch once"
        ):
            operator()
    assert not model.begun and bool((model.shift == 0.3).all())
    model(x)
    assert_right(model, mean_square, x, methods=("auto", "reverse", "forward", "difference"))


def test_steps_from_the_first_batch_are_those_of_a_plain_loop():
    ends, x = [], draw(6, 3)
    for plain in (True, False):
        model = StartFromTheBatch()
        if plain:
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
            for _ in range(3):
                optimizer.zero_grad()
                mean_square(model, x).backward()
                optimizer.step()
        else:
            ours = Simultaneous(gt.minimization(model, mean_square), lr=0.1)
            for _ in range(3):
                ours.step(x)
        ends.append(torch.cat([model.shift.detach(), model.scale.detach()]))
    torch.testing.assert_close(*ends, rtol=1e-12, atol=1e-12)


class KeptTwice(nn.Module):
    """Reads its parameters from plain containers, as ncps' cells do, and penalises a list of them, as DeepCTR does."""

    def __init__(self):
        super().__init__()
        self.first, self.second = cases.mlp(3, 4), cases.mlp(4, 2)
        self.weights = {"first": self.first[0].weight, "more": {"bias": self.second[0].bias}}
        self.penalised = [(list(self.second.parameters()), 0.1), ("no parameter", 0.2)]
        self.itself: list[object] = [self.first[0].bias]
        self.itself.append(self.itself)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(x @ self.weights["first"].T + self.first[0].bias)
        out = hidden @ self.second[0].weight.T + self.weights["more"]["bias"]
        return out + sum(weight * p.pow(3).sum() for p in self.penalised[0][0] for weight in self.penalised[0][1:])


def test_parameters_in_plain_containers_follow():
    model, x = KeptTwice(), draw(5, 3)
    kept = {name: getattr(model, name) for name in ("weights", "penalised", "itself")}
    assert_right(model, mean_square, x, methods=("auto", "reverse", "forward", "difference"))
    game = gt.minimization(model, mean_square)
    before, gradient = game.vector(), game.field(x)
    Simultaneous(game, lr=0.1).step(x)
    torch.testing.assert_close(game.vector(), before - 0.1 * gradient)
    assert all(getattr(model, name) is value for name, value in kept.items())
    assert model.weights["first"] is model.first[0].weight


class ShownByData(nn.Module):
    """Sets what is padded to zero behind autograd's back, as Tacotron 2 does: its gradient goes on as if it did not."""

    def __init__(self):
        super().__init__()
        self.inner = cases.mlp(3, 4, 2)

    def forward(self, x: Tensor) -> Tensor:
        out = self.inner(x)
        out.data.masked_fill_(x[:, :1] > 0.5, 0.0)
        return out


def test_what_is_written_through_data_is_differenced_and_told():
    model, x = ShownByData(), draw(6, 3)
    with pytest.warns(GantoolsWarning, match=r"\.data"):
        assert_right(model, lambda m, x: (m(x) - 1).square().mean(), x, methods=("auto",))
