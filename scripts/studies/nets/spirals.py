"""A task meant to tell integrators apart: two spirals with noise, on which a residual net is right in nine of ten.

On the 97 points a spiral of Lang and Witbrock the nets of the study of integrators were right on 0.45 to 0.57 of the
points they had not seen, so nothing followed for the schemes. Here each spiral has 1000 points with noise of 0.02
(neighbouring arms are 0.15 apart), of which a quarter is for training, and coordinates are multiplied by 6.
Classifiers that differ in their scheme alone, with about as many parameters and with half the blocks.

    pip install -e ".[ode]"
    python scripts/studies spirals --jobs 2
    python scripts/studies spirals --quick
"""

from pathlib import Path

import integrators
from cells import integrator_cells
from harness import study

TASK: study.Cell = {
    "task": "two_spirals", "drawn": {"points": 1000, "noise": 0.02}, "scale": 6, "fraction": 0.25, "batch": 128,
}  # fmt: skip
STEPS, MARGIN = 600, 0.01


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Train one classifier."""
    return integrator_cells.classified(cell, seed)


def cells(steps: int) -> dict[str, study.Cell]:
    """Return a cell for every scheme with 8 blocks, and for some with 4."""
    found = {name: {**TASK, "scheme": name, "blocks": 8, "steps": steps} for name in integrators.NETS}
    return found | {
        f"{name}, half the blocks": {**TASK, "scheme": name, "blocks": 4, "steps": steps} for name in integrators.HALVED
    }


def verdict(results: study.Results) -> list[str]:
    """Return the claim of LM-ResNet, and whether schemes differ here at all."""
    half, full = "LM-ResNet, half the blocks", "ResNet"
    found = results.contrast(half, full, "test")
    near = abs(found.mean) + found.half <= MARGIN
    return [
        "Claim (arXiv:1710.10121): an LM-ResNet reaches a ResNet's accuracy with half as many parameters. "
        f"{results.difference(half, full, 'test')} Equal within {MARGIN}: {'yes' if near else 'not shown'}.",
        *(results.difference(name, full, "test") for name in results.study.cells if name not in (half, full)),
    ]


NETS = list(cells(STEPS))
STUDY = study.Study(
    "spirals",
    run,
    cells(STEPS),
    integrators.NET,
    quick=cells(3),
    bounds={"train": (0.0, 1.0), "test": (0.0, 1.0), "loss": (0.0, float("inf"))},
)
SECTION = study.Section(
    """Classifiers of 8 blocks, or 4 where said, Adam from 1e-2 to 1e-3, {steps} steps on batches of {batch} of the 500
points for training; the flow has one f for all its steps, as wide as the others' f together. Fractions of right
answers on these points and on the other 1500, and the cross-entropy of the last step. {seeds} seeds, mean and 95 %
interval.""",
    figures={"net": ("Classifiers", study.Results.figure)},
    pairs=[(name, "ResNet") for name in NETS if name != "ResNet"],
    compared=("test",),
)
PAGE = study.Page("Integrators on spirals", __doc__, [SECTION], verdict)
