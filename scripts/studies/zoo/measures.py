"""Measures of health of a trained game: one number, and the limit that it must not exceed."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

import gantools as gt

SAMPLES = 1024


@dataclasses.dataclass(frozen=True)
class Measure:
    """A number computed from a trained game and its batches, small where the game is well.

    Attributes:
        text: what it is.
        function: (game, batches) -> number; one that is not finite is sick.
        limit: the largest number of a game that is well.
    """

    text: str
    function: Callable[[Any, Any], float]
    limit: float

    @torch.no_grad()
    def __call__(self, game: Any, batches: Any) -> float:
        """Return the number, infinite where the players or their samples are not finite."""
        if not game.vector().isfinite().all():
            return float("inf")
        torch.manual_seed(20)
        # A batch by itself, or several, which regularizers that draw numbers make a stream.
        value = self.function(game, batches if isinstance(batches, (dict, Tensor)) else list(batches))
        return value if value == value else float("inf")


def distance(limit: float = 0.05, spread: bool = False) -> Measure:
    r"""Return the energy distance of generated samples to the data, in units of the spread of the data.

    $$\frac{2 E|x - y| - E|x - x'| - E|y - y'|}{E|x - x'|}$$, columns divided by their standard deviation in the data:
    its first rows, or rows from all of it where its order matters.
    """
    return Measure("energy distance", partial(_distance, spread=spread), limit)


def missing_modes(modes: int, radius: float, limit: float = 0) -> Measure:
    """Return how many of the modes on the unit circle hold less than a quarter of their share of the samples."""

    def missed(game: Any, batches: Any) -> float:
        angle = 2 * torch.pi * torch.arange(modes) / modes
        centres = torch.stack([angle.cos(), angle.sin()], 1)
        samples = _samples(game, batches)
        if not samples.isfinite().all():
            return float("inf")
        return modes - gt.metrics.mode_coverage(samples, centres, radius, SAMPLES // (4 * modes)).covered

    return Measure(f"modes missed of {modes}", missed, limit)


def from_origin(limit: float) -> Measure:
    """Return the distance of all players from the equilibrium at 0."""
    return Measure("distance from equilibrium", lambda game, batches: float(game.vector().norm()), limit)


def last_shift(limit: float) -> Measure:
    """Return the norm of the generator's shift, which is 0 at the equilibrium."""
    return Measure("shift", lambda game, batches: float(game.players["generator"].shift.norm()), limit)


def reconstruction(limit: float) -> Measure:
    """Return the autoencoder's squared error over the variance of the data."""

    def error(game: Any, batches: Any) -> float:
        real = torch.cat([batch["real"] for batch in batches[:10]])
        model = game.players["autoencoder"]
        if "latent" in batches[0]:
            found = model(real, torch.zeros(len(real), *batches[0]["latent"].shape[1:]))[0]
        else:
            found = model(real)
        return float((found - real).square().mean() / real.var())

    return Measure("squared error over variance", error, limit)


def sound(limit: float) -> Measure:
    """Return the mean deviation of the spectrum of generated waves, over that of the mean spectrum."""

    def error(game: Any, batches: Any) -> float:
        given = torch.cat([batch["latent"] for batch in batches[:10]])
        found = torch.fft.rfft(game.players["generator"](given)).abs() / 4
        return float((found - given).abs().mean() / (given - given.mean(0)).abs().mean())

    return Measure("deviation of spectra", error, limit)


def errors(limit: float) -> Measure:
    """Return the fraction of samples that a classifier takes for another class."""

    def fraction(game: Any, batches: Any) -> float:
        wrong = [(game.players["model"](b["x"]).argmax(1) != b["label"]).float().mean() for b in batches]
        return float(torch.stack(wrong).mean())

    return Measure("errors", fraction, limit)


def _samples(game: Any, batches: Any) -> Tensor:
    generator = game.players["generator"]
    shape = batches[0]["latent"].shape[1:]
    was = generator.training
    samples = generator.eval()(torch.randn(SAMPLES, *shape, dtype=batches[0]["latent"].dtype))
    generator.train(was)
    return samples


def _distance(game: Any, batches: Any, spread: bool) -> float:
    real = torch.cat([batch["real"] for batch in batches])
    real = real[:: max(1, len(real) // SAMPLES)][:SAMPLES] if spread else real[:SAMPLES]
    scale = real.std(0)
    return _apart(real / scale, _samples(game, batches) / scale)


def _apart(x: Tensor, y: Tensor) -> float:
    """Return the energy distance of two samples (n, d) over the spread of the first, infinite where it is none."""
    if not y.isfinite().all():
        return float("inf")
    spread = _mean_distance(x, x)
    return float((2 * _mean_distance(x, y) - spread - _mean_distance(y, y)) / spread)


def _mean_distance(x: Tensor, y: Tensor) -> Tensor:
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist").mean()


def pictures(limit: float) -> Measure:
    """Return the energy distance of generated pictures to the data over the spread of the data."""

    def distance(game: Any, batches: Any) -> float:
        real = torch.cat([batch["real"] for batch in batches])[:SAMPLES]
        return _apart(real.flatten(1), _samples(game, batches).flatten(1))

    return Measure("energy distance", distance, limit)


def pairs(limit: float) -> Measure:
    """Return the energy distance of pairs of a condition and a sample to those of the data, over their spread."""

    def distance(game: Any, batches: Any) -> float:
        real, given, latent = (torch.cat([b[key] for b in batches])[:SAMPLES] for key in ("real", "label", "latent"))
        latent = torch.randn_like(latent)
        return _apart(torch.cat([real, given], 1), torch.cat([game.players["generator"](latent, given), given], 1))

    return Measure("energy distance", distance, limit)


def gain(limit: float) -> Measure:
    """Return what both players of a matrix game would win by answering the other's policy best, mean of its rounds."""

    def found(game: Any, batches: Any) -> float:
        p, q = (game.players[name].value.softmax(1) for name in ("row", "column"))
        best = torch.einsum("rij,rj->ri", batches["payoff"], q).amax(1)
        return float((best - torch.einsum("ri,rij->rj", p, batches["payoff"]).amin(1)).mean())

    return Measure("gain of best answers", found, limit)


def budget_missed(budget: float, limit: float) -> Measure:
    """Return how far the mean probability of an alarm is from its budget where there is no cause for an alarm."""

    def found(game: Any, batches: Any) -> float:
        logits = torch.cat([game.players["model"](b["x"][~b["alarm"]]) for b in batches])
        return abs(float(logits.sigmoid().mean()) - budget)

    return Measure("distance from budget", found, limit)


def effects(known: Sequence[float], limit: float) -> Measure:
    """Return the distance of the coefficients of a linear model from the effects that made the data."""

    def found(game: Any, batches: Any) -> float:
        return float((game.players["model"].weight - torch.tensor(known)).norm())

    return Measure("distance from effects", found, limit)
