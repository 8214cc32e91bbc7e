"""What follows for residual nets if depth is time: near-isometry, adaptive depth, the adjoint's memory, drop-path.

E (Commun. Math. Stat. 5, 2017) reads a residual net as an equation's steps and asks that what a block does to small
differences stay near 1; Chen et al. (arXiv:1806.07366) let a solver choose the depth, and an adjoint the memory; and a
block that is left out at random is a step of a stochastic equation. The same small classifier of two spirals as in the
study `spirals`, with blocks of several schemes and with skips multiplied by a number.

    pip install -e ".[ode]"
    python scripts/studies continuous_depth --jobs 2
    python scripts/studies continuous_depth --quick
"""

import math

import numpy as np
from cells.nets import residual_cells
from harness import study
from matplotlib.figure import Figure
from nets import spirals

BLOCKS = {
    "ResNet": {"skip": 1.0}, "skip 0.4": {"skip": 0.4}, "skip 0.7": {"skip": 0.7}, "skip 1.3": {"skip": 1.3},
    "LM-ResNet": {"scheme": "LM-ResNet"}, "RevNet": {"scheme": "RevNet"}, "ODE, rk4": {"scheme": "ODE, rk4"},
}  # fmt: skip
SOLVERS = {
    **{f"{method}, {steps} steps": {"method": method, "solver steps": steps}
       for method, counts in (("euler", (4, 8, 16, 32, 64)), ("midpoint", (4, 8, 16)), ("rk4", (2, 4, 8)))
       for steps in counts},
    **{f"dopri5, {tolerance:g}": {"method": "dopri5", "tolerance": tolerance} for tolerance in (1.0, 0.1, 1e-2, 1e-4)},
}  # fmt: skip
LAWS = {
    "survival 0.5": {"survival": 0.5}, "survival 0.8": {"survival": 0.8}, "fractal, 0.15": {"drop_path": 0.15},
}  # fmt: skip
DEPTHS = (4, 16, 64)


def cells(steps: int, passes: int) -> dict[str, study.Cell]:
    """Return the cells of all four kinds."""
    net = {**spirals.TASK, "blocks": 8, "steps": steps}
    found: dict[str, study.Cell] = {name: {"kind": "jacobians", **net, **more} for name, more in BLOCKS.items()}
    found |= {name: {"kind": "solver", **net, "scheme": "ODE, rk4", **more} for name, more in SOLVERS.items()}
    found |= {f"{n} steps of rk4": {"kind": "memory", "solver steps": n} for n in DEPTHS}
    for name, more in LAWS.items():
        found |= {f"{name}, {n} blocks": {"kind": "drop-path", "blocks": n, **more} for n in DEPTHS}
    found["fractal, 0.15, 8 blocks"] = {"kind": "drop-path", "blocks": 8, "drop_path": 0.15, "passes": passes}
    return found


def cheapest(results: study.Results, method: str) -> str:
    """Return the fewest evaluations, and their number, at which a method gives the exact flow's answers to 0.5 %."""
    good = [name for name in SOLVERS if name.startswith(method) and results.mean(name, "other") <= 0.005]
    if not good:
        return f"{method} never"
    best = min(good, key=lambda name: results.mean(name, "trained evaluations"))
    return f"{method} {results.shown(best, 'trained evaluations')} ({best.split(', ')[1]})"


def verdict(results: study.Results) -> list[str]:
    """Return what was claimed or asked, each with the numbers."""
    few, many = (f"{n} steps of rk4" for n in (DEPTHS[0], DEPTHS[-1]))
    direct, adjoint = (results.mean(many, column) / results.mean(few, column) for column in ("direct", "adjoint"))
    off = max(abs(results.mean(n, "block mean") / b["skip"] - 1) for n, b in BLOCKS.items() if "skip" in b)
    orders = {
        law: (results.mean(f"{law}, 16 blocks", "weak deviation") - results.mean(f"{law}, 64 blocks", "weak deviation"))
        / math.log10(4) for law in LAWS
    }  # fmt: skip
    return [
        "E: what a block does to small differences should be near 1. The geometric mean of a block's singular values "
        "after training is "
        + ", ".join(f"{results.shown(name, 'block mean')} ({name})" for name in BLOCKS)
        + f"; it is 1 for any RevNet, and with a skip it is in the mean the skip itself, within {100 * off:.0f} %: the "
        "measure does not test E's reading. Test accuracy: "
        + ", ".join(f"{results.shown(name, 'test')} ({name})" for name in BLOCKS) + ".",
        "Near 1 in the mean is not near isometry: of the trained ResNet's product the largest singular value is 10 to "
        f"the {results.shown('ResNet', 'trained largest')} and the smallest 10 to the "
        f"{results.shown('ResNet', 'trained smallest')}.",
        "Evaluations of f until at most 0.5 % of the answers differ from the exactly solved flow's: "
        + ", ".join(cheapest(results, method) for method in ("euler", "midpoint", "rk4", "dopri5")) + ".",
        "That adaptive depth saves evaluations is not seen: "
        + "; ".join(f"at {results.shown(name, 'trained evaluations')} evaluations ({name}) the fraction of other "
                    f"answers is {results.shown(name, 'other')}"
                    for name in ("rk4, 8 steps", "dopri5, 0.01", "dopri5, 0.0001"))
        + "; tolerances between 1e-2 and 1e-4 were not tried.",
        "After training dopri5 takes, at a tolerance of 1e-2, "
        f"{results.shown('dopri5, 0.01', 'trained evaluations')} evaluations in place of "
        f"{results.shown('dopri5, 0.01', 'start evaluations')}, and at 1 "
        f"{results.shown('dopri5, 1', 'trained evaluations')} in place of "
        f"{results.shown('dopri5, 1', 'start evaluations')}; a step more is six evaluations more.",
        f"Claim (arXiv:1806.07366): memory constant in depth. From {DEPTHS[0]} to {DEPTHS[-1]} steps it grows "
        f"{direct:.2f} times with gradients through the solver and {adjoint:.2f} times with the adjoint.",
        "Drop-path and Euler-Maruyama with its mean and variance differ in the deviation of the output by a power of "
        "the depth, measured between 16 and 64 blocks: "
        + ", ".join(f"{order:.2f} ({law})" for law, order in orders.items()) + ".",
    ]  # fmt: skip


