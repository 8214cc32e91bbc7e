"""Jacobians through detach, no_grad and custom functions, against differences of the field by plain autograd."""

import copy

import numpy as np
import pytest
import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

import gantools as gt
from gantools.analysis import hessian, jacobian, update_operator
from tests import cases
from tests.quick import few

F64 = torch.float64
METHODS = ["reverse", "forward", "replay"]
# A recording takes a second.
EACH = pytest.mark.parametrize(
    "methods", [METHODS[:2], pytest.param(METHODS[2:], marks=pytest.mark.slow)], ids=["", "replay"]
)


def plain_jacobian(players, losses, batch):
    """Differences of plain autograd's gradients on copies of the modules, whose parameters are overwritten in place."""
    modules = {name: copy.deepcopy(m) for name, m in players.items()}
    parameters = [p for m in modules.values() for p in m.parameters() if p.requires_grad]
    start = torch.cat([p.detach().reshape(-1) for p in parameters])
    buffers = [(b, b.clone()) for m in modules.values() for b in m.buffers()]

    def field(w):
        with torch.no_grad():
            for b, kept in buffers:
                b.copy_(kept)
            for p, piece in zip(parameters, w.split([p.numel() for p in parameters]), strict=True):
                p.copy_(piece.view_as(p))
        found = []
        for name, value in losses(gt.Game(modules, losses).players, batch).items():
            own = [p for p in modules[name].parameters() if p.requires_grad]
            gradients = torch.autograd.grad(value, own, retain_graph=True, allow_unused=True)
            found += [torch.zeros_like(p) if g is None else g for p, g in zip(own, gradients, strict=True)]
        return torch.cat([g.reshape(-1) for g in found])

    columns, h = [], 2e-4
    for step in torch.eye(len(start), dtype=F64):
        near, far = (field(start + k * h * step) - field(start - k * h * step) for k in (1, 2))
        columns.append((8 * near - far) / (12 * h))
    return torch.stack(columns, 1)


def assert_right(players, losses, batch, methods=METHODS, rtol=1e-9):
    expected = plain_jacobian(players, losses, batch)
    for method in methods:
        J = jacobian(gt.Game(players, losses), batch, method=method)
        assert (J.dense() - expected).norm() < rtol * expected.norm(), method
        transposed = J.T @ torch.eye(J.n, dtype=F64)
        assert (transposed - expected.T).norm() < rtol * expected.norm(), method
    return J


def in_place(players, batch):
    with torch.no_grad():
        fake = players.generator(batch["latent"]) * 1.0
        fake.mul_(2.0)
        fake += 1
        return fake.clamp_(-3, 3)


def switched(players, batch):
    with torch.set_grad_enabled(False):
        return players.generator(batch["latent"])


def without_grad(players, batch):
    with torch.no_grad():
        return players.generator(batch["latent"])


def partly_without_grad(players, batch):
    with torch.no_grad():
        features = players.generator[0](batch["latent"])
    return players.generator[1:](features)


FAKES = {
    "attached": lambda p, b: p.generator(b["latent"]),
    "detach": lambda p, b: p.generator(b["latent"]).detach(),
    "data": lambda p, b: p.generator(b["latent"]).data,
    "no_grad": without_grad,
    "no_grad around a part": partly_without_grad,
    "set_grad_enabled": switched,
    "written into under no_grad": in_place,
}


def gan_losses(fake_of, interpolate=None):
    """The losses of a public GAN loop: the discriminator's on a fake batch of its own, perhaps with WGAN's penalty."""

    def losses(players, batch):
        fake = fake_of(players, batch)
        scores = players.discriminator(batch["real"]), players.discriminator(fake)
        loss = F.softplus(-scores[0]).mean() + F.softplus(scores[1]).mean()
        if interpolate is not None:
            x = interpolate(batch["mix"] * batch["real"] + (1 - batch["mix"]) * fake)
            (slope,) = torch.autograd.grad(players.discriminator(x).sum(), x, create_graph=True)
            loss = loss + ((slope.square().sum(1) + 1e-12).sqrt() - 1).square().mean()
        generated = players.discriminator(players.generator(batch["latent"]))
        return {"generator": F.softplus(-generated).mean(), "discriminator": loss}

    return losses


def made_a_leaf(x):
    x = x.detach()
    x.requires_grad = True
    return x


