"""How many eigenvalues of a Hessian are negative and how many are zero, over the tolerance, with ReLU and with ESP.

Milletari, Chotibut and Trevisanutto (arXiv:1805.08786) train small classifiers with ReLU, sigmoid and ESP, and count
negative (alpha) and zero (gamma) eigenvalues of the exact Hessian with no tolerance at all. Their two sets cannot be
shipped, so the points are look-alikes; network, initial weights, optimizer and schedule are theirs.

    python scripts/studies/esp_index.py --jobs 2
    python scripts/studies/esp_index.py --quick
"""

import math

import numpy as np
from cells import esp_cells
from harness import study
from matplotlib.figure import Figure

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
# On the nonlinear set with ten units.
COMPARED = [
    (f"nonlinear, 10, {a}", f"nonlinear, 10, {b}") for a, b in (("esp", "relu"), ("silu", "relu"), ("esp", "silu"))
]
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # of Okabe and Ito


def verdict(results: study.Results) -> list[str]:
    """Return the paper's claims on the nonlinear set with ten units, each with the numbers beside."""
    (esp, relu), (silu, _), _ = COMPARED
    worst = [np.nanmin(results.values(cell, "train")) for cell in (esp, relu)]
    flat, dead = ([results.mean(cell, column) for cell in (esp, relu)] for column in ("gamma 1e-04", "zero rows"))
    return [
        "The authors' nets reach an accuracy of 0.98 with ESP and 0.852 with ReLU. Ours: "
        f"{results.difference(esp, relu, 'train')} The worst seed reaches {worst[0]:.2f} with ESP and {worst[1]:.2f} "
        "with ReLU.",
        f"Another smooth unit: {results.difference(silu, relu, 'train')} {results.difference(esp, silu, 'train')}",
        "The authors count no zero eigenvalue with ESP, with ReLU about half of all. Ours: dead directions, rows "
        f"that are exactly zero, are {dead[0]:.2f} of all with ESP and {dead[1]:.2f} with ReLU; at a tolerance of 1e-4 "
        f"the zero fractions are {flat[0]:.2f} and {flat[1]:.2f}. That ESP has no flat directions, as a count without "
        "a tolerance would have it, depends on the tolerance; that it has no dead ones does not.",
    ]


def authors() -> str:
    """Return the authors' values as Markdown."""
    return study.markdown(
        ["set, hidden, activation", "train acc.", "loss", "alpha", "gamma"],
        [
            [f"{case}, {activation}", *(f"{value:.3g}" for value in row)]
            for case, rows in AUTHORS.items()
            for activation, row in rows.items()
        ],
    )


def tolerance_curves(results: study.Results) -> Figure | None:
    """Draw alpha and gamma over the tolerance for the nonlinear set with ten units: median and range of the seeds.

    None where the results have no curves.
    """
    drawn = {a: results.by_cell[f"nonlinear, 10, {a}"].values() for a in ("relu", "sigmoid", "silu", "esp")}
    if not all(any("curves" in result for result in found) for found in drawn.values()):
        return None
    figure = Figure(figsize=(9, 3.8), dpi=110, layout="constrained")
    for axes, name in zip(figure.subplots(1, 2), ("alpha", "gamma"), strict=True):
        for (activation, found), dashes, colour in zip(drawn.items(), ("-", "--", ":", "-."), COLOURS, strict=True):
            values = np.array([result["curves"][name] for result in found if "curves" in result])
            axes.plot(esp_cells.TOLERANCES, np.median(values, 0), dashes, color=colour, label=activation)
            axes.fill_between(esp_cells.TOLERANCES, values.min(0), values.max(0), color=colour, alpha=0.12, linewidth=0)
        axes.set(
            xscale="log",
            xlabel="tolerance, relative to the largest modulus",
            ylabel=f"{name}, fraction of eigenvalues",
            title=f"{name}: median and range of the seeds",
        )
        axes.grid(alpha=0.3)
        axes.legend()
    return figure


CELLS = {
    f"{points}, {hidden}, {activation}": {"set": points, "hidden": hidden, "activation": activation}
    for points in esp_cells.SETS for hidden in esp_cells.HIDDEN for activation in esp_cells.KINDS
}  # fmt: skip
COLUMNS = {
    "train": "train acc.",
    "test": "test acc.",
    "loss": "loss",
    "gradient": "gradient norm",
    "zero rows": "zero rows",
    **{f"{name} {tolerance}": f"{name} at {tolerance}" for tolerance in esp_cells.MARKS for name in ("alpha", "gamma")},
}
QUICK = {name: {**cell, "steps": 200} for name, cell in CELLS.items() if cell["hidden"] == "10"}
FRACTIONS = ("train", "test", "zero rows", *(name for name in COLUMNS if name.startswith(("alpha", "gamma"))))
STUDY = study.Study(
    "esp_index",
    esp_cells.run,
    CELLS,
    COLUMNS,
    QUICK,
    seeds=range(10),
    bounds={**dict.fromkeys(("loss", "gradient"), (0.0, math.inf)), **dict.fromkeys(FRACTIONS, (0.0, 1.0))},
)
SECTION = study.Section(
    f"""Cells: set, hidden units, activation; the last of them gives ReLU nets the learned slope of the output that ESP
nets have. Accuracies are fractions; loss (cross-entropy, nats) and gradient norm are those of the last step. alpha is
the fraction of eigenvalues of the exact Hessian (float64, `eigvalsh`) below minus the tolerance, gamma that within it;
a tolerance is relative to the largest modulus. A zero row, shown as a fraction of all rows, belongs to a parameter that
no training sample feels any more: a dead unit. The points are not stationary, as the gradient norms say, so "index" is
meant loosely. Mean and 95 % interval over {{seeds}} seeds.

The authors' runs, at tolerance 0 (one run each, recomputed from the Hessians that they published):

{authors()}

Ours:""",
    figures={"curves": ("alpha and gamma over the tolerance", tolerance_curves)},
    pairs=COMPARED,
    compared=("train",),
)
PAGE = study.Page("The Hessian index of the ESP experiment", __doc__, [SECTION], verdict)

if __name__ == "__main__":
    study.main(STUDY, PAGE)
