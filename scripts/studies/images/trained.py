"""GANs of images, those of several seeds in one program: fully connected players, measured along the way."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from cells import gan_steps
from harness import study
from images.splits import Split, measured, split, yardsticks

import gantools as gt
from gantools.batches import widened
from gantools.data.seeds import derive_seed, latent
from gantools.data.streams import GanBatches
from gantools.networks import NETWORKS
from gantools.trainers import Adam
from gantools.trainers.copies import states_of_copies

LATENT, DEPTH = 32, 2
PICTURES = 10  # samples that are kept of the first seed
ADAM = Adam(betas=(0.0, 0.99))


def game_of(cell: study.Cell, shape: tuple[int, ...], seed: int, wide: bool = False) -> gt.Game:
    """Return the players of a seed as a game; a complex unit of the generator takes the place of two real ones."""
    rng = torch.Generator().manual_seed(derive_seed(seed, "parameters"))
    width, kind, unit = cell["width"], cell["generator"], cell["activation"]
    real = kind == "mlp"
    made = NETWORKS[kind](depth=DEPTH, width=width if real else width // 2)  # type: ignore[call-arg]
    generator = made.generator(LATENT, shape, unit if real else "crelu", rng)
    discriminator = NETWORKS["mlp"](depth=DEPTH, width=width).discriminator(shape, unit, rng)  # type: ignore[call-arg]
    if wide:
        generator, discriminator = generator.double(), discriminator.double()
    penalties = [gt.regularizers.R1(gamma=cell["r1"])] if "r1" in cell else []
    return gt.gan(generator, discriminator, "nonsaturating", penalties)


def optimizer_of(cell: study.Cell, game: gt.Game) -> Any:
    """Return the method of a cell for one game, or for the copies of several seeds."""
    method = cell["optimizer"]
    own = {"gamma": cell["gamma"]} if method == "consensus" else {}
    return gt.trainers.make(method, game, lr=cell["lr"], base=ADAM, **own)


def together(cell: study.Cell, seeds: Sequence[int]) -> dict[int, study.Result]:
    """Train a cell's GANs, one for each seed, in one program, and measure each; see `run_of` for the numbers."""
    parts = [split(cell["data"], seed) for seed in seeds]
    shape = parts[0].training.shape
    games = [game_of(cell, shape, seed) for seed in seeds]
    game: Any = gt.stacked(games) if len(games) > 1 else games[0]
    optimizer = optimizer_of(cell, game)
    batches = [GanBatches(p.training, cell["batch"], LATENT, seed, regularizers=g.regularizers)
               for p, seed, g in zip(parts, seeds, games, strict=True)]  # fmt: skip
    curves: list[dict[str, list[float]]] = [{} for _ in seeds]
    spectra: list[dict[str, float]] = [{} for _ in seeds]
    for step in range(1, cell["steps"] + 1):
        own = [one[step - 1] for one in batches]
        optimizer.step(game.each(own) if len(games) > 1 else own[0])
        if step % cell["every"] and step != cell["steps"]:
            continue
        if len(games) > 1:
            game.hand_out()
        states = states_of_copies(optimizer) if len(games) > 1 else [optimizer.state_dict()]
        for place, seed in enumerate(seeds):
            _look(curves[place], step, games[place], parts[place], seed)
            if step in cell["at"] and place < cell["spectra"] and _finite(games[place]):
                found = _spectra(cell, shape, seed, games[place], states[place], batches[place][step])
                spectra[place] |= {f"radius at {step}": found["radius"]} | found
    return {seed: run_of(cell, seed, games[k], curves[k], spectra[k]) for k, seed in enumerate(seeds)}


def run_of(
    cell: study.Cell, seed: int, game: gt.Game, curves: dict[str, list[float]], spectra: dict[str, float]
) -> study.Result:
    """Return the numbers of a trained GAN: quality over the later half of the steps, spectra, settings, yardsticks."""
    if not _finite(game):
        return {"failed": "A parameter is NaN or infinite: training has diverged."}
    late = [k for k, step in enumerate(curves["step"]) if 2 * step >= cell["steps"]]
    mean = {name: sum(curves[name][k] for k in late) / len(late) for name in ("coverage", "log kernel")}
    quality = {**mean, "copied": curves["copied"][-1]}
    chosen = {name: cell[name] for name in ("lr", "gamma", "r1") if name in cell}
    parameters = {f"parameters of {name}": sum(p.numel() for p in game.players[name].parameters())
                  for name in ("generator", "discriminator")}  # fmt: skip
    result = {"data": cell["data"], **quality, **spectra, **chosen, **parameters, "curves": curves}
    if cell["spectra"]:  # no trial
        result |= yardsticks(cell["data"], seed) | {"pictures": _pictures(game, seed)}
    return result


def _finite(game: gt.Game) -> bool:
    return bool(game.vector().isfinite().all())


@torch.no_grad()
def _samples(game: gt.Game, n: int, seed: int) -> torch.Tensor:
    return game.players["generator"](latent(0, n, LATENT, seed, "metrics"))


def _look(curves: dict[str, list[float]], step: int, game: gt.Game, parts: Split, seed: int) -> None:
    """Add what a GAN's samples are like at this step."""
    if _finite(game):
        for name, value in {"step": step, **measured(_samples(game, parts.samples, seed), parts)}.items():
            curves.setdefault(name, []).append(value)


def _pictures(game: gt.Game, seed: int) -> list[list[list[int]]]:
    """Return a few samples as grey levels, 0 to 255, row by row."""
    return ((_samples(game, PICTURES, seed)[:, 0] + 1) * 127.5).round().int().tolist()


def _spectra(
    cell: study.Cell, shape: tuple[int, ...], seed: int, game: gt.Game, state: dict[str, Any], batch: Any
) -> dict[str, float]:
    """Return the spectra of a method's step from this point and state, in float64."""
    wide = game_of(cell, shape, seed, wide=True)
    wide.load_vector(game.vector().double())
    optimizer = optimizer_of(cell, wide)
    optimizer.load_state_dict(widened(state))
    found = gan_steps.spectra_of(optimizer, widened(batch))
    return {name: value for name, value in found.items() if math.isfinite(value)}
