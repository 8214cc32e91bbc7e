"""Games of which the diagnosis is known: a small GAN on eight points, and ways to spoil it."""

import math

import torch
from torch import nn

import gantools as gt
from gantools import trainers


def ring(batches=4, n=64):
    rng = torch.Generator().manual_seed(0)
    found = []
    for _ in range(batches):
        angle = torch.randint(8, (n,), generator=rng) * (math.pi / 4)
        real = torch.stack([angle.cos(), angle.sin()], 1) + 0.02 * torch.randn(n, 2, generator=rng)
        found.append({"real": real, "latent": torch.randn(n, 4, generator=rng)})
    return found


def networks(width=16):
    torch.manual_seed(0)
    return (
        nn.Sequential(nn.Linear(4, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 2)),
        nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1)),
    )


def ring_game(loss="nonsaturating", regularizers=(), spoil=lambda generator, discriminator: None):
    generator, discriminator = networks()
    spoil(generator, discriminator)
    return gt.gan(generator, discriminator, loss, regularizers)


def adam(game, lr=1e-3, beta=0.0, method="alternating", **settings):
    return trainers.make(method, game, lr=lr, base=trainers.Adam((beta, 0.99)), **settings)