def players_and_batch():
    players = {"generator": cases.mlp(2, 4, 2), "discriminator": cases.mlp(2, 4, 1, seed=1)}
    return players, cases.gan_batch() | {"mix": torch.rand(8, 1, generator=torch.Generator().manual_seed(5), dtype=F64)}


@EACH
@pytest.mark.parametrize("name", few(FAKES, 2))
def test_of_public_gan_loops(name, methods):
    players, batch = players_and_batch()
    assert_right(players, gan_losses(FAKES[name]), batch, methods)


@pytest.mark.parametrize(
    "interpolate", few([lambda x: x.requires_grad_(), lambda x: x.detach().requires_grad_(), made_a_leaf], 1)
)
def test_of_gradient_penalties_on_detached_samples(interpolate):
    players, batch = players_and_batch()
    losses = gan_losses(FAKES["detach"], interpolate)
    assert_right(players, losses, batch, METHODS[:2])


@pytest.mark.parametrize("dtype", few([torch.float32, F64], 1))
@pytest.mark.parametrize("name", few(["detach", "no_grad", "set_grad_enabled"], 1))
def test_a_detached_fake_batch_changes_nothing(name, dtype):
    """Neither the field nor any derivative, in a consensus step and its update operator too."""
    players, batch = players_and_batch()
    players = {key: m.to(dtype) for key, m in players.items()}
    batch = {key: x.to(dtype) for key, x in batch.items()}
    results = []
    for how in ("attached", name):
        game = gt.Game({key: copy.deepcopy(m) for key, m in players.items()}, gan_losses(FAKES[how]))
        optimizer = gt.trainers.Consensus(game, lr=0.1, gamma=1.0, base="rmsprop")
        optimizer.step(batch)
        results.append((game.vector(), jacobian(game, batch).dense(), update_operator(optimizer, batch).dense()))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)


def test_other_players_see_through_a_stop_gradient():
    """LOLA's shaping term needs how the opponent's loss depends on one, whatever its own gradient follows."""
    ends = []
    for how in ("attached", "detach"):
        players, batch = players_and_batch()
        game = gt.Game(players, gan_losses(FAKES[how]))
        gt.trainers.make("lola", game, lr=0.1, alpha=0.5).step(batch)
        ends.append(game.vector())
    torch.testing.assert_close(*ends)


def of_the_model(loss):
    return lambda players, batch: {"model": loss(players.model, batch)}


def siamese(model, x):
    """SimSiam's stop-gradient."""
    z = model(x)
    return -(F.normalize(z, dim=1) * F.normalize(z.flip(0), dim=1).detach()).sum(1).mean() + z.square().mean()


def adaptive(model, x):
    """VQGAN's weight between two losses, from their detached sizes."""
    z = model(x)
    one, other = z.square().mean(), z.sin().mean()
    return one + one.detach() / (other.detach().abs() + 0.1) * other


def quotient_of_gradients(model, x):
    """VQGAN's weight: gradients at the last layer, taken without a graph, so that they are numbers to the user."""
    y = model(x).square()
    first, second = (
        torch.autograd.grad(part.mean(), model[-1].weight, retain_graph=True)[0].norm() for part in (y[:3], y[3:])
    )
    return y[:3].mean() + first / (second + 1e-4) * y[3:].sqrt().mean()


def surrogate(model, x):
    """Score distillation: a loss whose only content is a detached gradient."""
    z = model(x)
    with torch.no_grad():
        gradient = 3 * (z - 1)
    return 0.5 * (z - (z - gradient).detach()).square().sum()


@EACH
@pytest.mark.parametrize("loss", few([siamese, adaptive, quotient_of_gradients, surrogate], 2))
def test_of_one_player_with_a_stop_gradient(loss, methods):
    x = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), dtype=F64)
    J = assert_right({"model": cases.mlp(3, 4, 2)}, of_the_model(loss), x, methods)
    # Of adaptive weights it is no Hessian: their field is no gradient of one loss.
    assert J.symmetric == (loss not in (adaptive, quotient_of_gradients))


def test_what_is_detached_to_be_looked_at_leaves_a_hessian_symmetric():
    seen = []

    def loss(model, x):
        z = model(x).square().mean()
        seen.append((z.detach().numpy(), z.item(), np.asarray(z.detach()), copy.deepcopy(z.detach())))
        return z

    H = hessian(cases.mlp(3, 4, 2), loss, torch.ones(2, 3, dtype=F64))
    assert H.symmetric and all(isinstance(value[0], np.ndarray) for value in seen)


