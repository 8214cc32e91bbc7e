"""Networks, data and batches that the games share; drawn from PyTorch's global generator, which `--seed` seeds."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

Batches = list[dict[str, Tensor]]


def mlp(*sizes: int, activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """Return a perceptron of these widths, input and output included."""
    layers: list[nn.Module] = []
    for i, (n, m) in enumerate(zip(sizes, sizes[1:], strict=False)):
        layers += [activation()] if i else []
        layers.append(nn.Linear(n, m))
    return nn.Sequential(*layers)


def drawn(draw: Callable[[int], Tensor], latent: int, size: int = 64, count: int = 200) -> Batches:
    """Return a GAN's batches: real samples from `draw(size)` and Gaussian latents (size, latent)."""
    return [{"real": draw(size), "latent": torch.randn(size, latent)} for _ in range(count)]


def around(modes: Tensor, sigma: float) -> Callable[[int], Tensor]:
    """Return the draw of Gaussians about modes (M, d), as many samples of each in turn."""

    def draw(size: int) -> Tensor:
        return modes.repeat(-(-size // len(modes)), 1)[:size] + sigma * torch.randn(size, modes.shape[1])

    return draw


def ring(modes: int = 8, sigma: float = 0.02) -> Callable[[int], Tensor]:
    """Return the draw of Gaussians on the unit circle."""
    angle = 2 * torch.pi * torch.arange(modes) / modes
    return around(torch.stack([angle.cos(), angle.sin()], 1), sigma)


def gaussian(mean: Tensor, scale: Tensor) -> Callable[[int], Tensor]:
    """Return the draw of independent normal columns with these means and standard deviations, (d,) each."""

    def draw(size: int) -> Tensor:
        return mean + scale * torch.randn(size, len(mean))

    return draw


def waves(size: int, length: int = 32) -> Tensor:
    """Return sums of two sinusoids (size, 1, length) of random frequency, phase and amplitude, within [-1, 1]."""
    t = torch.arange(length) / length
    frequency, phase = 1 + 5 * torch.rand(2, size, 1), 2 * torch.pi * torch.rand(2, size, 1)
    amplitude = 0.2 + 0.3 * torch.rand(2, size, 1)
    return (amplitude * (2 * torch.pi * (frequency * t + phase)).sin()).sum(0)[:, None]


class Shifted(nn.Module):
    """A generator that adds a learnt vector to its latent, (B, d) to (B, d)."""

    def __init__(self, start: Tensor):
        super().__init__()
        self.shift = nn.Parameter(start.clone())

    def forward(self, latent: Tensor) -> Tensor:
        return latent + self.shift


class Vector(nn.Module):
    """A player that is nothing but a vector."""

    def __init__(self, start: Tensor):
        super().__init__()
        self.value = nn.Parameter(start.clone())


class Linear(nn.Module):
    """The discriminator psi . x, without a bias: that of the Dirac-GAN."""

    def __init__(self, start: Tensor):
        super().__init__()
        self.psi = nn.Parameter(start.clone())

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.psi


def on_circle(radius: float, dimensions: int = 2) -> Tensor:
    """Return a random vector of this length, in float64."""
    v = torch.randn(dimensions, dtype=torch.float64)
    return radius * v / v.norm()


def scores_of(players: Any, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Return the generator's samples, and the discriminator's scores of the real and of these samples."""
    fake = players["generator"](batch["latent"])
    return fake, players["discriminator"](batch["real"]), players["discriminator"](fake)
