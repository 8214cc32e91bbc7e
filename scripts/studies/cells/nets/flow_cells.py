"""Densities learned by maximum likelihood: continuous flows, affine couplings, Gaussian mixtures."""

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import study
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture
from torch import Tensor, nn

from gantools.data import DATA
from gantools.data.seeds import derive_seed, random_stream
from gantools.networks.mlp import perceptron
from gantools.nn import ContinuousFlow

SIGMA, BATCH = 0.2, 128
STEPS_OF_SOLVER, FINE = 4, 16  # of rk4: in training, and to judge what was trained
PIXELS, HALF = 64, 1.9  # of a picture of a density, and half the side of its square
Density = Callable[[Tensor], Tensor]  # log-density (B,) of points (B, d)


# Data ----------------------------------------------------------------------------------------------------------------


def ring_log_prob(x: Tensor) -> Tensor:
    """Return the exact log-density (B,) of the ring of eight Gaussians at points (B, 2)."""
    modes = DATA["ring8"](sigma=SIGMA).open().modes.to(x)
    squared = (x.unsqueeze(1) - modes).square().sum(2)
    return torch.logsumexp(-squared / (2 * SIGMA**2), 1) - math.log(len(modes) * 2 * math.pi * SIGMA**2)


@functools.cache
def samples(data: str, seed: int, size: int) -> tuple[Tensor, Tensor]:
    """Return samples to learn from and held-out ones, float32; of digits, whitened principal components."""
    if data == "ring8":
        source = DATA["ring8"](sigma=SIGMA).open()
        return source.batch(0, 8192, seed), source.reference(4096, seed)
    images = load_digits().data[random_stream(seed, "split").permutation(1797)]
    fitted = PCA(size, whiten=True, svd_solver="full").fit(images[:1350])
    train, test = (torch.from_numpy(fitted.transform(part)).float() for part in (images[:1350], images[1350:]))
    return train, test


# Models --------------------------------------------------------------------------------------------------------------


class Velocity(nn.Module):
    """Velocity f(t, u) of a flow: a perceptron of u and t with two hidden layers of tanh."""

    def __init__(self, size: int, width: int, rng: torch.Generator):
        super().__init__()
        self.layers = nn.Sequential(*perceptron([size + 1, width, width, size], "tanh", rng))

    def forward(self, t: Tensor, u: Tensor) -> Tensor:
        return self.layers(torch.cat([u, t.to(u).expand(len(u), 1)], 1))


