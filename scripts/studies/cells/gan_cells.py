"""Training and measures of a GAN: coverage, and the spectra of its Jacobian and of its players' Hessians."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from harness import study
from matplotlib.figure import Figure

import gantools as gt

# Below this share of the largest modulus an eigenvalue of float32 products of float32 weights counts as zero.
TOLERANCE = 1e-6
LEADING = 20
COLUMNS = {
    "modes": "modes of 8", "quality": "quality", "attracting": "Re J > 0", "repelling": "Re J < 0",
    "repulsion": "repulsion", "rotation": "rotation", "leading rotation": "leading rotation",
    "alpha generator": "alpha G", "alpha discriminator": "alpha D", "zero rows": "zero rows",
}  # fmt: skip
BOUNDS = {"modes": (0.0, 8.0), **dict.fromkeys((name for name in COLUMNS if name != "modes"), (0.0, 1.0))}
SHOWN = {name: COLUMNS[name] for name in ("modes", "quality", "repelling", "repulsion", "rotation", "leading rotation")}
MODES = ("Modes over the steps", lambda results: results.curves("modes_covered"))
# Explanation of these cells and columns on a page.
SETTINGS = "{steps} steps, batches of 256, RMSProp, learning rate 1e-3, gamma 10 for consensus, {seeds} seeds"
EXPLAINED = f"""Columns: of the last look, how many of the eight modes hold at least 25 of 2560 samples within 0.1,
and as quality the fraction of samples within 0.1 of any mode. The rest is of the Jacobian J of the players' field at
the end, all its eigenvalues in float64 on one batch; positive real parts attract. "Re J > 0" and "Re J < 0" are the
fractions of eigenvalues that attract and that repel, by more than {TOLERANCE:g} of the largest modulus. The size of
eigenvalues is that of the losses, which says nothing of stability, so repulsion is the largest -Re and rotation the
largest |Im| of all eigenvalues, both divided by the largest modulus; leading rotation is the mean of
|Im|/|eigenvalue| over the {LEADING} eigenvalues of largest modulus, from 0 where they only attract or repel to 1 where
they only rotate. "alpha G" and "alpha D" are the fractions of negative eigenvalues of the generator's and the
discriminator's own Hessian; "zero rows" is the fraction
of parameters that no sample of the batch feels, of dead units for the most part."""


def by_cell(results: study.Results) -> Figure:
    """Draw what is most asked for, by cell."""
    return results.part(results.study.cells, SHOWN).figure()


def ring8(cell: study.Cell, seed: int, *args: str) -> list[str]:
    """Return the flags of a GAN on the ring of eight Gaussians with a cell's optimizer, steps and width, and ten looks.

    `measured` trains and measures it.
    """
    # A look draws pictures: quick cells have fewer.
    every = str(max(1, cell["steps"] // cell.get("looks", 10)))
    settings = {"data": "ring8", "optimizer": cell["optimizer"], "optimizer.lr": "1e-3", "seed": str(seed),
                "network.width": str(cell["width"]), "steps": str(cell["steps"]), "batch-size": "256",
                "sample-every": every, "checkpoint-every": every, "spectrum-every": "0", "log-every": "50"}  # fmt: skip
    return [*(word for name, value in settings.items() for word in (f"--{name}", value)), *args]


def measured(args: Sequence[str], folder: Path) -> study.Result:
    """Train `gantools train ARGS` on a mixture in the folder, and measure the GAN of the last step.

    Returns:
        Coverage of the last look; of the whole spectrum of the Jacobian J on one batch, in float64: the fractions with
        positive and negative real part, the largest -Re and both `rotations` over the largest modulus; the negative
        fraction of each player's own Hessian; the fraction of rows of J that are exactly zero.
    """
    run, last = study.train_gan(args, folder)
    opened = gt.load(folder)
    opened.game.module.double()
    game = gt.Game(opened.game.players, opened.game.losses)
    batch = {key: value.double() for key, value in opened.experiment.analysis_batch().items()}
    jacobian = gt.analysis.jacobian(game, batch, method="reverse").dense()
    values = torch.linalg.eigvals(jacobian).numpy()
    size = abs(values).max()
    rotation, leading = rotations(values)
    result = {
        "modes": last["metrics/modes_covered"], "quality": last["metrics/high_quality"],
        "attracting": float((values.real > TOLERANCE * size).mean()),
        "repelling": float((values.real < -TOLERANCE * size).mean()),
        "repulsion": float(max(0.0, -values.real.min()) / size), "largest": float(size),
        "rotation": rotation, "leading rotation": leading,
        "zero rows": float((jacobian.abs().amax(1) == 0).double().mean()), "parameters": game.num_parameters,
        "curves": curve(run, ("modes_covered", "high_quality")),
    }  # fmt: skip
    for player, part in game.slices.items():
        block = jacobian[part, part]
        own = np.linalg.eigvalsh(((block + block.T) / 2).numpy())
        result[f"alpha {player}"] = float((own < -TOLERANCE * abs(own).max()).mean())
    return result


def rotations(values: np.ndarray) -> tuple[float, float]:
    """Return max |Im| / max |eigenvalue|, and the mean of |Im|/|eigenvalue| over the `LEADING` of largest modulus.

    Not the largest |Im|/|eigenvalue| of all: some pair that is tiny and noise always turns by a right angle.
    """
    ordered = values[np.argsort(-abs(values))]
    size = abs(ordered)
    leading = size[:LEADING] > TOLERANCE * size[0]
    if not leading.any():
        return 0.0, 0.0
    turns = abs(ordered.imag[:LEADING][leading]) / size[:LEADING][leading]
    return float(abs(values.imag).max() / size[0]), float(turns.mean())


def curve(run: study.RunFolder, names: Sequence[str]) -> dict[str, list[float]]:
    """Return metrics of a run over its steps."""
    looks = [record for record in run.metrics() if f"metrics/{names[0]}" in record]
    return {"step": [record["step"] for record in looks],
            **{name: [record[f"metrics/{name}"] for record in looks] for name in names}}  # fmt: skip
