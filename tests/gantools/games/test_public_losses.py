"""Losses as public programs write them, against differences of plain autograd's field in float64."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests import cases
from tests.gantools.games.test_stop_gradients import assert_right, of_the_model
from tests.quick import few

F64 = torch.float64


def samples(*shape, seed=1):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


class VectorQuantized(nn.Module):
    """VQ-VAE (arXiv:1711.00937): straight through the nearest code, with two detached distances."""

    def __init__(self):
        super().__init__()
        self.encode, self.codes, self.decode = cases.mlp(3, 2), nn.Embedding(4, 2).to(F64), cases.mlp(2, 3, seed=1)
        with torch.no_grad():
            self.codes.weight.copy_(samples(4, 2, seed=5))

    def forward(self, x):
        z = self.encode(x)
        code = self.codes(torch.cdist(z, self.codes.weight).argmin(1))
        distance = 0.25 * F.mse_loss(code.detach(), z) + F.mse_loss(code, z.detach())
        return F.mse_loss(self.decode(z + (code - z).detach()), x) + distance


class Bootstrapped(nn.Module):
    """BYOL (arXiv:2006.07733): a target network that nobody descends."""

    def __init__(self):
        super().__init__()
        self.online, self.predict = cases.mlp(3, 4, 2), cases.mlp(2, 2, seed=2)
        self.target = copy.deepcopy(self.online).requires_grad_(False)
        with torch.no_grad():
            for p in self.target.parameters():
                p.add_(0.1)

    def forward(self, x):
        with torch.no_grad():
            target = F.normalize(self.target(x.flip(0)), dim=-1)
        return 2 - 2 * (F.normalize(self.predict(self.online(x)), dim=-1) * target.detach()).sum(-1).mean()


def gumbel(model, x):
    """Hard choices with soft gradients (arXiv:1611.01144), from the same noise each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        choice = F.gumbel_softmax(model(x), tau=0.7, hard=True)
    return (choice * samples(len(x), 2, seed=4)).sum(1).square().mean() + 0.1 * model(x).square().mean()


def quantized(model, x):
    """Quantization-aware training: weights rounded to a grid, gradients straight through."""
    weight = torch.fake_quantize_per_tensor_affine(model[0].weight, 0.2, 0, -8, 7)
    return model[2](torch.tanh(F.linear(x, weight, model[0].bias))).square().mean()


@pytest.mark.parametrize("make", [VectorQuantized, pytest.param(Bootstrapped, marks=pytest.mark.slow)])
def test_of_models_with_losses_of_their_own(make):
    assert_right({"model": make()}, of_the_model(lambda m, x: m(x)), samples(8, 3))


@pytest.mark.parametrize(
    ("loss", "methods"), few([(gumbel, ("reverse", "forward")), (quantized, ("reverse", "forward", "replay"))], 1)
)
def test_of_straight_through_estimators(loss, methods):
    assert_right(
        {"model": cases.mlp(3, 4, 2)}, of_the_model(loss), samples(8, 3), methods, rtol=1e-7
    )  # PyTorch holds scales in float32


class PathLength(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = cases.mlp(2, 4, 2)
        self.register_buffer("mean", torch.tensor(0.3, dtype=F64))

    def forward(self, z):
        return self.net(z)


def stylegan2(players, batch):
    """Path lengths about a running mean, and R1 (arXiv:1912.04958)."""
    g, d = players.generator, players.discriminator
    z = batch["latent"].detach().requires_grad_(True)
    fake = g(z)
    (slope,) = torch.autograd.grad((fake * batch["noise"]).sum() / math.sqrt(2), z, create_graph=True)
    length = slope.square().sum(1).sqrt()
    mean = g.mean.lerp(length.mean(), 0.01)
    g.mean.copy_(mean.detach())
    real = batch["real"].detach().requires_grad_(True)
    scores = d(real)
    (r1,) = torch.autograd.grad(scores.sum(), real, create_graph=True)
    return {
        "generator": F.softplus(-d(fake)).mean() + 2 * (length - mean).square().mean(),
        "discriminator": F.softplus(d(fake.detach())).mean()
        + F.softplus(-scores).mean()
        + 0.5 * r1.square().sum(1).mean(),
    }


def toggled(players, batch):
    """CycleGAN's training loop: the discriminator's gradients are switched off for the generator's turn."""
    g, d = players.generator, players.discriminator
    for p in d.parameters():
        p.requires_grad_(False)
    fake = g(batch["latent"])
    generator = (d(fake) - 1).square().mean() + 10 * (fake - batch["latent"]).abs().mean()
    for p in d.parameters():
        p.requires_grad_(True)
    return {
        "generator": generator,
        "discriminator": ((d(batch["real"]) - 1) ** 2).mean() + (d(fake.detach()) ** 2).mean(),
    }


@pytest.mark.parametrize("losses", few([stylegan2, toggled], 1))
def test_of_public_gans(losses):
    players = {"generator": PathLength(), "discriminator": cases.mlp(2, 4, 1, seed=1)}
    batch = cases.gan_batch() | {"noise": samples(8, 2, seed=6)}
    assert_right(players, losses, batch, ("reverse", "forward"))


class Normalised(nn.Linear):
    """BigGAN's spectral norm (arXiv:1809.11096): a vector is read and then written over, under `no_grad`."""

    def __init__(self, inputs, outputs, write):
        super().__init__(inputs, outputs, dtype=F64)
        self.write = write
        self.register_buffer("u", samples(1, outputs, seed=7))

    def forward(self, x):
        with torch.no_grad():
            v = F.normalize(self.u @ self.weight)
            u = F.normalize(v @ self.weight.t())
            self.write(self.u, u)
        return F.linear(x, self.weight / ((v @ self.weight.t()) @ u.t()).squeeze(), self.bias)


def averaged(vector, new):
    """A running mean, which is read between two writes."""
    vector.mul_(0.9)
    share = new / (1 + vector.square().sum())
    vector.add_(share, alpha=0.1).mul_(2 - new.square())


@pytest.mark.parametrize(
    "write", few([averaged, Tensor.copy_, lambda vector, new: vector.__setitem__(slice(None), new)], 2)
)
def test_of_vectors_written_over_under_no_grad(write):
    """Each evaluation of the discriminator is another function of its weights than the one before."""
    torch.manual_seed(0)
    critic = nn.Sequential(Normalised(2, 3, write), nn.Tanh(), Normalised(3, 1, write))

    def losses(players, batch):
        g, d = players.generator, players.discriminator
        real, fake = d(batch["real"]), g(batch["latent"])
        return {
            "discriminator": F.softplus(-real).mean() + F.softplus(d(fake.detach())).mean(),
            "generator": F.softplus(-d(fake)).mean(),
        }

    assert_right(
        {"discriminator": critic, "generator": cases.mlp(2, 3, 2)}, losses, cases.gan_batch(), ("reverse", "forward")
    )