class Reversed(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.view_as(x)

    @staticmethod
    def backward(ctx, gradient):
        return -0.7 * gradient


class Rounded(torch.autograd.Function):
    """Straight through: the gradient ignores the rounding."""

    @staticmethod
    def forward(ctx, x):
        return (4 * x).round() / 4 + 0.1 * x

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class SavedSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x.exp() * x.exp().cos())
        return x.exp().sin()

    @staticmethod
    def backward(ctx, gradient):
        return gradient * ctx.saved_tensors[0]


class Hidden(torch.autograd.Function):
    """Its input is an attribute, detached, of which autograd knows nothing."""

    @staticmethod
    def forward(ctx, x):
        ctx.x = x.detach()
        return x**3

    @staticmethod
    def backward(ctx, gradient):
        return 3 * ctx.x**2 * gradient


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient):
        return 3 * ctx.saved_tensors[0] ** 2 * gradient


class InTwo(torch.autograd.Function):
    """Two results, a default, and a context that is set up apart."""

    @staticmethod
    def forward(x, scale=2.0):
        return scale * x**3, x.sin()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(inputs[0])
        ctx.scale = inputs[1]

    @staticmethod
    def backward(ctx, cube, sine):
        (x,) = ctx.saved_tensors
        return 3 * ctx.scale * x**2 * cube + x.cos() * sine, None


class WithoutGrad(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        with torch.no_grad():
            y = x.tanh()
        ctx.save_for_backward(y)
        return y

    @staticmethod
    def backward(ctx, gradient):
        return gradient * (1 - ctx.saved_tensors[0] ** 2)


class Nested(torch.autograd.Function):
    """Calls another custom function forwards and backwards."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return Hidden.apply(x)

    @staticmethod
    def backward(ctx, gradient):
        return 3 * WithoutGrad.apply(ctx.saved_tensors[0]) ** 2 * gradient


kept = Reversed.apply  # as users keep it, before anything is traced

CUSTOM = {
    "reversal": kept,
    "rounding": Rounded.apply,
    "slope saved in forward": SavedSlope.apply,
    "hidden input": Hidden.apply,
    "once differentiable": Once.apply,
    "context set up apart": lambda x: sum(InTwo.apply(x)),
    "under no_grad": WithoutGrad.apply,
    "nested": Nested.apply,
}


@EACH
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("name", few(CUSTOM, 2))
def test_of_custom_functions(name, last, methods):
    function = CUSTOM[name]

    def loss(model, x):
        z = function(model(x)) if last else model[2](function(model[0](x)))
        return z.square().mean() + 0.1 * z.sum()

    x = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=F64)
    assert_right({"model": cases.mlp(3, 4, 2)}, of_the_model(loss), x, methods)


def test_gradient_reversal_rotates():
    """L = b reverse(a) has the field (-b, a): eigenvalues +-i, where a Hessian would have +-1."""
    game = gt.minimization(cases.Point([0.3, 0.7]), lambda m, _: m.value[1] * -(0.7**-1) * kept(m.value[0]))
    J = jacobian(game, None).dense()
    torch.testing.assert_close(J, torch.tensor([[0.0, 1.0], [-1 / 0.7, 0.0]], dtype=F64))


def test_custom_functions_are_left_alone_outside():
    x = torch.tensor([0.5], requires_grad=True)
    assert Reversed.apply(x).grad_fn.name() == "ReversedBackward"
    hessian(cases.mlp(3, 4, 2), lambda m, b: kept(m(b)).square().mean(), torch.ones(2, 3, dtype=F64))
    assert kept(x).grad_fn.name() == "ReversedBackward"


def test_what_is_written_through_data_is_written():
    """`data` shares memory with what it is taken of, and so it does here."""

    def loss(model, x):
        z = model(x) * 1.0
        z.data.clamp_(min=0.1)
        return (z + 0).square().mean()

    model, x = cases.mlp(3, 4, 2), torch.ones(2, 3, dtype=F64)
    plain = torch.cat([g.reshape(-1) for g in torch.autograd.grad(loss(model, x), list(model.parameters()))])
    torch.testing.assert_close(gt.minimization(model, loss).field(x), plain)
