"""References that share no code with gantools: finite differences, plain autograd, plain training loops."""

import itertools

import numpy as np
import torch
from torch import Tensor


def finite_jacobian(function, w: Tensor, eps: float | Tensor = 1e-3) -> Tensor:
    """Dense Jacobian by the five-point stencil, exact to about 1e-11 on smooth functions of unit scale."""
    columns, steps = [], torch.as_tensor(eps, dtype=w.dtype).expand(w.shape)
    for i in range(w.numel()):
        e = torch.zeros_like(w)
        e[i] = steps[i]
        near = function(w + e) - function(w - e)
        far = function(w + 2 * e) - function(w - 2 * e)
        columns.append((8 * near - far) / (12 * steps[i]))
    return torch.stack(columns, dim=-1)


def finite_product(function, w: Tensor, u: Tensor, eps: float = 1e-3) -> Tensor:
    """J u by the five-point stencil."""
    near = function(w + eps * u) - function(w - eps * u)
    far = function(w + 2 * eps * u) - function(w - 2 * eps * u)
    return (8 * near - far) / (12 * eps)


def frozen_field(game, batch):
    """The game's field as a function of w alone, everything else as it is in analysis."""
    buffers = game.buffers()

    def function(w):
        with game.frozen():
            return game.field_at(w, buffers, batch).vector

    return function


def relative(a: Tensor, b: Tensor) -> float:
    """The relative distance of `a` from the reference `b`, in the Euclidean norm."""
    return float((a - b).norm() / b.norm())


def match_distance(found, expected) -> float:
    """The largest distance between two small multisets of complex numbers in their best pairing."""
    found, expected = np.asarray(found).ravel(), np.asarray(expected).ravel()
    assert len(found) == len(expected), (found, expected)
    if len(found) <= 6:
        orders = itertools.permutations(range(len(found)))
        return min(max(abs(found[list(order)] - expected)) for order in orders)
    from scipy.optimize import linear_sum_assignment

    distances = abs(found[:, None] - expected[None, :])
    rows, columns = linear_sum_assignment(distances)
    return distances[rows, columns].max()


def eigenvalues(operator) -> np.ndarray:
    return np.linalg.eigvals(operator.dense().numpy())


def tanh_gan_losses(w: Tensor, batch, loss: str = "nonsaturating") -> tuple[Tensor, Tensor]:
    """The losses of `cases.tanh_gan`, generator's and discriminator's, written out with matrices."""
    sizes = [(3, 2), (3,), (2, 3), (2,), (3, 2), (3,), (1, 3), (1,)]
    parts, offset = [], 0
    for shape in sizes:
        count = int(np.prod(shape))
        parts.append(w[offset : offset + count].reshape(shape))
        offset += count
    a, b, c, d, e, f, g, h = parts

    def discriminator(x):
        return torch.tanh(x @ e.T + f) @ g.T + h

    real = discriminator(batch["real"])
    fake = discriminator(torch.tanh(batch["latent"] @ a.T + b) @ c.T + d)
    log = torch.nn.functional.logsigmoid
    loss_d = -log(real).mean() - log(-fake).mean()
    return {"nonsaturating": -log(fake).mean(), "minimax": -loss_d}[loss], loss_d


def tanh_gan_field(w: Tensor, batch, loss: str = "nonsaturating") -> Tensor:
    """The field of `cases.tanh_gan`, differentiable in w."""
    w = w if w.requires_grad else w.detach().requires_grad_()
    by_g, by_d = (torch.autograd.grad(one, w, create_graph=True)[0] for one in tanh_gan_losses(w, batch, loss))
    return torch.cat([by_g[:17], by_d[17:]])


def dense_autograd(function, w: Tensor) -> Tensor:
    return torch.autograd.functional.jacobian(function, w)


def nonsaturating_losses(generator, discriminator, batch):
    """The plain forward pass of a GAN step: both losses, from one shared fake batch."""
    real_scores = discriminator(batch["real"])
    fake_scores = discriminator(generator(batch["latent"]))
    log = torch.nn.functional.logsigmoid
    return -log(fake_scores).mean(), -log(real_scores).mean() - log(-fake_scores).mean()


def plain_simultaneous_step(generator, discriminator, optimizers, batch, losses=nonsaturating_losses):
    """One step of both players at once with two torch.optim optimizers."""
    loss_g, loss_d = losses(generator, discriminator, batch)
    for module, loss in ((generator, loss_g), (discriminator, loss_d)):
        grads = torch.autograd.grad(loss, list(module.parameters()), retain_graph=True, allow_unused=True)
        for p, g in zip(module.parameters(), grads, strict=True):
            p.grad = torch.zeros_like(p) if g is None else g
    for optimizer in optimizers:
        optimizer.step()


def plain_consensus_step(generator, discriminator, optimizers, batch, gamma, losses=nonsaturating_losses):
    """One consensus step as a user would write it: create_graph, half the squared norm, two torch.optim optimizers."""
    loss_g, loss_d = losses(generator, discriminator, batch)
    own_g = torch.autograd.grad(loss_g, list(generator.parameters()), create_graph=True)
    own_d = torch.autograd.grad(loss_d, list(discriminator.parameters()), create_graph=True)
    penalty = 0.5 * sum(g.square().sum() for g in (*own_g, *own_d))
    parameters = [*generator.parameters(), *discriminator.parameters()]
    extra = torch.autograd.grad(penalty, parameters, allow_unused=True)
    for p, own, more in zip(parameters, (*own_g, *own_d), extra, strict=True):
        p.grad = own.detach() + (0 if more is None else gamma * more)
    for optimizer in optimizers:
        optimizer.step()


def flat(*modules) -> Tensor:
    return torch.cat([p.detach().reshape(-1) for m in modules for p in m.parameters()])


def state_vector(game, optimizer) -> Tensor:
    """The parameters, then the optimizer's memory: what the update operator acts on."""
    return torch.cat([game.vector(), *(value.reshape(-1) for value in optimizer.state.memory.values())])


def period_map(optimizer, batches):
    """One period of an optimizer as a function of parameters and memory, from its present state."""
    game, state = optimizer.game, optimizer.state
    sizes = [game.num_parameters, *(value.numel() for value in state.memory.values())]

    def function(z):
        w, *pieces = z.split(sizes)
        memory = {key: piece.view_as(state.memory[key]) for key, piece in zip(state.memory, pieces, strict=True)}
        current = type(state)(memory, dict(state.counters), state.buffers)
        for _ in range(optimizer.period):
            w, current = optimizer.update(w, current, *batches)
        return torch.cat([w, *(value.reshape(-1) for value in current.memory.values())])

    return function


def own_gradients(losses, modules):
    """Each module's gradient of its own loss by plain autograd, one vector."""
    parts = []
    for loss, module in zip(losses, modules, strict=True):
        grads = torch.autograd.grad(loss, list(module.parameters()), retain_graph=True, allow_unused=True)
        for g, p in zip(grads, module.parameters(), strict=True):
            parts.append((torch.zeros_like(p) if g is None else g).reshape(-1))
    return torch.cat(parts)
