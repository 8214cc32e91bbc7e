"""Spectral norm in training mode: its singular vectors are functions of the weight, and the field changes with them."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.nn.utils import spectral_norm as by_hook

import gantools as gt
from gantools.analysis import hessian, jacobian, update_operator
from gantools.errors import GantoolsError
from gantools.nn.complex.layers import ComplexLinear
from gantools.nn.complex.spectral_norm import complex_spectral_norm
from gantools.trainers import Consensus, Simultaneous
from tests.draws import draw
from tests.quick import few

F64 = torch.float64
APIS = {"hook": by_hook, "parametrization": parametrizations.spectral_norm}


def critic(wrap):
    torch.manual_seed(1)
    layers = [wrap(nn.Linear(a, b, dtype=F64)) for a, b in ((2, 4), (4, 3), (3, 1))]
    return nn.Sequential(layers[0], nn.Tanh(), layers[1], nn.Tanh(), layers[2])


def game_of(kind):
    torch.manual_seed(0)
    generator = nn.Sequential(nn.Linear(2, 3, dtype=F64), nn.Tanh(), nn.Linear(3, 2, dtype=F64))
    batch = {"real": draw(5, 2, seed=1), "latent": draw(5, 2, seed=2)}
    if kind == "regularizer":
        return gt.gan(generator, critic(lambda x: x), regularizers=[gt.regularizers.SpectralNorm()]), batch
    return gt.gan(generator, critic(APIS[kind]), regularizers=[gt.regularizers.R1(1.0)]), batch


def plain_field(game, batch):
    """Gradients by plain autograd on the modules, whose buffers move as in training."""
    losses = game.losses(game.players, batch)
    pieces = []
    for name, module in game.players.items():
        pieces += torch.autograd.grad(
            losses[name], [p for p in module.parameters() if p.requires_grad], retain_graph=True
        )
    return torch.cat([g.reshape(-1) for g in pieces])


def differences(game, batch, h=1e-5):
    w, buffers, columns = game.vector(), game.buffers(), []
    for i in range(len(w)):
        fields = []
        for sign in (1, -1):
            moved = w.clone()
            moved[i] += sign * h
            game.load_vector(moved)
            game.load_buffers(buffers)
            fields.append(plain_field(game, batch))
        columns.append((fields[0] - fields[1]) / (2 * h))
    game.load_vector(w)
    game.load_buffers(buffers)
    return torch.stack(columns, 1)


@pytest.mark.parametrize("wrap", APIS.values(), ids=APIS)
def test_a_turning_weight_has_a_curvature(wrap):
    """L = w x / |w| at w = x = (1, 0): the cosine of the angle between them."""
    layer = nn.Linear(2, 1, bias=False, dtype=F64)
    layer.weight.data = torch.tensor([[1.0, 0.0]], dtype=F64)
    x = torch.tensor([[1.0, 0.0]], dtype=F64)
    layer = wrap(layer)
    layer(x)  # the first vectors are random
    game = gt.minimization(layer, lambda m, x: m(x).sum())
    for method in ("auto", "reverse", "forward", "difference"):
        found = jacobian(game, x, method=method).dense()
        torch.testing.assert_close(found, torch.diag(torch.tensor([0.0, -1.0], dtype=F64)), rtol=1e-8, atol=1e-8)
    assert not jacobian(game, x, spectral_norm="frozen").dense().any()
    assert not hessian(game, x).dense().any()
    assert hessian(game, x, spectral_norm="exact").dense()[1, 1] == -1
    layer.eval()  # then the vectors are constants of the user's own code
    assert not jacobian(game, x).dense().any()


@pytest.mark.parametrize("kind", few([*APIS, "regularizer"], 1))
def test_a_critics_jacobian_is_that_of_the_field_in_training(kind):
    game, batch = game_of(kind)
    for _ in range(2):
        plain_field(game, batch)  # vectors still on their way
    truth = differences(game, batch)
    J = jacobian(game, batch)
    torch.testing.assert_close(J.dense(), truth, rtol=1e-6, atol=1e-7 * float(truth.abs().max()))
    assert "follow the weights" in repr(J)
    frozen = jacobian(game, batch, spectral_norm="frozen")
    assert "stand still" in repr(frozen)
    assert (frozen.dense() - truth).norm() > 0.01 * truth.norm()
    U = update_operator(Simultaneous(game, lr=0.1), batch)
    torch.testing.assert_close(U.dense(), torch.eye(U.n, dtype=F64) - 0.1 * truth, rtol=1e-6, atol=1e-7)
    with pytest.raises(GantoolsError, match="exact"):
        jacobian(game, batch, spectral_norm="exakt")


def test_many_iterations_give_the_derivative_of_the_largest_singular_value():
    """Against W / sigma by a singular value decomposition, whose derivative PyTorch knows."""
    torch.manual_seed(0)
    layer, x = nn.Linear(4, 3, bias=False, dtype=F64), draw(5, 4)
    weight = layer.weight.detach().clone()
    loss = lambda out: out.tanh().square().mean()  # noqa: E731
    by_svd = torch.autograd.functional.hessian(
        lambda w: loss(x @ (w.view(3, 4) / torch.linalg.matrix_norm(w.view(3, 4), 2)).T), weight.flatten()
    )
    layer = parametrizations.spectral_norm(layer, n_power_iterations=60)
    for _ in range(10):
        layer(x)
    found = jacobian(gt.minimization(layer, lambda m, x: loss(m(x))), x).dense()
    torch.testing.assert_close(found, by_svd, rtol=1e-6, atol=1e-8)


def test_complex_weights_follow_too():
    rng = torch.Generator().manual_seed(0)
    layer = complex_spectral_norm(ComplexLinear(3, 2, dtype=torch.complex128, rng=rng), rng=rng)
    x = torch.complex(draw(4, 3), draw(4, 3, seed=2))
    game = gt.Game({"model": layer}, lambda p, x: {"model": torch.view_as_real(p["model"](x)).tanh().square().mean()})
    truth = differences(game, x)
    torch.testing.assert_close(jacobian(game, x).dense(), truth, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("kind", APIS)
def test_training_moves_the_vectors_as_pytorch_does(kind):
    """A step that differentiates the field goes through the other formulas; the buffers end where PyTorch's do."""
    game, batch = game_of(kind)
    copy, _ = game_of(kind)
    copy.module.load_state_dict(game.module.state_dict())
    Consensus(game, lr=1e-3).step(batch)
    plain_field(copy, batch)
    for name, buffer in copy.buffers().items():
        torch.testing.assert_close(game.buffers()[name], buffer)
