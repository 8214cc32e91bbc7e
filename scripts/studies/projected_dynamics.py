"""Whether eigenvalues of a training step can be read from random projections of the parameters, without derivatives.

If the leading eigenvalue of such a fit agreed with that of `update_operator` within 5 % in 8 of 10 looks, on the ring
of eight Gaussians and on the digits, `gantools.watch` could do without losses. An eigenvalue of a step with a small
learning rate is near 1 in any case, so its rate, the logarithm, is what tells; the guess 1 is shown beside it.

    python scripts/studies/projected_dynamics.py
    python scripts/studies/projected_dynamics.py --quick
"""

import math

from cells import projection_cells
from harness import study

OPTIMIZERS = {
    "simultaneous gradient": {"optimizer": "simultaneous", "base": "sgd", "lr": 1e-2},
    "alternating, Adam": {"optimizer": "alternating", "base": "adam", "lr": 1e-3},
}


def cells(warm: int, window: int, width: int) -> dict[str, study.Cell]:
    """Return the synthetic cell, and each data set under each method, on one batch and on fresh ones."""
    found: dict[str, study.Cell] = {"linear update, 10 % noise": {"data": "synthetic", "window": window}}
    for data in ("ring8", "digits"):
        for name, method in OPTIMIZERS.items():
            for batches in ("one", "fresh"):
                sizes = {"warm": warm, "window": window, "width": width, "batch": 64}
                found[f"{data}, {name}, {batches} batch"] = {"data": data, "batches": batches, **method, **sizes}
    return found


def verdict(results: study.Results) -> list[str]:
    """Return whether the stop rule is met."""
    rows = {
        cell: [r["error of rate within"] for r in seeds.values() if "failed" not in r]
        for cell, seeds in results.by_cell.items()
        if not cell.startswith("linear")
    }
    met = sum(bool(values) and min(values) >= 8 for values in rows.values())
    return [
        f"The rate of the leading eigenvalue is within 5 % in 8 of 10 looks, with every seed, in {met} of {len(rows)} "
        "cells of a GAN.",
        "The rule asks for it on both data sets: "
        + ("it is met." if rows and met == len(rows) else "it is not met, and `gantools.watch` keeps to derivatives."),
    ]


COLUMNS = {
    "error": "error of the eigenvalue", "error within": "eigenvalue within 5 %",
    "error of 1 within": "guess 1 within 5 %",
    "error of rate": "error of its logarithm", "error of rate within": "logarithm within 5 %",
}  # fmt: skip
STUDY = study.Study(
    "projected_dynamics",
    projection_cells.run,
    cells(200, 100, 16),
    COLUMNS,
    quick={k: v for k, v in cells(5, 30, 4).items() if "Adam" not in k},
    seeds=range(2),
    bounds={name: (0.0, 10.0 if name.endswith("within") else math.inf) for name in COLUMNS},
)
SECTION = study.Section(
    f"""After {{warm}} steps, ten looks, each at the {{window}} steps before it: {projection_cells.PROJECTIONS} random
projections of the parameters, differences stacked over {projection_cells.DELAYS} steps, a linear map of rank
{projection_cells.RANK}. Networks `mlp` of width {{width}}, batches of {{batch}}, {{seeds}} seeds. Errors are relative,
of the eigenvalue of largest modulus, medians over looks; "within 5 %" counts looks out of ten. "one batch": each step
of a run is on the same batch, so that nothing is noise. The linear update is seen through noise and 20 delays.""",
    figures={"all": ("By cell", study.Results.figure)},
)
PAGE = study.Page("Eigenvalues of a step from projections of the parameters", __doc__, [SECTION], verdict)

if __name__ == "__main__":
    study.main(STUDY, PAGE)
