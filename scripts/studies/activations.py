"""Effect of the activation of a GAN's players on convergence, rotation, and unstable directions.

The ring of eight Gaussians with the network of The Numerics of GANs, under consensus: each activation in the generator
alone, in the discriminator alone (ReLU in the other player), and in both; in both under simultaneous gradient too.
Classifiers with the same activations are in esp_index.py.

    python scripts/studies/activations.py --jobs 2
    python scripts/studies/activations.py --quick
    tensorboard --logdir runs/activations
"""

from pathlib import Path

from cells import gan_cells
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
        "all": ("By cell", study.Results.figure),
        "modes": ("Modes over the steps, the same activation in both players", in_both),
    },
    pairs=[(f"{name} in both", "relu in both") for name in ACTIVATIONS if name != "relu"],
    compared=("quality", "repelling", "rotation", "leading rotation"),
)
PAGE = study.Page("Activations in the players of a GAN", __doc__, [SECTION])

if __name__ == "__main__":
    study.main(STUDY, PAGE)
