"""Your own networks and data: a GAN for points on a spiral.

gantools train examples/own_gan.py:build --optimizer consensus --optimizer.lr 1e-3 --optimizer.base rmsprop
gantools spectrum examples/own_gan.py:build
python examples/own_gan.py
"""

import math

import torch
from torch import nn

import gantools as gt


def spiral(n, rng):
    """Return n points (n, 2) on a noisy spiral."""
    t = torch.rand(n, generator=rng).sqrt() * 3 * math.pi
    points = torch.stack([t * t.cos(), t * t.sin()], dim=1) / (3 * math.pi)
    return points + 0.02 * torch.randn(n, 2, generator=rng)


def network(n_in, n_out):
    """Return a small network; any nn.Module will do."""
    return nn.Sequential(nn.Linear(n_in, 32), nn.SiLU(), nn.Linear(32, 32), nn.SiLU(), nn.Linear(32, n_out))


def build():
    """Return the game, and its batches: dictionaries with "real" samples and "latent" draws."""
    torch.manual_seed(0)
    rng = torch.Generator().manual_seed(0)
    game = gt.gan(network(8, 2), network(2, 1), loss="nonsaturating", regularizers=[gt.regularizers.R1(gamma=0.1)])
    batches = [{"real": spiral(256, rng), "latent": torch.randn(256, 8, generator=rng)} for _ in range(50)]
    return game, batches


if __name__ == "__main__":
    game, batches = build()
    optimizer = gt.trainers.make("consensus", game, lr=1e-3, gamma=1.0, base="rmsprop")
    for epoch in range(10):
        for batch in batches:
            info = optimizer.step(batch)
        print(f"epoch {epoch + 1}: norm of the field {info.field_norm:.3g}")
    J = gt.analysis.jacobian(game, batches[0])
    leading = gt.analysis.eigenvalues(J, k=10, which="LM")
    print(leading)
    print(gt.analysis.stability(leading))
