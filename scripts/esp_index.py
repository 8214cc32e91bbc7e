"""The Hessian index of the ESP experiment: alpha and gamma as curves over the tolerance, beside the authors' values.

Milletari, Chotibut and Trevisanutto (arXiv:1805.08786) train small classifiers with ReLU, sigmoid and ESP, and count
negative (alpha) and zero (gamma) eigenvalues of the exact Hessian with no tolerance at all. Their two sets cannot be
shipped, so the points are look-alikes; network, initial weights, optimizer and schedule are theirs. Ten seeds.

    python scripts/esp_index.py --jobs 2
    python scripts/esp_index.py --quick
"""

import dataclasses
from pathlib import Path

import numpy as np
import study
from matplotlib.figure import Figure

import gantools as gt
from gantools.schedules import Exponential
from gantools.tasks import TASKS, accuracy, problem
from gantools.trainers import Adam

ESP = "esp(beta=0.0, learned=True, std=0.004)"
# What follows the hidden units, and what follows the logit.
KINDS = {
    "relu": ("relu", ""), "sigmoid": ("sigmoid", ""), "silu": ("silu", ""), "esp": (ESP, ESP),
    "relu, learned output slope": ("relu", ESP),
}  # fmt: skip
SETS = {"linear": ("esp_linear", 1000), "nonlinear": ("esp_nonlinear", 2300)}
HIDDEN = {"10": (10,), "8-2": (8, 2)}
TOLERANCES = np.logspace(-17, 0, 69)
MARKS = {"1e-10": 1e-10, "1e-06": 1e-6, "1e-04": 1e-4}

# Last epoch of the authors' own runs, from their stored Hessians: train accuracy, loss, alpha and gamma at tolerance 0.
AUTHORS = {
    "linear, 10": {"relu": (1.0, 7.4e-3, 0.098, 0.488), "esp": (1, 4.1e-4, 0.481, 0),
                   "sigmoid": (1, 3.6e-2, 0.244, 0)},
    "linear, 8-2": {"relu": (0.605, 0.657, 0.200, 0.578), "esp": (1, 5.9e-5, 0.357, 0),
                    "sigmoid": (1, 1.5e-2, 0.333, 0)},
    "nonlinear, 10": {"relu": (0.852, 0.298, 0.024, 0.488), "esp": (0.98, 0.063, 0.096, 0),
                      "sigmoid": (0.809, 0.336, 0.220, 0)},
    "nonlinear, 8-2": {"relu": (0.645, 0.572, 0.222, 0.489), "esp": (0.994, 0.019, 0.25, 0),
                       "sigmoid": (0.812, 0.385, 0.289, 0)},
}  # fmt: skip


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Train one classifier and count the signs of its Hessian at every tolerance."""
    task, steps = SETS[cell["set"]]
    hidden, outer = KINDS[cell["activation"]]
    game, batch = problem(task, HIDDEN[cell["hidden"]], hidden, outer, seed=seed, fraction=0.75)
    steps = cell.get("steps", steps)
    rate = Exponential(0.01, 0.01 * 0.9 ** (steps / 500), steps)
    optimizer = gt.trainers.make("simultaneous", game, lr=rate, base=Adam())
    for _ in range(steps):
        optimizer.step(batch)
    hessian = gt.analysis.jacobian(game, batch).dense()
    values = np.linalg.eigvalsh(((hessian + hessian.T) / 2).numpy())
    levels = TOLERANCES * abs(values).max()
    train, test = TASKS[task]().draw(seed).split(0.75, seed)
    return {
        "train": accuracy(game.players.model, train), "test": accuracy(game.players.model, test),
        "loss": float(optimizer.state.info.losses["model"]), "gradient": float(game.field(batch).norm()),
        "zero rows": float((hessian.abs().amax(1) == 0).double().mean()),
        **{f"alpha {name}": float((values < -tol * abs(values).max()).mean()) for name, tol in MARKS.items()},
        **{f"gamma {name}": float((abs(values) <= tol * abs(values).max()).mean()) for name, tol in MARKS.items()},
        "curves": {"step": TOLERANCES.tolist(), "alpha": [float((values < -t).mean()) for t in levels],
                   "gamma": [float((abs(values) <= t).mean()) for t in levels]},
    }  # fmt: skip


CELLS = {
    f"{points}, {hidden}, {activation}": {"set": points, "hidden": hidden, "activation": activation}
    for points in SETS for hidden in HIDDEN for activation in KINDS
}  # fmt: skip
COLUMNS = {"train": "train acc.", "test": "test acc.", "loss": "loss", "gradient": "gradient norm",
           "zero rows": "zero rows",
           **{f"{n} {t}": f"{n} at {t}" for t in MARKS for n in ("alpha", "gamma")}}  # fmt: skip
STUDY = study.Study("esp_index", run, CELLS, COLUMNS, seeds=range(10))

PAGE = """# The Hessian index of the ESP experiment

    python scripts/esp_index.py --jobs 2

