"""Weights that are made of parameters, and layers whose backward pass runs a module again, against differences."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import utils
from torch.nn.utils import parametrizations, prune

import gantools as gt
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
