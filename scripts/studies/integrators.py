"""Nets as integrators: the worth of a scheme's order, of its number of evaluations, and of its memory.

The order of each block on the logistic equation, and its error at 32 evaluations of f; residual classifiers that differ
in their scheme alone, with about as many parameters and with half the blocks, on two spirals and on the wave of the ESP
experiment; and the memory of reversible nets over their depth. GANs whose generator flows are in flowing_generators.py.

    pip install -e ".[ode]"
    python scripts/studies/integrators.py --jobs 2
    python scripts/studies/integrators.py --quick
    tensorboard --logdir runs/integrators
"""

import math
from pathlib import Path

from cells import integrator_cells
from harness import study

STEPS = {"spirals": 2000, "wave": 1000}
TASKS = {"spirals": "two_spirals", "wave": "esp_nonlinear"}
NETS = ("ResNet", "LM-ResNet", "RevNet", "PolyNet", "FractalNet, identity", "ODE, rk4")
HALVED = ("ResNet", "LM-ResNet")


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Run one cell of any kind."""
    measure = {"order": integrator_cells.order, "net": integrator_cells.classified, "memory": integrator_cells.memory}
    return measure[cell["kind"]](cell, seed)


def cells(steps: dict[str, int], depths: tuple[int, ...]) -> dict[str, study.Cell]:
    """Return the cells of all three kinds."""
    found: dict[str, study.Cell] = {
        f"order, {name}": {"kind": "order", "scheme": name} for name in integrator_cells.SCHEMES
    }
    for points in TASKS:
        for name, blocks in [*((name, 8) for name in NETS), *((name, 4) for name in HALVED)]:
            label = f"{points}, {name}" + (", half the blocks" if blocks == 4 else "")
            found[label] = {"kind": "net", "task": TASKS[points], "scheme": name, "blocks": blocks,
                            "steps": steps[points]}  # fmt: skip
    return found | {f"memory, {depth} blocks": {"kind": "memory", "depth": depth} for depth in depths}


def verdict(results: study.Results) -> list[str]:
    """Return the papers' claims, each with the numbers that support it or do not."""
    said = ["Claim (arXiv:1710.10121): an LM-ResNet reaches a ResNet's accuracy with half as many parameters."]
    for points in TASKS:
        baseline, half = f"{points}, ResNet", f"{points}, LM-ResNet, half the blocks"
        said.append(results.difference(half, baseline, "test"))
        said += untold(results, points)
    memories = [name for name, cell in results.study.cells.items() if cell["kind"] == "memory"]
    few, many = memories[0], memories[-1]
    undone, stored = (results.mean(many, column) / results.mean(few, column) for column in ("undone", "stored"))
    return [
        *said,
        f"Claim (arXiv:1707.04585): memory constant in depth. From {few.split(', ')[1]} to {many.split(', ')[1]} it "
        f"grows {undone:.2f} times undone and {stored:.2f} times stored.",
    ]


def untold(results: study.Results, points: str) -> list[str]:
    """Return why a task tells no scheme from another: nets near chance, or half of a ResNet as good as all of it."""
    nets = [name for name in results.study.cells if name.startswith(f"{points}, ")]
    best = max(results.mean(name, "test") for name in nets)
    halved = results.contrast(f"{points}, ResNet, half the blocks", f"{points}, ResNet", "test")
    if best < 0.6:
        return [f"On the {points} no net is right on more than {best:.2f} of the points that it has not seen, in the "
                "mean, where a coin is on 0.5: that tells no scheme from another."]  # fmt: skip
    if abs(halved.mean) + halved.half <= 0.01:
        return [f"On the {points} half of a ResNet is as accurate as all of it, within 0.01 ({halved}): that tells no "
                "scheme from another."]  # fmt: skip
    return []


ORDER = {"order": "order", "log error": "log10 of the error"}
NET = {"parameters": "parameters", "train": "train acc.", "test": "test acc.", "loss": "loss"}
MEMORY = {"undone": "undone", "stored": "stored", "drift": "drift, float32"}
STUDY = study.Study(
    "integrators",
    run,
    cells(STEPS, (4, 16, 64)),
    {**ORDER, **NET, **MEMORY},
    quick=cells(dict.fromkeys(STEPS, 5), (2, 8)),
    bounds={"train": (0.0, 1.0), "test": (0.0, 1.0), "loss": (0.0, math.inf)},
)
SECTIONS = [
    study.Section(
        """{seeds} seeds; mean and 95 % interval.

Order, and log10 of the error at time 1 after 32 evaluations of f, from starts between 0.1 and 0.4:""",
        ORDER,
        where=lambda cell: cell["kind"] == "order",
    ),
    study.Section(
        """Classifiers of 8 blocks, or {blocks} where said, Adam from 1e-2 to 1e-3, {steps} steps on the spirals and on
the wave, three quarters of the points for training; the flow has one f for all its steps, as wide as the others' f
together. Fractions of right answers on both parts of the points, and the cross-entropy in training:""",
        NET,
        where=lambda cell: cell["kind"] == "net",
        figures={"net": ("Classifiers", study.Results.figure)},
        pairs=[
            *((f"{points}, {net}", f"{points}, ResNet") for points in TASKS for net in NETS if net != "ResNet"),
            *((f"{points}, {net}, half the blocks", f"{points}, ResNet") for points in TASKS for net in HALVED),
        ],
        compared=("test",),
    ),
    study.Section(
        """The most memory alive in a training step, as a multiple of the state's: blocks undone in the backward pass,
and stored; drift is the relative error of a state after the way through all blocks and back:""",
        MEMORY,
        where=lambda cell: cell["kind"] == "memory",
    ),
]
PAGE = study.Page("Nets as integrators", __doc__, SECTIONS, verdict)

if __name__ == "__main__":
    study.main(STUDY, PAGE)
