"""What a continuous normalizing flow learns of a density that is known, and whether its own density integrates to one.

A flow moves normal samples along an equation whose velocity is a small net (`gantools.nn.ContinuousFlow`; FFJORD,
arXiv:1810.01367), and is trained by maximum likelihood with the exact trace or with Hutchinson's estimate of it: on
the ring of eight Gaussians, whose likelihood is known, and on whitened principal components of scikit-learn's digits.
Beside it affine couplings of about as many parameters (RealNVP, arXiv:1605.08803), and Gaussian mixtures fitted by EM,
which on the ring are the right model.

    pip install -e ".[ode]"
    python scripts/studies continuous_flow --jobs 2
    python scripts/studies continuous_flow --quick
"""

import math

import numpy as np
from cells.nets import flow_cells
from harness import study
from matplotlib.figure import Figure

RING, DIGITS = {"data": "ring8", "size": 2}, {"data": "digits", "size": 6}
CELLS: dict[str, study.Cell] = {
    "ring8, flow, exact trace": {**RING, "model": "exact", "width": 32, "steps": 300},
    "ring8, flow, Hutchinson": {**RING, "model": "Hutchinson", "width": 32, "steps": 300},
    "ring8, couplings": {**RING, "model": "couplings", "width": 12, "steps": 300},
    "ring8, 8 Gaussians": {**RING, "model": "Gaussians", "components": 8},
    "ring8, 1 Gaussian": {**RING, "model": "Gaussians", "components": 1},
    "digits, flow, Hutchinson": {**DIGITS, "model": "Hutchinson", "width": 32, "steps": 150},
    "digits, couplings": {**DIGITS, "model": "couplings", "width": 12, "steps": 150},
    "digits, 8 Gaussians": {**DIGITS, "model": "Gaussians", "components": 8},
    "digits, 1 Gaussian": {**DIGITS, "model": "Gaussians", "components": 1},
}
RING_COLUMNS = {
    "parameters": "parameters", "held-out": "log-likelihood", "gap": "exact less ours",
    "integral": "integral - 1", "integral, coarse": "the same, steps of training",
}  # fmt: skip
DIGITS_COLUMNS = {"parameters": "parameters", "held-out": "log-likelihood"}
SOLVER = {"evaluations": "evaluations, dopri5", "bias": "Hutchinson - exact", "spread": "spread of Hutchinson"}
SHOWN = ("ring8, flow, exact trace", "ring8, flow, Hutchinson", "ring8, couplings", "ring8, 8 Gaussians")


def verdict(results: study.Results) -> list[str]:
    """Return what was asked, with the numbers."""
    exact, estimated, couplings = SHOWN[:3]
    return [
        "The exact log-likelihood less ours is an estimate of the Kullback-Leibler divergence, in nats: "
        + ", ".join(f"{results.shown(cell, 'gap')} ({cell.removeprefix('ring8, ')})" for cell in SHOWN) + ".",
        results.difference(estimated, exact, "gap"),
        results.difference(exact, couplings, "gap"),
        f"The integral of the flows' density is 1 to {off(results, 'integral'):.0e} with {flow_cells.FINE} steps and "
        f"to {off(results, 'integral, coarse'):.0e} with the {flow_cells.STEPS_OF_SOLVER} of training, by the ends "
        f"of the intervals; less 1 it is {results.shown(exact, 'integral')} and "
        f"{results.shown(exact, 'integral, coarse')} (exact trace), {results.shown(estimated, 'integral')} and "
        f"{results.shown(estimated, 'integral, coarse')} (Hutchinson).",
        "Hutchinson's estimate of a held-out log-density, one draw of signs for a sample, is off by "
        f"{results.shown(exact, 'bias')} in the mean with a standard deviation of {results.shown(exact, 'spread')} on "
        f"the ring, and by {results.shown('digits, flow, Hutchinson', 'bias')} with "
        f"{results.shown('digits, flow, Hutchinson', 'spread')} on the digits.",
    ]  # fmt: skip