class Couplings(nn.Module):
    """Affine coupling layers after RealNVP (arXiv:1605.08803), in turn of one half of the coordinates and the other."""

    def __init__(self, size: int, width: int, layers: int, rng: torch.Generator):
        super().__init__()
        self.size, half = size, size // 2
        kept = [half if layer % 2 else size - half for layer in range(layers)]
        self.nets = nn.ModuleList(
            nn.Sequential(*perceptron([n, width, width, 2 * (size - n)], "tanh", rng)) for n in kept
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the log-density (B,) of points (B, d)."""
        total = x.new_zeros(len(x))
        for net in self.nets:
            n = net[0].in_features
            kept, moved = x[:, :n], x[:, n:]
            scale, shift = net(kept).chunk(2, 1)
            scale = 2 * torch.tanh(scale / 2)  # bounded, so that no step divides by almost nothing
            x = torch.cat([(moved - shift) * torch.exp(-scale), kept], 1)
            total = total - scale.sum(1)
        return total - x.square().sum(1) / 2 - self.size * math.log(2 * math.pi) / 2


def flow(size: int, width: int, rng: torch.Generator) -> ContinuousFlow:
    """Return a continuous flow as it is trained."""
    return ContinuousFlow(Velocity(size, width, rng), size, 1.0, "rk4", STEPS_OF_SOLVER, takes_time=True)


def again(trained: ContinuousFlow, method: str, steps: int | None = None) -> ContinuousFlow:
    """Return a flow of the same field by another solver."""
    return ContinuousFlow(trained.f, trained.size, trained.time, method, steps, takes_time=True)


def signs(like: Tensor, rng: torch.Generator) -> Tensor:
    """Return +-1 at random, in the shape of a tensor."""
    return (2 * torch.randint(2, like.shape, generator=rng) - 1).to(like)


def trained(cell: study.Cell, seed: int) -> nn.Module:
    """Train a model by Adam, from 5e-3 down to 5e-4, on batches of 128."""
    train, rng = samples(cell["data"], seed, cell["size"])[0], torch.Generator().manual_seed(derive_seed(seed, "flow"))
    made: nn.Module
    if cell["model"] == "couplings":
        made = Couplings(cell["size"], cell["width"], 6, rng)
    else:
        made = flow(cell["size"], cell["width"], rng)
    optimizer = torch.optim.Adam(made.parameters(), lr=5e-3)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1 ** (1 / cell["steps"]))
    for _ in range(cell["steps"]):
        x = train[torch.randint(len(train), (BATCH,), generator=rng)]
        log_prob = made(x, signs(x, rng)) if cell["model"] == "Hutchinson" else made(x)
        optimizer.zero_grad()
        (-log_prob.mean()).backward()
        optimizer.step()
        schedule.step()
    return made


# Measures ------------------------------------------------------------------------------------------------------------


def integral(density: Density, points: int = 126, half: float = 2.5) -> float:
    """Return the integral of exp(density) over the square [-half, half]^2: each point for the cell around it."""
    ticks = torch.linspace(-half, half, points, dtype=torch.float64)
    grid = torch.cartesian_prod(ticks, ticks)
    with torch.no_grad():
        values = torch.cat([density(part).exp() for part in grid.split(4096)])
    return float(values.sum() * (ticks[1] - ticks[0]) ** 2)


def picture(density: Density) -> list[float]:
    """Return exp(density) on a square of PIXELS x PIXELS points, row by row from below."""
    ticks = torch.linspace(-HALF, HALF, PIXELS, dtype=torch.float64)
    with torch.no_grad():
        return density(torch.cartesian_prod(ticks, ticks).flip(1)).exp().tolist()


def mixture(cell: study.Cell, seed: int) -> tuple[Density, int]:
    """Return the log-density of Gaussians fitted by EM, and the number of their parameters."""
    train, components = samples(cell["data"], seed, cell["size"])[0], cell["components"]
    fitted = GaussianMixture(components, n_init=4, reg_covar=1e-4, random_state=seed).fit(train.double().numpy())
    size = cell["size"]
    count = components * (size + size * (size + 1) // 2) + components - 1
    return lambda x: torch.from_numpy(fitted.score_samples(x.double().numpy())), count


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Learn a density and judge it on held-out samples; in the plane, by its integral too."""
    test = samples(cell["data"], seed, cell["size"])[1].double()
    found: study.Result = {}
    if cell["model"] == "Gaussians":
        density, found["parameters"] = mixture(cell, seed)
    else:
        made = trained(cell, seed).double()
        found["parameters"] = sum(p.numel() for p in made.parameters())
        density = again(made, "rk4", FINE) if isinstance(made, ContinuousFlow) else made
        if isinstance(made, ContinuousFlow):
            found |= of_solver(made, test[:512], seed)
    with torch.no_grad():
        found["held-out"] = float(density(test).mean())
    if cell["data"] == "ring8":
        found["gap"] = float(ring_log_prob(test).mean()) - found["held-out"]
        found["integral"] = integral(density) - 1
        if cell["model"] in ("exact", "Hutchinson"):
            found["integral, coarse"] = integral(made) - 1
        found["curves"] = {"step": [], "density": picture(density)}
    return found


def of_solver(made: ContinuousFlow, x: Tensor, seed: int) -> dict[str, Any]:
    """Return the evaluations that adaptive steps need, and how Hutchinson's estimate of a log-density errs."""
    rng, adaptive = torch.Generator().manual_seed(derive_seed(seed, "noise")), again(made, "dopri5")
    with torch.no_grad():
        adaptive(x)
        exact = made(x)
        errors = torch.stack([made(x, signs(x, rng)) - exact for _ in range(4)])
    return {"evaluations": adaptive.evaluations, "bias": float(errors.mean()), "spread": float(np.std(errors.numpy()))}