def through_depth(results: study.Results) -> Figure | None:
    """Draw the largest and the smallest singular value of the Jacobian from the first state on, by block."""
    found = {cell: [r["curves"] for r in results.by_cell[cell].values() if "curves" in r] for cell in BLOCKS}
    if not all(found.values()):
        return None
    figure = Figure(figsize=(11, 4.4), dpi=110, layout="tight")
    panels = figure.subplots(2, 4, sharex=True, sharey=True)
    for axes, (cell, curves) in zip(panels.flat, found.items(), strict=False):
        for name, colour in (("largest", "#d55e00"), ("smallest", "#0072b2")):
            values = np.array([curve[name] for curve in curves])
            axes.plot(curves[0]["step"], values.mean(0), ".-", color=colour, label=name)
            axes.fill_between(curves[0]["step"], values.min(0), values.max(0), color=colour, alpha=0.2, linewidth=0)
        axes.axhline(0, color="black", linewidth=0.6)
        axes.set_title(cell, fontsize=9)
        axes.grid(alpha=0.3)
    figure.delaxes(panels.flat[-1])
    panels[0, 0].legend(fontsize=8)
    figure.supxlabel("block", fontsize=9)
    for axes in panels[:, 0]:
        axes.set_ylabel("log10 of the singular value", fontsize=8)
    return figure


JACOBIANS = {
    "test": "test acc.", "block largest": "block: largest", "block smallest": "block: smallest",
    "block mean": "block: geometric mean", "trained largest": "log10 largest, all blocks",
    "trained smallest": "log10 smallest, all blocks", "start largest": "largest at the start",
    "start smallest": "smallest at the start",
}  # fmt: skip
SOLVER = {
    "trained evaluations": "evaluations", "start evaluations": "before training", "test": "test acc.",
    "other": "other answers", "log error": "log10 error of the logit",
}  # fmt: skip
MEMORY = {"direct": "through the solver", "adjoint": "adjoint", "difference": "log10 difference of gradients"}
DROP = {
    "bias": "mean - ODE", "deviation": "deviation", "deviation, SDE": "Euler-Maruyama",
    "weak mean": "log10 difference of means", "weak deviation": "log10 difference of deviations",
}  # fmt: skip
DRAWN = {"deviation": "deviation", "deviation, drawn": "of passes", "mean, drawn less exact": "mean of passes - exact"}
STUDY = study.Study(
    "continuous_depth",
    residual_cells.run,
    cells(spirals.STEPS, 2000),
    {**JACOBIANS, **SOLVER, **MEMORY, **DROP, **DRAWN},
    quick=cells(3, 20),
    seeds=range(3),
    bounds={"test": (0.0, 1.0), "other": (0.0, 1.0)},
)
SECTIONS = [
    study.Section(
        """## Small differences through depth

Classifiers of two spirals, 8 blocks on a state of 16, {steps} steps of Adam; blocks a u + f(u) with a skip a, and
other schemes. Singular values of the Jacobians at 64 test points: of single blocks, mean over points and blocks of the
largest, the smallest and the geometric mean; log10 of the largest and the smallest of the Jacobian through all blocks,
after training and at the start. {seeds} seeds, mean and 95 % interval.""",
        JACOBIANS,
        where=lambda cell: cell["kind"] == "jacobians",
        figures={"jacobians": ("Singular values from the first state on, after training", through_depth)},
        pairs=[(name, "ResNet") for name in BLOCKS if name != "ResNet"],
        compared=("test", "block mean"),
    ),
    study.Section(
        """## Adaptive depth

The flow that was trained with 8 steps of rk4, its test points answered with other solvers; dopri5 chooses its own steps
for a relative and an absolute tolerance, together for all points. Evaluations of f, after and before training;
answers that are other than those of dopri5 at 1e-7; mean error of the logit against it.""",
        SOLVER,
        where=lambda cell: cell["kind"] == "solver",
    ),
    study.Section(
        """## Memory of the adjoint

Most bytes alive in a training step of an `ODEBlock`, float32, as a multiple of the state's, with gradients through the
solver and by the adjoint; relative difference of the two gradients:""",
        MEMORY,
        where=lambda cell: cell["kind"] == "memory",
    ),
    study.Section(
        """## Drop-path as noise

A residual net of a scalar state to time 1, $u + \\theta\\,h \\sin(u)/p$, where $\\theta$ is 1 with the probability p
of survival and else 0; and a chain of `FractalBlock`s of two columns under drop-path of 0.15. Beside them
Euler-Maruyama with as many steps, whose drift and diffusion are the mean and the variance of a block:
du = f dt + f sqrt(h (1 - p) / p) dW. Both by the backward equation, without sampling. Mean less the
deterministic solution; standard deviations of both; differences of the two nets' means and deviations.""",
        DROP,
        where=lambda cell: cell["kind"] == "drop-path" and "passes" not in cell,
    ),
    study.Section(
        "The same of the module itself in {passes} passes, against what was computed:",
        DRAWN,
        where=lambda cell: "passes" in cell,
    ),
]
PAGE = study.Page("Depth as time", __doc__, SECTIONS, verdict)
