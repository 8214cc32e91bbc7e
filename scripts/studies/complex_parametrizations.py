"""Whether complex and unitary parametrizations steady a GAN: real against complex, at equal size and at equal width.

The ring of eight Gaussians: fully connected players, real, complex, and complex with unitary maps between hidden
layers, of the same depth; with as many units as the real one, and with about as many real parameters. Under
simultaneous gradient and under consensus. That complex numbers help is a hypothesis of ours, not a published result.

    python scripts/studies/complex_parametrizations.py --jobs 2
    python scripts/studies/complex_parametrizations.py --quick
    tensorboard --logdir runs/complex_parametrizations
"""

from pathlib import Path

from cells import gan_cells
from harness import study

STEPS = 2500
OPTIMIZERS = ("consensus", "simultaneous")
# Network, hidden units of each of the four layers, activation; a complex unit has two numbers.
NETWORKS = {
    "real, width 12": ("mlp", 12, "relu"), "real, width 14": ("mlp", 14, "relu"),
    "real, width 18": ("mlp", 18, "relu"),
    "complex, width 12": ("complex_mlp", 12, "crelu"), "complex, width 8": ("complex_mlp", 8, "crelu"),
    "complex modReLU, width 12": ("complex_mlp", 12, "modrelu"), "unitary, width 12": ("unitary_mlp", 12, "modrelu"),
}  # fmt: skip
# For the quick form.
SMALL = {
    "real, width 12": ("mlp", 4, "relu"), "complex, width 12": ("complex_mlp", 4, "crelu"),
    "unitary, width 12": ("unitary_mlp", 4, "modrelu"),
}  # fmt: skip
# Of about the same number of real parameters, and of the same width.
PAIRS = [
    ("complex, width 8", "real, width 12"), ("complex, width 12", "real, width 18"),
    ("complex modReLU, width 12", "real, width 18"), ("unitary, width 12", "real, width 14"),
    ("complex, width 12", "real, width 12"), ("unitary, width 12", "real, width 12"),
]  # fmt: skip


def flags(cell: study.Cell, seed: int) -> list[str]:
    """Return the flags of one GAN."""
    return gan_cells.ring8(cell, seed, "--network", cell["network"], "--activation", cell["activation"])


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Train and measure one GAN."""
    return gan_cells.measured(flags(cell, seed), folder)


def cells(names: dict[str, tuple[str, int, str]], **settings: int) -> dict[str, study.Cell]:
    """Return every network under both methods."""
    keys = ("network", "width", "activation")
    return {
        f"{name}, {optimizer}": {**dict(zip(keys, network, strict=True)), "optimizer": optimizer, **settings}
        for optimizer in OPTIMIZERS for name, network in names.items()
    }  # fmt: skip


STUDY = study.Study(
    "complex_parametrizations",
    run,
    cells(NETWORKS, steps=STEPS),
    {"parameters": "parameters", **gan_cells.COLUMNS},
    quick=cells(SMALL, steps=60, looks=1),
    bounds=gan_cells.BOUNDS,
    flags=flags,
)
SECTION = study.Section(
    f"{gan_cells.SETTINGS}; mean and 95 % interval. The spectrum is that of the real field, a complex number counting "
    f"as two.\n\n{gan_cells.EXPLAINED}\n\nCompared are real networks of as many parameters, and in the last two "
    "pairs of the same width.",
    figures={"all": ("By cell", study.Results.figure), "modes": gan_cells.MODES},
    pairs=[
        (f"{cell}, {optimizer}", f"{baseline}, {optimizer}") for optimizer in OPTIMIZERS for cell, baseline in PAIRS
    ],
    compared=("modes", "quality", "strongest repulsion", "rotation", "leading rotation"),
)
PAGE = study.Page("Real, complex and unitary players", __doc__, [SECTION])

if __name__ == "__main__":
    study.main(STUDY, PAGE)
