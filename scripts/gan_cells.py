"""What a GAN of a study is measured by: coverage, and the spectra of its Jacobian and of its players' Hessians."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import study
import torch

import gantools as gt

# Below this share of the largest modulus an eigenvalue of float32 products of float32 weights counts as zero.
TOLERANCE = 1e-6
COLUMNS = {
    "modes": "modes of 8", "quality": "quality", "attracting": "Re J > 0", "repelling": "Re J < 0",
    "strongest repulsion": "max -Re J", "rotation": "max abs Im/abs", "largest": "max abs J",
    "alpha generator": "alpha G", "alpha discriminator": "alpha D", "zero rows": "zero rows",
}  # fmt: skip


def measured(args: Sequence[str], folder: Path) -> study.Result:
    """Train `gantools train ARGS` on a mixture in the folder, and measure where it ended.

    Returns:
        Coverage of the last look; of the whole spectrum of the Jacobian J on one batch, in float64: the fractions with
        positive and negative real part, the largest -Re, the largest |Im|/|eigenvalue| of those that are not zero, the
        largest modulus; the negative fraction of each player's own Hessian; rows of J that are exactly zero.
    """
    run, last = study.train_gan(args, folder)
    opened = gt.load(folder)
    opened.game.module.double()
    game = gt.Game(opened.game.players, opened.game.losses)
    batch = {key: value.double() for key, value in opened.experiment.analysis_batch().items()}
    jacobian = gt.analysis.jacobian(game, batch, method="reverse").dense()
    values = torch.linalg.eigvals(jacobian).numpy()
    size = abs(values).max()
    alive = values[abs(values) > TOLERANCE * size]
    result = {
        "modes": last["metrics/modes_covered"], "quality": last["metrics/high_quality"],
        "attracting": float((values.real > TOLERANCE * size).mean()),
        "repelling": float((values.real < -TOLERANCE * size).mean()),
        "strongest repulsion": float(max(0.0, -values.real.min())), "largest": float(size),
        "rotation": float((abs(alive.imag) / abs(alive)).max()),
        "zero rows": float((jacobian.abs().amax(1) == 0).double().mean()), "parameters": game.num_parameters,
        "curves": curve(run, ("modes_covered", "high_quality")),
    }  # fmt: skip
    for player, part in game.slices.items():
        block = jacobian[part, part]
        own = np.linalg.eigvalsh(((block + block.T) / 2).numpy())
        result[f"alpha {player}"] = float((own < -TOLERANCE * abs(own).max()).mean())
    return result


def curve(run: study.RunFolder, names: Sequence[str]) -> dict[str, list[float]]:
    """Return metrics of a run over its steps."""
    looks = [record for record in run.metrics() if f"metrics/{names[0]}" in record]
    return {"step": [record["step"] for record in looks],
            **{name: [record[f"metrics/{name}"] for record in looks] for name in names}}  # fmt: skip
