"""Small games that consensus solves on one batch, and the steps that each of many weights needs."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor, nn

import gantools as gt
from gantools.trainers.field_graph import FieldGraph

NEUTRAL = 1e-6  # of the spectral norm: what is smaller belongs to directions in which nothing happens
SAMPLES = 33
Made = tuple[gt.Game, Any]  # a game at its start, and its batch


class Vector(nn.Module):
    """A player that is a vector."""

    def __init__(self, value: Tensor) -> None:
        super().__init__()
        self.value = nn.Parameter(value)


class Line(nn.Module):
    """The map w x of one number, or the sum of terms w_k x^k of several."""

    def __init__(self, value: Tensor, powers: Sequence[int]) -> None:
        super().__init__()
        self.value, self.powers = nn.Parameter(value), powers

    def forward(self, x: Tensor) -> Tensor:
        return sum(w * x**k for w, k in zip(self.value, self.powers, strict=True))


def linear(attraction: float) -> Callable[[np.random.Generator], Made]:
    """Return zero-sum games of three numbers each: a random coupling and random convex terms, none if they are 0."""

    def made(rng: np.random.Generator) -> Made:
        A = torch.from_numpy(rng.normal(size=(3, 3)))
        P, Q = (torch.from_numpy(rng.normal(size=(3, 3))) for _ in range(2))

        def losses(players: Any, batch: Any) -> dict[str, Tensor]:
            x, y = players["x"].value, players["y"].value
            f = x @ A @ y + attraction / 2 * ((P @ x) ** 2).sum() - attraction / 2 * ((Q @ y) ** 2).sum()
            return {"x": f, "y": -f}

        players = {name: Vector(torch.from_numpy(rng.normal(size=3))) for name in "xy"}
        return gt.Game(players, losses), {"none": torch.zeros(1, dtype=torch.float64)}

    return made


def dirac(rng: np.random.Generator) -> Made:
    """Return the Dirac-GAN with the nonsaturating loss, away from its equilibrium."""
    start = torch.from_numpy(rng.normal(size=2))
    batch = {key: torch.full((1, 1), value, dtype=torch.float64) for key, value in {"real": 0.0, "latent": 1.0}.items()}
    return gt.gan(Line(start[:1], (1,)), Line(start[1:], (1,)), "nonsaturating"), batch


def quantiles() -> Tensor:
    """Return the quantiles of N(0, 1) as a column: data and latents that are the same in every game."""
    return torch.from_numpy(norm.ppf((np.arange(SAMPLES) + 0.5) / SAMPLES))[:, None]


def gaussian(rng: np.random.Generator) -> Made:
    """Return a Gaussian generator against a quadratic discriminator, near the equilibrium at mean 0 and scale 1."""
    away = torch.from_numpy(0.3 * rng.normal(size=4))
    generator = Line(torch.tensor([0.0, 1.0], dtype=torch.float64) + away[:2], (0, 1))
    game = gt.gan(generator, Line(away[2:], (1, 2)), "nonsaturating")
    return game, {"real": quantiles(), "latent": quantiles()}


GAMES: dict[str, Callable[[np.random.Generator], Made]] = {
    "bilinear": linear(0.0),
    "quadratic": linear(0.3),
    "Dirac-GAN": dirac,
    "Gaussian GAN": gaussian,
}


def jacobian(game: gt.Game, batch: Any, w: Tensor) -> np.ndarray:
    """Return J (n, n) at a point; the game is left there."""
    game.load_vector(w)
    return gt.analysis.jacobian(game, batch).dense().numpy()


def radius(J: np.ndarray, gamma: float, h: float) -> float:
    """Return the spectral radius of I - h (J + gamma J^T J), directions apart in which nothing happens."""
    values = np.linalg.eigvals(J + gamma * J.T @ J)
    return float(abs(1 - h * values[abs(values) > NEUTRAL * np.linalg.norm(J, 2)]).max())


def best_weight(J: np.ndarray, h: float, gammas: np.ndarray) -> float:
    """Return the weight of least radius, of those given."""
    return float(gammas[np.argmin([radius(J, gamma, h) for gamma in gammas])])


def paths(make: Callable[[], Made], gammas: np.ndarray, h: float, steps: int) -> tuple[np.ndarray, Tensor]:
    """Return the norms of the field (steps + 1, weights) and the last points (weights, n) of plain consensus steps."""
    copies = [make() for _ in gammas]
    game, batch = gt.stacked([one for one, _ in copies]), copies[0][1]
    batch = game.each([batch] * len(gammas))
    game.examine(batch, derivatives=True)
    layout, w, norms = game.layout, game.vector(), []
    n = game.num_parameters // len(gammas)
    weights = layout.vector_of(torch.from_numpy(gammas)[:, None].expand(-1, n))
    for step in range(steps + 1):
        graph = FieldGraph(game, w, game.live_buffers(), batch)
        field = graph.value.vector
        norms.append(layout.rows(field).norm(dim=1).numpy())
        if step < steps:
            w = w - h * (field + weights * graph.transposed(field))
    return np.array(norms), layout.rows(w)


def steps_needed(norms: np.ndarray, reduction: float, most: float) -> np.ndarray:
    """Return the steps after which each column of norms (steps + 1, weights) stays below `reduction` of its first.

    A run that has not come so far is continued at its mean rate, up to `most` times its length; so is what diverges.
    """
    steps = len(norms) - 1
    relative = np.where(np.isfinite(norms), norms, np.inf) / norms[0]
    above = relative > reduction
    needed = np.where(above.any(0), steps + 1 - np.argmax(above[::-1], 0), 0).astype(float)
    last = np.clip(relative[-1], 1e-300, None)
    with np.errstate(divide="ignore"):
        onwards = np.where(last < 1, steps * np.log(reduction) / np.minimum(np.log(last), -1e-300), np.inf)
    return np.minimum(np.where(above[-1], onwards, needed), most * steps)
