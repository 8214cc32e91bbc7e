"""A variational autoencoder: the noise is drawn into the batch, so that the loss is a function of the weights alone.

gantools index examples/vae.py:build
python examples/vae.py
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits

import gantools as gt


class VAE(nn.Module):
    """Images (N, 64) in [0, 1]; returns the logits of the reconstruction, and mean and log-variance of the latent."""

    def __init__(self, width=12, latent=2):
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(64, width), nn.Tanh(), nn.Linear(width, 2 * latent))
        self.decode = nn.Sequential(nn.Linear(latent, width), nn.Tanh(), nn.Linear(width, 64))

    def forward(self, images, noise):
        mean, log_variance = self.encode(images).chunk(2, dim=1)
        return self.decode(mean + noise * (log_variance / 2).exp()), mean, log_variance


def loss(model, batch):
    """Return the negative evidence lower bound, averaged over images."""
    logits, mean, log_variance = model(batch["images"], batch["noise"])
    reconstruction = binary_cross_entropy_with_logits(logits, batch["images"], reduction="none").sum(1)
    divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1)
    return (reconstruction + divergence).mean()


def build(width=12, latent=2, samples=256, steps=100, dtype=torch.float64):
    """Return a briefly trained autoencoder as a game of one player, and its batch."""
    torch.manual_seed(0)
    images = torch.from_numpy(load_digits().data)[:samples].to(dtype) / 16
    batch = {"images": images, "noise": torch.randn(samples, latent, dtype=dtype)}
    game = gt.minimization(VAE(width, latent).to(dtype), loss)
    optimizer = gt.trainers.make("simultaneous", game, lr=1e-2, base="adam")
    for _ in range(steps):
        optimizer.step(batch)
    return game, batch


if __name__ == "__main__":
    game, batch = build()
    H = gt.analysis.hessian(game, batch)
    print(gt.analysis.index(H))
    for part in ("model.encode.*", "model.decode.*"):
        print(f"{part}: trace {gt.analysis.trace(gt.analysis.restrict(H, part))}")
