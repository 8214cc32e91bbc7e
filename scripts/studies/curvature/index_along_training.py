"""The index of the Hessian along training and at stationary points, by activation: a wave in the plane, and MNIST.

What "the index of a critical point" means for the nets of the ESP experiment (Milletari, Chotibut and Trevisanutto,
arXiv:1805.08786), whose points are not stationary: whole Hessians of their small nets over 2300 steps and at a
stationary point nearby; and the paper's 784-25-10 on 1000 of MNIST's digits, where the index is an interval.
The digits need an extra, `pip install -e ".[mnist]"`.

    python scripts/studies index_along_training --jobs 2
"""

import math
from pathlib import Path

import numpy as np
from cells import index_cells
from harness import study
from harness.intervals import LEVEL, Difference, difference, holm

ACTIVATIONS = [name for name in index_cells.KINDS if name != "relu"]
LOOKS = {"wave": (0, 30, 100, 300, 1000, 2300), "mnist": (0, 20, 100, 400)}


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Run a cell of either kind."""
    return {"wave": index_cells.wave, "mnist": index_cells.mnist}[cell["kind"]](cell, seed, folder)


def cells(
    looks: dict[str, tuple[int, ...]], search: int, images: int, hidden: int, lanczos: int
) -> dict[str, study.Cell]:
    """Return both kinds for every activation."""
    found: dict[str, study.Cell] = {}
    for name in index_cells.KINDS:
        found[f"wave, {name}"] = {"kind": "wave", "activation": name, "search": search, "looks": looks["wave"],
                                  "steps": looks["wave"][-1], "starts": 1}  # fmt: skip
    for name in index_cells.KINDS:
        found[f"mnist, {name}"] = {"kind": "mnist", "activation": name, "images": images, "hidden": hidden,
                                   "lanczos": lanczos, "looks": looks["mnist"],
                                   "steps": looks["mnist"][-1]}  # fmt: skip
    return found


def verdict(results: study.Results) -> list[str]:
    """Return what the numbers say of the index of a critical point."""
    waves = [name for name, cell in results.study.cells.items() if cell["kind"] == "wave"]
    reached = {name: results.values(name, "reached") for name in waves}
    said = [
        "A stationary point was reached from "
        + ", ".join(f"{int(v.sum())} of {len(v)} nets with {name.split(', ')[1]}" for name, v in reached.items())
        + "; the others ended where the norm of the gradient has a minimum that is not zero, or at the limit of steps.",
        *(results.difference(f"wave, {name}", "wave, relu", "alpha") for name in ACTIVATIONS),
    ]
    gaps = {name: gap(results, f"mnist, {name}", "mnist, relu") for name in ACTIVATIONS}
    p = holm({name: found.p for name, found in gaps.items()})
    said += [
        apart(results, f"mnist, {name}", "mnist, relu")
        + (f" The ends that face each other are {found} apart, which is seen after Holm's adjustment for {len(gaps)}."
           if p[name] < LEVEL else " Over the seeds no difference is seen.")
        for name, found in gaps.items()
    ]  # fmt: skip
    return [
        *said,
        "Gamma is relative to the largest eigenvalue, which activations change: at another tolerance other differences "
        "may be seen.",
    ]


def gap(results: study.Results, cell: str, baseline: str) -> Difference:
    """Return the difference of the ends of two cells' intervals of alpha that face each other; 0 where they overlap."""
    own, other = ([results.values(name, f"alpha {end}") for end in ("from", "to")] for name in (cell, baseline))
    above = own[0] - other[1] if np.sum(own) > np.sum(other) else own[1] - other[0]
    overlap = np.sign(above.mean()) != np.sign(np.sum(own) - np.sum(other))
    return difference(np.zeros_like(above) if overlap else above)


def apart(results: study.Results, cell: str, baseline: str) -> str:
    """Return in how many seeds the interval of alpha lies beyond that of another cell."""
    low, high = (results.values(cell, f"alpha {end}") for end in ("from", "to"))
    other_low, other_high = (results.values(baseline, f"alpha {end}") for end in ("from", "to"))
    above, below, seeds = int((low > other_high).sum()), int((high < other_low).sum()), len(low)
    return (
        f'"{cell}" against "{baseline}": the interval of alpha lies above in {above} of {seeds} seeds, below in '
        f"{below}, and overlaps in {seeds - above - below}."
    )


WAVE = {"train": "train acc.", "norm": "gradient norm", "alpha": "alpha", "gamma": "gamma", "norm there": "norm, there",
        "alpha there": "alpha, there", "gamma there": "gamma, there", "reached": "reached"}  # fmt: skip
MNIST = {"train": "train acc.", "test": "test acc.", "norm": "gradient norm", "alpha from": "alpha, from",
         "alpha to": "to", "gamma from": "gamma, from", "gamma to": "to", "zero rows": "zero rows"}  # fmt: skip
FRACTIONS = ("train", "test", "alpha", "gamma", "alpha there", "gamma there", "alpha from", "alpha to",
             "gamma from", "gamma to", "zero rows")  # fmt: skip
STUDY = study.Study(
    "index_along_training",
    run,
    cells(LOOKS, 100, 1000, 25, 400),
    {**WAVE, **MNIST},
    quick=cells({"wave": (0, 20), "mnist": (0, 5)}, 5, 100, 4, 30),
    seeds=range(5),
    trials={"reached": "starts"},
    bounds={**dict.fromkeys(("norm", "norm there"), (0.0, math.inf)), **dict.fromkeys(FRACTIONS, (0.0, 1.0))},
)
EXPLAINED = f"""alpha is the fraction of eigenvalues below minus {index_cells.TOLERANCE:g} of the largest modulus, gamma
that within it."""
SECTIONS = [
    study.Section(
        f"""The wave, 2-10-1, {{steps}} steps of Adam on whole batches in float64. {EXPLAINED} "There" is where a search
for a stationary point ended (`stationary_point`, at most {{search}} steps of Levenberg and Marquardt); "reached" is the
fraction of nets in which the gradient vanishes there, up to rounding. {{seeds}} seeds:""",
        WAVE,
        where=lambda cell: cell["kind"] == "wave",
        figures={"wave": ("alpha along training, the wave", lambda results: results.curves("alpha"))},
        pairs=[(f"wave, {name}", "wave, relu") for name in ACTIVATIONS],
        compared=("train", "alpha", "gamma"),
    ),
    study.Section(
        f"""MNIST, 784-{{hidden}}-10, {{images}} images, {{steps}} steps. {EXPLAINED} Both are given by the ends
of their interval of 95 %, from {{lanczos}} Lanczos steps in float32; the picture has its middle. Zero rows, as a
fraction of all, belong to pixels that are black in every image and to dead units. {{seeds}} seeds:""",
        MNIST,
        where=lambda cell: cell["kind"] == "mnist",
        figures={"mnist": ("alpha along training, MNIST", lambda results: results.curves("alpha"))},
        pairs=[(f"mnist, {name}", "mnist, relu") for name in ACTIVATIONS],
        compared=("test",),
    ),
]
PAGE = study.Page("The Hessian's index along training", __doc__, SECTIONS, verdict)