{script}

alpha is the fraction of eigenvalues of the exact Hessian (float64, `eigvalsh`) below minus the tolerance, gamma that
within it; a tolerance is relative to the largest modulus. A zero row belongs to a parameter that no training sample
feels any more: a dead unit. The points are not stationary, as the gradient norms say, so "index" is meant loosely.
Mean and 95 % interval over {seeds} seeds.

{table}

The authors' runs, at tolerance 0 (one run each, recomputed from the Hessians that they published):

{authors}

![alpha and gamma over the tolerance](esp_index-curves.png)

{verdict}
"""


def authors() -> str:
    """Return the authors' values as Markdown."""
    lines = ["| set, hidden | activation | train acc. | loss | alpha | gamma |", "|---|---|--:|--:|--:|--:|"]
    for case, rows in AUTHORS.items():
        lines += [f"| {case} | {a} | " + " | ".join(f"{value:.3g}" for value in row) + " |" for a, row in rows.items()]
    return "\n".join(lines)


def verdict(results: study.Results) -> str:
    """Return what the numbers support of the paper's claims."""
    relu, esp = "nonlinear, 10, relu", "nonlinear, 10, esp"
    gammas = [f"{results.interval(cell, 'gamma 1e-04')[0]:.2f}" for cell in (relu, esp)]
    rows = [f"{results.interval(cell, 'zero rows')[0]:.2f}" for cell in (relu, esp)]
    worst = [f"{np.nanmin(results.values(cell, 'train')):.2f}" for cell in (relu, esp)]
    return (
        f"On the nonlinear set with ten units: {results.difference(esp, relu, 'train')} The worst seed reaches "
        f"{worst[1]} with ESP and {worst[0]} with ReLU. Dead directions: {rows[1]} of all with ESP, {rows[0]} with "
        f"ReLU. At a tolerance of 1e-4 the zero fractions are {gammas[1]} and {gammas[0]}: that ESP has no flat "
        "directions, which a count without a tolerance suggests, depends on the tolerance; that it has no dead ones "
        f"does not. {results.difference('nonlinear, 10, silu', relu, 'train')} "
        f"{results.difference(esp, 'nonlinear, 10, silu', 'train')}"
    )


def page(results: study.Results) -> str:
    """Return the page."""
    text = " ".join((__doc__ or "").split("\n\n")[1].split())
    parts = {"table": results.table(), "authors": authors(), "verdict": verdict(results)}
    return PAGE.format(script=text, seeds=len(results.study.seeds), **parts)


def tolerance_curves(results: study.Results) -> Figure:
    """Draw alpha and gamma over the tolerance for the nonlinear set with ten units: median and range of the seeds."""
    figure = Figure(figsize=(9, 3.8), dpi=110, layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("alpha", "gamma"), strict=True):
        for activation in ("relu", "sigmoid", "silu", "esp"):
            found = results.by_cell[f"nonlinear, 10, {activation}"].values()
            values = np.array([result["curves"][name] for result in found if "curves" in result])
            (line,) = axes.plot(TOLERANCES, np.median(values, 0), label=activation)
            axes.fill_between(TOLERANCES, values.min(0), values.max(0), color=line.get_color(), alpha=0.12, linewidth=0)
        axes.set(
            xscale="log", xlabel="tolerance, relative to the largest modulus", title=f"{name}, nonlinear set, 2-10-1"
        )
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


def main() -> None:
    """Run it, or its quick form: two seeds, a tenth of the steps."""
    args = study.parser(__doc__).parse_args()
    chosen = STUDY
    if args.quick:
        cells = {name: {**cell, "steps": 200} for name, cell in CELLS.items() if cell["hidden"] == "10"}
        chosen = dataclasses.replace(STUDY, cells=cells, seeds=range(2))
    study.conduct(chosen, args, page, {"curves": tolerance_curves})


if __name__ == "__main__":
    main()
