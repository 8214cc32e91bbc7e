r"""How far consensus on minibatches comes to rest from the equilibrium, against half the trace of the covariance.

On a batch of B samples E |v_B|^2 = |v|^2 + tr Cov / B, so that consensus descends the trace too, and its fixed point
moves. In four small games the shift is found from a quadrature over samples, to first order and exactly, and measured
as the mean of long runs. The control takes the penalty's two factors from independent halves of the same batches,
which is without bias (`estimator="independent"`).

    python scripts/studies consensus_bias --jobs 1
"""

import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import torch
from harness import study
from harness.study_figures import BLUE, GREY
from matplotlib.figure import Figure
from theory.biased_games import GAMES, Expected
from torch import Tensor

import gantools as gt

SIZES = (16, 64, 256, 512)
STEPS, BURN, COPIES, RATE, GAMMA = 400, 200, 64, 0.05, 1.0
ESTIMATORS = ("same", "independent")


@cache  # a quadrature for each seed would find the same
def predicted(game: str, gamma: float, size: int) -> tuple[Tensor, Tensor]:
    """Return the shift of the fixed point (n,), to first order in 1/B and exactly."""
    expected = Expected(game)
    return expected.first_order(gamma, size), expected.shift(gamma, size)


def mean_of_run(make: Callable[[int], gt.Game], estimator: str, cell: study.Cell, seed: int) -> Tensor:
    """Return the mean of the parameters (n,) over the copies and steps of a run that begins at the equilibrium."""
    game = make(cell["copies"])
    optimizer = gt.trainers.Consensus(game, lr=cell["rate"], gamma=cell["gamma"], estimator=estimator)
    rng = torch.Generator().manual_seed(seed)
    total = torch.zeros_like(game.vector())
    for step in range(cell["burn"] + cell["steps"]):
        real, latent = torch.randn(2, cell["B"], cell["copies"], generator=rng, dtype=torch.float64)
        optimizer.step({"real": real, "latent": latent})
        if step >= cell["burn"]:
            total += game.vector()
    return total.view(-1, cell["copies"]).mean(1) / cell["steps"]


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Return the predicted length of the shift, and what was measured along it, in units of it."""
    torch.set_num_threads(1)
    make = GAMES[cell["game"]]
    first, exact = predicted(cell["game"], cell["gamma"], cell["B"])
    rest, length = make(1).vector(), float(exact.norm())
    shifts = {name: mean_of_run(make, name, cell, seed) - rest for name in ESTIMATORS}  # on the same batches
    shifts["difference"] = shifts["same"] - shifts["independent"]
    result: study.Result = {"predicted": length, "first order": float(first @ exact) / length**2}
    result |= {name: float(shift @ exact) / length**2 for name, shift in shifts.items()}
    return result | {"off": float((shifts["difference"] - exact).norm()) / length, "length": length * result["same"]}


def cells(games: tuple[str, ...], sizes: tuple[int, ...], **settings: float) -> dict[str, study.Cell]:
    """Return every game on batches of every size."""
    return {f"{game}, B = {size}": {"game": game, "B": size, **settings} for game in games for size in sizes}


def lengths(results: study.Results) -> Figure:
    """Draw predicted and measured length of the shift over the batch size, a panel for each game."""
    games = list(dict.fromkeys(cell["game"] for cell in results.study.cells.values()))
    figure = Figure(figsize=(3.2 * len(games) + 0.6, 3.3), dpi=110, layout="constrained")
    for axes, game in zip(figure.subplots(1, len(games), squeeze=False)[0], games, strict=True):
        names = [name for name, cell in results.study.cells.items() if cell["game"] == game]
        sizes = [results.study.cells[name]["B"] for name in names]
        axes.plot(sizes, [results.mean(n, "predicted") for n in names], color=GREY, linewidth=2, label="predicted")
        for name, size in zip(names, sizes, strict=True):
            lengths = results.values(name, "length")
            axes.plot(np.full(len(lengths), size), lengths, ".", color=BLUE, label="each seed", markersize=6)
        axes.set(xscale="log", yscale="log", title=game, xlabel="batch size B")
        axes.set_xticks(sizes, map(str, sizes))
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.supylabel("shift of the fixed point", fontsize=10)
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=2, fontsize=9)
    return figure


def verdict(results: study.Results) -> list[str]:
    """Return how near the measured shifts are to the prediction, and what the control says."""
    names = ("first order", "same", "independent", "difference")
    found = {name: [results.estimate(cell, name) for cell in results.study.cells] for name in names}
    total = len(found["same"])
    holds = {name: sum(one.low <= 1 <= one.high for one in found[name]) for name in ("same", "difference")}
    zero = sum(one.low <= 0 <= one.high for one in found["independent"])

    def extent(name: str) -> str:
        means = [one.mean for one in found[name]]
        return f"{min(means):.3g} to {max(means):.3g}"

    return [
        f"What the published estimator has more than the control is {extent('difference')} of the prediction; in "
        f"{holds['difference']} of {total} cells the 95 % interval holds 1, and all intervals together reach from "
        f"{min(one.low for one in found['difference']):.3g} to {max(one.high for one in found['difference']):.3g}.",
        f"The published estimator alone: {extent('same')}; its interval holds 1 in {holds['same']} of {total} cells.",
        f"The control: {extent('independent')}; its interval holds 0 in {zero} of {total} cells. Its penalty has no "
        "bias; the curvature of the field over the cloud of a run can shift the mean too, and was not measured apart.",
        f"The formula of first order in 1/B alone gives {extent('first order')} of the exact shift.",
    ]


COLUMNS = {
    "predicted": "predicted shift", "first order": "first order", "same": "measured", "independent": "independent",
    "difference": "measured - independent", "off": "its distance",
}  # fmt: skip
SETTINGS = {"steps": STEPS, "burn": BURN, "copies": COPIES, "rate": RATE, "gamma": GAMMA}
STUDY = study.Study(
    "consensus_bias",
    run,
    cells(tuple(GAMES), SIZES, **SETTINGS),
    COLUMNS,
    quick=cells(tuple(GAMES), (16,), **{**SETTINGS, "steps": 60, "burn": 10, "copies": 4}),
    seeds=range(3),
    bounds={"off": (0.0, math.inf)},
)
SECTION = study.Section(
    """Consensus with gamma {gamma}, plain steps of {rate}, in float64; each number is the mean over {copies} copies
and {steps} steps after {burn}, which begin at the equilibrium; {seeds} seeds. In the linear games x descends
mu/2 (x-1)^2 + (x-1)(y-1) - mu/2 (y-1)^2, which y climbs, mu is 0 (bilinear) or 1/2 (quadratic), and each player's
gradient has noise of its parameter's size. In the others a generator with mean and scale meets data from N(0, 1) under
a discriminator a x + b x^2 / 2, with the Wasserstein loss and R1 of weight 1, or the nonsaturating loss.

Columns: length of the predicted shift, the zero of the mean direction minus the equilibrium; then in units of it, along
it: the shift to first order in 1/B, -(J + gamma J^T J)^-1 gamma grad tr Cov / 2B; the measured one; the control's; and
their difference, whose runs see the same batches, so that much of the noise cancels. "its distance" is the length of
the difference minus the prediction in the same units, what is not along it included.""",
    figures={"lengths": ("Shift over the batch size", lengths)},
)
PAGE = study.Page("Bias of consensus on minibatches", __doc__, [SECTION], verdict)
