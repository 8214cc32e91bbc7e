"""Convergence, rotation and unstable directions of a GAN by the activation of its players.

The ring of eight Gaussians with the network of The Numerics of GANs, under consensus: each activation in the generator
alone, in the discriminator alone (ReLU in the other player), and in both; in both under simultaneous gradient too.
Classifiers with the same activations are in esp_index.py.

    python scripts/studies/activations.py --jobs 2
    python scripts/studies/activations.py --tuned --jobs 2
    python scripts/studies/activations.py --quick
    tensorboard --logdir runs/activations
"""

import dataclasses
from pathlib import Path

from cells import gan_cells, gan_steps
from harness import study
from matplotlib.figure import Figure

ACTIVATIONS = {"relu": "relu", "leaky_relu": "leaky_relu", "tanh": "tanh", "sigmoid": "sigmoid", "silu": "silu",
               "esp": "esp(learned=True)"}  # fmt: skip
STEPS = 2500


def flags(cell: study.Cell, seed: int) -> list[str]:
    """Return the flags of one GAN."""
    players = ("generator", "discriminator")
    args = [word for player in players for word in (f"--network.{player}-activation", cell[player])]
    return gan_cells.ring8(cell, seed, *args)


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Train and measure one GAN."""
    return gan_cells.measured(flags(cell, seed), folder)


def cells(names: dict[str, str], **settings: int) -> dict[str, study.Cell]:
    """Return where each activation goes, and under which method."""
    found = {}
    for name, spec in names.items():
        for where in ("both", "generator", "discriminator") if name != "relu" else ("both",):
            placed = {p: spec if where in ("both", p) else "relu" for p in ("generator", "discriminator")}
            found[f"{name} in {where}"] = {"optimizer": "consensus", **settings, **placed}
        both = {"generator": spec, "discriminator": spec}
        found[f"{name} in both, simultaneous"] = {"optimizer": "simultaneous", **settings, **both}
    return found


def in_both(results: study.Results) -> Figure:
    """Draw the modes over the steps where both players have the same activation."""
    chosen = [cell for cell in results.study.cells if "in both" in cell]
    return results.part(chosen, results.study.columns).curves("modes_covered")


STUDY = study.Study(
    "activations",
    run,
    cells(ACTIVATIONS, steps=STEPS, width=16),
    gan_cells.COLUMNS,
    quick=cells({"relu": "relu", "tanh": "tanh"}, steps=60, width=4, looks=1),
    bounds=gan_cells.BOUNDS,
    flags=flags,
)
SECTION = study.Section(
    f"{gan_cells.SETTINGS}; mean and 95 % interval.\n\n{gan_cells.EXPLAINED}",
    figures={
        "all": ("By cell", gan_cells.by_cell),
        "modes": ("Modes over the steps, the same activation in both players", in_both),
    },
    pairs=[(f"{name} in both", "relu in both") for name in ACTIVATIONS if name != "relu"],
    compared=("quality", "repelling", "rotation", "leading rotation"),
)
PAGE = study.Page("Activations in the players of a GAN", __doc__, [SECTION])


# The same cells with rates and gammas of their own, and the spectra of their steps


def flags_tuned(cell: study.Cell, seed: int) -> list[str]:
    """Return the flags of one GAN whose rate and gamma were chosen."""
    players = ("generator", "discriminator")
    return gan_steps.ring8(cell, seed, *(w for p in players for w in (f"--network.{p}-activation", cell[p])))


def run_tuned(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Train and measure one GAN whose rate and gamma were chosen."""
    return gan_steps.measured(cell, flags_tuned(cell, seed), seed, folder)


def cells_tuned(names: dict[str, str], **settings: object) -> dict[str, study.Cell]:
    """Return the cells of the study, with what `gan_steps` asks for."""
    return {name: {**cell, **gan_steps.UNTUNED, **settings} for name, cell in cells(names).items()}


TUNED = dataclasses.replace(
    STUDY,
    name="activations_tuned",
    run=run_tuned,
    cells=cells_tuned(ACTIVATIONS, steps=STEPS, shorter=1000, width=16, every=500, spectra=3, at=(1000, STEPS)),
    columns={**gan_steps.COLUMNS, "gamma": "gamma"},
    quick=cells_tuned({"tanh": "tanh"}, steps=20, shorter=10, width=4, every=10, spectra=1, at=(10, 20)),
    seeds=range(20),
    bounds=gan_steps.BOUNDS,
    trials={"all": "runs"},
    flags=flags_tuned,
    tuning=gan_steps.tuning(1000),
)
TUNED_SECTION = study.Section(
    gan_steps.SETTINGS + gan_steps.EXPLAINED,
    figures=gan_steps.FIGURES,
    pairs=[
        (f"{name} in both{method}", f"relu in both{method}")
        for method in ("", ", simultaneous") for name in ACTIVATIONS if name != "relu"
    ],
    compared=("modes", "quality"),
)  # fmt: skip
TUNED_PAGE = study.Page("Activations in the players of a GAN, each with its own rates", __doc__, [TUNED_SECTION])

FORMS = {"tuned": (TUNED, TUNED_PAGE)}

if __name__ == "__main__":
    study.main(STUDY, PAGE, **FORMS)
