"""How a gradient's norm changes on its way down through 8, 16 and 32 layers, per activation, initial weights and kind.

It is said that gradients vanish through sigmoid and tanh, and do not through ReLU and ESP. What counts is the product,
layer by layer, of the variance of the weights and the mean squared slope of the activation (mean-field theory:
arXiv:1611.01232), so the same activation vanishes, keeps or explodes with other weights. Fully connected nets of width
64, without biases, on scikit-learn's digits: plain; residual; and residual with branches scaled by one over the root of
the depth. Weights: Glorot uniform; normal with the gain that keeps the second moment of a unit
(`gantools.nn.init.variance_gain`); orthogonal.

    python scripts/studies depth --jobs 2
    python scripts/studies depth --quick
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from cells.nets import depth_cells
from harness import study
from matplotlib.figure import Figure

KINDS = {"plain": "Plain nets", "residual": "Residual nets", "scaled": "Residual nets with scaled branches"}
INITS = {"Glorot": "Glorot", "gain": "variance-preserving", "orthogonal": "orthogonal"}
DEPTHS, STEPS = (8, 16, 32), 50
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#000000", "#e69f00", "#56b4e9")  # of Okabe and Ito


def cells(depths: tuple[int, ...], steps: int) -> dict[str, study.Cell]:
    """Return a cell for every kind of net, initialization and activation."""
    return {
        f"{kind}, {init}, {name}": {"kind": kind, "init": init, "activation": name, "depths": depths, "steps": steps}
        for kind in KINDS for init in INITS for name in depth_cells.SPECS
    }  # fmt: skip


def columns(depths: tuple[int, ...]) -> dict[str, str]:
    """Return the columns of a form with these depths."""
    most = depths[-1]
    return {
        **{f"start {depth}": f"depth {depth}" for depth in depths}, "theory": f"theory, depth {most}",
        "trained": f"trained, depth {most}", "accuracy": f"test acc., depth {most}",
    }  # fmt: skip


def verdict(results: study.Results) -> list[str]:
    """Return the claim, for each initialization, and how far theory is from what was measured."""
    most = f"start {DEPTHS[-1]}"

    def found(kind: str, init: str) -> str:
        names = ("relu", "esp", "tanh", "sigmoid")
        return ", ".join(f"{name} {results.shown(f'{kind}, {init}, {name}', most)}" for name in names)

    said = ["Claim: gradients vanish through sigmoid and tanh and do not through ReLU and ESP."]
    said += [f"Plain, {INITS[init]} weights, log10 at depth 32: {found('plain', init)}." for init in INITS]
    off = {kind: np.nanmax([np.abs(results.values(cell, "off")).max() for cell, its in results.study.cells.items()
                            if its["kind"] == kind]) for kind in KINDS}  # fmt: skip
    said.append(
        "So sigmoid vanishes in every plain net; tanh keeps more than ReLU and ESP with Glorot and orthogonal weights, "
        "and grows with the gain that keeps its second moment. Through residual nets nothing vanishes, and without a "
        "scale gradients grow."
    )
    said.append(
        "Mean-field theory, which has no free number, differs from a net of width 64 by at most (log10, any seed) "
        + ", ".join(f"{value:.2f} ({kind})" for kind, value in off.items()) + "."
    )  # fmt: skip
    return said


def through_depth(kind: str) -> Callable[[study.Results], Figure | None]:
    """Return a function that draws the gradient's norm by layer, measured and predicted, a panel for each init."""
    return partial(_through_depth, kind=kind)


def _through_depth(results: study.Results, kind: str) -> Figure | None:
    if not all("curves" in result for seeds in results.by_cell.values() for result in seeds.values()):
        return None
    figure = Figure(figsize=(11, 3.8), dpi=110, layout="constrained")
    for axes, init in zip(figure.subplots(1, len(INITS), sharey=True), INITS, strict=True):
        for name, colour in zip(depth_cells.SPECS, COLOURS, strict=True):
            curves = [result["curves"] for result in results.by_cell[f"{kind}, {init}, {name}"].values()]
            start = np.array([curve["start"] for curve in curves])
            theory = np.mean([curve["theory"] for curve in curves], 0)
            axes.plot(curves[0]["step"], start.mean(0), color=colour, label=name)
            axes.fill_between(curves[0]["step"], start.min(0), start.max(0), color=colour, alpha=0.15, linewidth=0)
            axes.plot(curves[0]["step"], theory, "--", color=colour, linewidth=1)
        axes.set(title=f"{kind}, {INITS[init]} weights", xlabel="layer")
        axes.grid(alpha=0.3)
    figure.axes[0].set_ylabel("log10 of the gradient's norm, top = 0")
    figure.axes[0].legend(fontsize=8)
    return figure


STUDY = study.Study(
    "depth",
    depth_cells.run,
    cells(DEPTHS, STEPS),
    columns(DEPTHS),
    quick=cells((8, 32), 3),
    seeds=range(3),
    bounds={"accuracy": (0.0, 1.0)},
)
TEXTS = {
    "plain": """Log10 of the norm of a gradient at the first layer's output relative to the last's, where it is drawn at
random, on the test digits: at the start at depth 8, 16 and 32; by mean-field theory; and after {steps} steps of Adam
(1e-3, batches of 64). 0 is kept, -1 is a tenth. Test accuracy after these steps (0.1 is chance). "esp" starts as its
authors have it, beta about 0 and learned; with beta = 1 it is SiLU. Mean and 95 % interval over {seeds} seeds. In the
figure: mean and range of the seeds by layer; dashed, theory.""",
    "residual": "The same where each layer adds to its input:",
    "scaled": "The same where what a layer adds is multiplied by one over the root of the depth:",
}
SECTIONS = [
    study.Section(
        f"## {KINDS[kind]}\n\n{TEXTS[kind]}",
        where=lambda cell, kind=kind: cell["kind"] == kind,
        figures={kind: (f"{KINDS[kind]}: gradients by layer", through_depth(kind))},
        pairs=[] if kind != "plain" else [
            (f"plain, {init}, {other}", f"plain, {init}, {name}")
            for init in INITS for name, other in (("tanh", "relu"), ("tanh", "esp"), ("sigmoid", "relu"))
        ],
        compared=() if kind != "plain" else ("start 32", "accuracy"),
    )
    for kind in KINDS
]  # fmt: skip
PAGE = study.Page("Gradients through depth", __doc__, SECTIONS, verdict)
