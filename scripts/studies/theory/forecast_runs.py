"""Tiny GANs in five families, trained at random rates and weights: whether they fail, and what is seen of it early."""

from typing import Any

import numpy as np
import torch
from theory.copies_spectra import radii
from torch import Tensor, nn

import gantools as gt
from gantools.networks.mlp import MLP
from gantools.trainers.state import State

STEPS, EVERY, BATCH = 1200, 10, 64
LOOK, LEAD = 200, 500
PROJECTIONS = 16
RATES = {"sgd": (-1.5, 0.3), "rmsprop": (-2.5, -0.7), "adam": (-3.0, -1.3)}  # log10
WEIGHTS = (-1.5, 1.0)


class Terms(nn.Module):
    """The sum of w_k x^k over some powers k, of one number x: (B, 1) to (B, 1), or to (B,) as scores."""

    def __init__(self, powers: tuple[int, ...], scores: bool, rng: torch.Generator, about: tuple[float, ...]) -> None:
        super().__init__()
        self.powers, self.scores = powers, scores
        self.value = nn.Parameter(torch.tensor(about) + 0.5 * torch.randn(len(powers), generator=rng))

    def forward(self, x: Tensor) -> Tensor:
        total = sum(w * x**k for w, k in zip(self.value, self.powers, strict=True))
        return total.squeeze(1) if self.scores else total


def modes(family: str) -> Tensor:
    """Return the centres (M, d) of a family's data."""
    if family == "Dirac" or family == "Gaussian":
        return torch.zeros(1, 1)
    if family == "two modes":
        return torch.tensor([[-1.0], [1.0]])
    count = {"square": 4, "ring of 6": 6}[family]
    angles = 2 * np.pi * torch.arange(count) / count
    return torch.stack([angles.cos(), angles.sin()], 1)


SPREAD = {"Dirac": 0.0, "Gaussian": 1.0, "two modes": 0.2, "square": 0.1, "ring of 6": 0.05}
FAMILIES = tuple(SPREAD)


def players(family: str, rng: torch.Generator) -> tuple[nn.Module, nn.Module]:
    """Return a generator of latents (B, L) and a discriminator."""
    if family == "Dirac":
        return Terms((0,), False, rng, (1.0,)), Terms((1,), True, rng, (0.0,))
    if family == "Gaussian":
        return Terms((0, 1), False, rng, (0.5, 1.0)), Terms((1, 2), True, rng, (0.0, 0.0))
    d = modes(family).shape[1]
    depth, width, unit = {"two modes": (1, 6, "tanh"), "square": (1, 10, "tanh"), "ring of 6": (2, 8, "relu")}[family]
    return MLP((2,), (d,), depth, width, unit, rng=rng), MLP((d,), (), depth, width, unit, rng=rng)


def draw(family: str, size: int, rng: torch.Generator) -> dict[str, Tensor]:
    """Return data and latents in float64, about as many of each mode as of the others."""
    centres = modes(family)
    real = centres[torch.arange(size) % len(centres)]
    real = real + SPREAD[family] * torch.randn(real.shape, generator=rng)
    latent = torch.randn(size, 1 if family in ("Dirac", "Gaussian") else 2, generator=rng)
    return {"real": real.double(), "latent": latent.double()}


class Distance:
    """Distance of a generator's samples from a family's data, in units of the data's mean distance from its mean."""

    def __init__(self, family: str) -> None:
        rng = torch.Generator().manual_seed(0)
        batch = draw(family, 4 * BATCH, rng)
        self.latent, real = batch["latent"], batch["real"]
        d = real.shape[1]
        lines = torch.randn(d, PROJECTIONS if d > 1 else 1, generator=rng, dtype=torch.float64)
        self.lines = lines / lines.norm(dim=0)
        self.real = (real @ self.lines).sort(0).values
        self.unit = float((self.real - self.real.mean(0)).abs().mean()) or 1.0  # of the Dirac-GAN's data, a point

    def of(self, generator: nn.Module) -> float:
        """Return the Wasserstein-1 distance, in the plane its mean over projections."""
        with torch.no_grad():
            fake = (generator(self.latent) @ self.lines).sort(0).values
        return float((fake - self.real).abs().mean() / self.unit)


class PerCopy:
    """Mixed into an optimizer of stacked games: each copy has a learning rate and a weight of its own."""

    game: Any

    def with_own(self, rates: np.ndarray, weights: np.ndarray) -> Any:
        self.own_rates, self.own_weights = (torch.from_numpy(x)[:, None] for x in (rates, weights))
        return self

    def rates_at(self, state: State) -> dict[str, Tensor]:
        sizes = {player: part.stop - part.start for player, part in self.game.slices.items()}
        copies = self.game.copies
        return {player: self.own_rates.expand(copies, n // copies).reshape(-1) for player, n in sizes.items()}

    def scaled(self, weight: Any, vector: Tensor, state: State) -> Tensor:
        return self.game.layout.vector_of(self.own_weights * self.game.layout.rows(vector))


class Simultaneous(PerCopy, gt.trainers.Simultaneous):
    """Simultaneous gradient."""


class Alternating(PerCopy, gt.trainers.Alternating):
    """Alternating gradient."""


class Consensus(PerCopy, gt.trainers.Consensus):
    """Consensus."""


METHODS = {"simultaneous": Simultaneous, "alternating": Alternating, "consensus": Consensus}


def trained(family: str, method: str, base: str, steps: int, seeds: list[int]) -> dict[str, np.ndarray]:
    """Train S runs together; each seed draws its rate, its weight of consensus, its players and its batches.

    Returns:
        rate and weight (S,); the radii of `copies_spectra.radii` at step `LOOK`, (S,); "distance" of the samples at
        every `EVERY`-th step, (looks, S); "losses" (steps, S, 2) and "norms" (steps, S) of the field.
    """
    rngs = [np.random.default_rng([seed, *family.encode(), *method.encode(), *base.encode()]) for seed in seeds]
    rates = np.array([10 ** rng.uniform(*RATES[base]) for rng in rngs])
    weights = np.array([10 ** rng.uniform(*WEIGHTS) for rng in rngs])
    streams = [torch.Generator().manual_seed(int(rng.integers(2**62))) for rng in rngs]
    games = [gt.gan(*(module.double() for module in players(family, stream))) for stream in streams]
    game = gt.stacked(games)
    optimizer = METHODS[method](game, base=base).with_own(rates, weights)
    distance = Distance(family)
    fixed = game.each([draw(family, 4 * BATCH, torch.Generator().manual_seed(1))] * len(games))
    series: dict[str, list[np.ndarray]] = {"distance": [], "losses": [], "norms": []}
    found: dict[str, Tensor] = {}
    for step in range(steps + 1):
        if step % EVERY == 0:
            game.hand_out()
            series["distance"].append(np.array([distance.of(one.players["generator"]) for one in games]))
        if step == min(LOOK, steps):
            found = radii(optimizer, fixed)
        if step < steps:
            info = optimizer.step(game.each([draw(family, BATCH, stream) for stream in streams]))
            series["losses"].append(torch.stack(list(info.losses.values()), 1).numpy())
            series["norms"].append(torch.stack(list(info.field_norms.values())).norm(dim=0).numpy())
    looked = {name: values.numpy() for name, values in found.items()}
    return {"rate": rates, "weight": weights, **looked, **{name: np.array(rows) for name, rows in series.items()}}
