"""Whether complex and unitary parametrizations steady a GAN: real against complex, at equal size and at equal width.

The ring of eight Gaussians: fully connected players, real, complex, and complex with unitary maps between hidden
layers, of the same depth; with as many units as the real one, and with about as many real parameters. Under
simultaneous gradient and under consensus. That complex numbers help is a hypothesis of ours, not a published result.

    python scripts/complex_parametrizations.py --jobs 2
    python scripts/complex_parametrizations.py --quick
    tensorboard --logdir runs/complex_parametrizations
"""

import dataclasses
from pathlib import Path

import gan_cells
import study

STEPS = 2500
# Hidden units of each of the four layers; a complex one has two numbers.
NETWORKS = {
    "real, width 12": ("mlp", 12, "relu"), "real, width 14": ("mlp", 14, "relu"),
    "real, width 18": ("mlp", 18, "relu"),
    "complex, width 12": ("complex_mlp", 12, "crelu"), "complex, width 8": ("complex_mlp", 8, "crelu"),
    "complex modReLU, width 12": ("complex_mlp", 12, "modrelu"), "unitary, width 12": ("unitary_mlp", 12, "modrelu"),
}  # fmt: skip


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Train and measure one GAN."""
    looks = str(cell["steps"] // (10 if cell["steps"] >= 1000 else 1))  # a look draws pictures
    args = ["--data", "ring8", "--network", cell["network"], "--network.width", str(cell["width"]), "--seed", str(seed)]
    args += ["--activation", cell["activation"], "--optimizer", cell["optimizer"], "--optimizer.lr", "1e-3"]
    args += ["--steps", str(cell["steps"]), "--batch-size", "256", "--sample-every", looks, "--spectrum-every", "0"]
    return gan_cells.measured([*args, "--log-every", "50", "--checkpoint-every", looks], folder)


def cells(steps: int, names: dict[str, tuple[str, int, str]]) -> dict[str, study.Cell]:
    """Return every network under both methods."""
    keys = ("network", "width", "activation")
    return {
        f"{name}, {optimizer}": dict(zip(keys, network, strict=True)) | {"optimizer": optimizer, "steps": steps}
        for optimizer in ("consensus", "simultaneous") for name, network in names.items()
    }  # fmt: skip


COLUMNS = {"parameters": "parameters", **gan_cells.COLUMNS}
STUDY = study.Study("complex_parametrizations", run, cells(STEPS, NETWORKS), COLUMNS)
PAGE = """# Real, complex and unitary players

    python scripts/complex_parametrizations.py --jobs 2

{text}

{steps} steps, batches of 256, RMSProp, learning rate 1e-3, gamma 10 for consensus, {seeds} seeds; mean and 95 %
interval.

{columns} The spectrum is that of the real field: a complex number counts as two.

{table}

![By cell](complex_parametrizations-all.png)

![Modes over the steps](complex_parametrizations-modes.png)

Seed by seed, against real networks of as many parameters and then of the same width:

{verdict}
"""
# Of about the same number of real parameters, and of the same width.
PAIRS = [
    ("complex, width 8", "real, width 12"), ("complex, width 12", "real, width 18"),
    ("complex modReLU, width 12", "real, width 18"), ("unitary, width 12", "real, width 14"),
    ("complex, width 12", "real, width 12"), ("unitary, width 12", "real, width 12"),
]  # fmt: skip


def page(results: study.Results) -> str:
    """Return the page."""
    said = [
        results.difference(f"{cell}, {optimizer}", f"{baseline}, {optimizer}", column)
        for optimizer in ("consensus", "simultaneous") for cell, baseline in PAIRS
        for column in ("modes", "quality", "strongest repulsion", "rotation", "leading rotation")
        if {f"{cell}, {optimizer}", f"{baseline}, {optimizer}"} <= set(results.study.cells)
    ]  # fmt: skip
    text = " ".join((__doc__ or "").split("\n\n")[1].split())
    steps = next(iter(results.study.cells.values()))["steps"]
    verdict = "\n".join(f"- {sentence}" for sentence in said)
    return PAGE.format(text=text, steps=steps, seeds=len(results.study.seeds), columns=gan_cells.EXPLAINED,
                       table=results.table(), verdict=verdict)  # fmt: skip


def main() -> None:
    """Run it, or its quick form."""
    args, chosen = study.parser(__doc__).parse_args(), STUDY
    if args.quick:
        few = ("real, width 12", "complex, width 12", "unitary, width 12")
        names = {name: (NETWORKS[name][0], 4, NETWORKS[name][2]) for name in few}
        chosen = dataclasses.replace(STUDY, cells=cells(60, names), seeds=range(2))
    study.conduct(chosen, args, page, {"all": study.Results.figure, "modes": lambda r: r.curves("modes_covered")})


if __name__ == "__main__":
    main()