def off(results: study.Results, column: str) -> float:
    """Return how far from 0 the intervals of both flows reach."""
    found = [results.estimate(cell, column) for cell in SHOWN[:2]]
    return max(abs(end) for one in found for end in (one.low, one.high))


def densities(results: study.Results) -> Figure | None:
    """Draw the exact density of the ring and what each model learned of it, first seed."""
    found = {cell: next(iter(results.by_cell[cell].values())) for cell in SHOWN if cell in results.by_cell}
    if not all("curves" in result for result in found.values()):
        return None
    pictures = {"exact": flow_cells.picture(flow_cells.ring_log_prob)}
    pictures |= {cell.removeprefix("ring8, "): result["curves"]["density"] for cell, result in found.items()}
    figure = Figure(figsize=(2.6 * len(pictures), 2.9), dpi=110, layout="constrained")
    top = max(pictures["exact"])
    for axes, (name, values) in zip(figure.subplots(1, len(pictures)), pictures.items(), strict=True):
        square = np.array(values).reshape(flow_cells.PIXELS, flow_cells.PIXELS)
        extent = 2 * (-flow_cells.HALF, flow_cells.HALF)
        image = axes.imshow(square, origin="lower", extent=extent, cmap="viridis", vmin=0, vmax=top)
        axes.set_title(name, fontsize=9)
        axes.tick_params(labelsize=7)
    figure.supxlabel("first coordinate", fontsize=8)
    figure.supylabel("second coordinate", fontsize=8)
    figure.colorbar(image, ax=figure.axes[-1], label="density, cut at the exact one's top")
    return figure


STUDY = study.Study(
    "continuous_flow",
    flow_cells.run,
    CELLS,
    {**RING_COLUMNS, **SOLVER},
    quick={name: {**cell, "steps": 5} if "steps" in cell else cell for name, cell in CELLS.items()},
    seeds=range(3),
    bounds={"spread": (0.0, math.inf)},
)
SECTIONS = [
    study.Section(
        f"""The ring, modes of standard deviation {flow_cells.SIGMA} on the unit circle: mean log-density of 4096
held-out samples in nats, and how far it stays below that of the exact density on the same samples; what the density's
integral over the square from -2.5 to 2.5 has over 1, with {flow_cells.FINE} steps of rk4 (the columns before too) and
with the {flow_cells.STEPS_OF_SOLVER} of training. {{steps}} steps of Adam from 5e-3 to 5e-4, batches of
{flow_cells.BATCH}; two hidden layers of 32 units in the flow, six couplings of 12. {{seeds}} seeds, mean and 95 %
interval.""",
        RING_COLUMNS,
        where=lambda cell: cell["data"] == "ring8",
        figures={"densities": ("Densities on the ring, seed 0, in the plane of the data", densities)},
        pairs=[(SHOWN[1], SHOWN[0]), (SHOWN[0], SHOWN[2])],
        compared=("gap",),
    ),
    study.Section(
        """The digits, six whitened principal components of 1350 images, held-out log-density of the other 447; {steps}
steps. No exact likelihood is known here:""",
        DIGITS_COLUMNS,
        where=lambda cell: cell["data"] == "digits",
        figures={"digits": ("Log-likelihood of held-out digits, nats", study.Results.figure)},
        pairs=[("digits, flow, Hutchinson", "digits, couplings"), ("digits, flow, Hutchinson", "digits, 8 Gaussians")],
        compared=("held-out",),
    ),
    study.Section(
        """Evaluations of the velocity by dopri5 at its default tolerances on 512 held-out samples, and Hutchinson's
estimate of their log-density, with one draw of signs for each sample, against the exact one: mean and standard
deviation of the difference, nats.""",
        SOLVER,
        where=lambda cell: cell["model"] in ("exact", "Hutchinson"),
    ),
]
PAGE = study.Page("Continuous normalizing flows", __doc__, SECTIONS, verdict)
