"""Consensus whose weight and rate follow estimated eigenvalues (`auto`), against settings that were found by hand.

On the ring of eight Gaussians without a weight or a rate given, with the network of The Numerics of GANs; on the
handwritten digits (`--digits`) against a grid of 20 settings of consensus, five rates times four weights. Its rule is
in trainers/second_order/auto.py; while it was made seeds 0 to 4, 10 and 11 of the ring and seed 0 of the digits were
seen.

    python scripts/studies/auto.py --jobs 2
    python scripts/studies/auto.py --digits --jobs 2
    tensorboard --logdir runs/auto
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from cells import gan_steps
from harness import study

import gantools as gt

RING_STEPS, DIGITS_STEPS, LOOKS = 2500, 600, 5
RATES, GAMMAS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2), (0.1, 0.3, 1.0, 10.0)


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Train one GAN; return what its last looks say, and what `auto` came to."""
    every = str(max(1, cell["steps"] // cell["looks"]))
    flags = [word for name, value in cell.items() if name.startswith("--") for word in (name, str(value))]
    common = {"--data": cell["data"], "--steps": str(cell["steps"]), "--seed": str(seed), "--sample-every": every,
              "--checkpoint-every": every, "--spectrum-every": "0", "--log-every": "50"}  # fmt: skip
    run, last = study.train_gan([*flags, *(word for pair in common.items() for word in pair)], folder)
    looks = [r for r in run.metrics() if r["step"] and "metrics/coverage" in r]
    found = {name.partition("/")[2]: value for name, value in last.items() if name.startswith(("metrics/", "auto/"))}
    found["curves"] = {"step": [r["step"] for r in looks]}
    for name in {name for r in looks for name in r if name.startswith("metrics/")}:
        found["curves"][name.partition("/")[2]] = [r[name] for r in looks]
    if modes := found["curves"].get("modes_covered"):
        found["least modes"] = min(modes[len(modes) // 2 :])
        wide = gt.load(folder).double()
        found["radius"] = gan_steps.radius_of(wide.optimizer, wide.batches[wide.step])
    return found


def ring8(steps: int, looks: int = LOOKS, **settings: object) -> dict[str, study.Cell]:
    """Return the cells of the ring: `auto` and two settings by hand."""
    common = {"data": "ring8", "steps": steps, "looks": looks, **settings}
    consensus = {"--optimizer": "consensus", "--optimizer.gamma": "10", "--optimizer.lr": "1e-4"}
    adam = {"--optimizer": "simultaneous", "--optimizer.base": "adam"}
    return {
        "auto": {"--optimizer": "auto", **common},
        "consensus, gamma 10, rate 1e-4": {**consensus, **common},
        "simultaneous, Adam, rate 1e-4": {**adam, "--optimizer.lr": "1e-4", **common},
    }


def digits(rates: Sequence[float], gammas: Sequence[float], steps: int, **settings: object) -> dict[str, study.Cell]:
    """Return the cells of the digits: `auto` and a grid of consensus."""
    common = {"data": "digits", "steps": steps, "looks": 1, **settings}
    grid = {f"consensus, gamma {gamma:g}, rate {rate:g}": (rate, gamma) for rate in rates for gamma in gammas}
    made = {
        name: {"--optimizer": "consensus", "--optimizer.lr": rate, "--optimizer.gamma": gamma, **common}
        for name, (rate, gamma) in grid.items()
    }
    return {"auto": {"--optimizer": "auto", **common}, **made}


def verdict(results: study.Results) -> list[str]:
    """Return whether the claims hold."""
    if "ring8" in {cell["data"] for cell in results.study.cells.values()}:
        modes = results.values("auto", "modes_covered")
        least = results.values("auto", "least modes")
        return [
            f"`auto` ends with 8 of 8 modes in {(modes == 8).sum()} of {len(modes)} seeds, and has 8 at every look of "
            f"the second half of the steps in {(least == 8).sum()}.",
            *(gan_steps.transient(name, {cell["steps"]: results.values(name, "radius")})
              for name, cell in results.study.cells.items()),
        ]  # fmt: skip
    seeds = len(results.study.seeds)
    sentences = ["One seed: a look at one run of each setting, from which no claim follows."] if seeds == 1 else []
    for column, name, better in (("coverage", "coverage", 1), ("kernel_distance", "kernel distance", -1)):
        # A run that failed is worse than every other.
        values = {
            c: -better * np.inf if np.isnan(v) else v for c in results.by_cell for v in [_mean(results, c, column)]
        }
        own, grid = values.pop("auto"), np.array(list(values.values()))
        middle, beaten = np.median(grid), int((better * grid < better * own).sum())
        word = "no worse" if better * own >= better * middle else "worse"
        sentences.append(
            f"The {name} of `auto`, {own:.3g}, is {word} than the median of the grid, {middle:.3g}; it is better than "
            f"{beaten} of the {len(grid)} settings, of which the best has {max(better * grid) * better:.3g}."
        )
    return sentences


def _mean(results: study.Results, cell: str, column: str) -> float:
    return float(results.values(cell, column).mean())


COLUMNS = {"modes_covered": "modes of 8", "least modes": "least modes in the second half", "high_quality": "quality",
           "coverage": "coverage", "kernel_distance": "kernel distance",
           "gamma": "last gamma", "rate": "last rate", "radius": "radius of the step"}  # fmt: skip
DIGITS_COLUMNS = {name: COLUMNS[name] for name in ("coverage", "kernel_distance", "gamma", "rate")}
SMALL = {"--network.width": 4, "--batch-size": 64}
BOUNDS = {
    "radius": (0.0, np.inf),
    "modes_covered": (0.0, 8.0),
    "least modes": (0.0, 8.0),
    "high_quality": (0.0, 1.0),
    "coverage": (0.0, 1.0),
}
STUDY = study.Study("auto", run, ring8(RING_STEPS), COLUMNS, ring8(60, 1, **SMALL), seeds=range(20, 25), bounds=BOUNDS)
DIGITS = study.Study(
    "auto-digits",
    run,
    digits(RATES, GAMMAS, DIGITS_STEPS),
    DIGITS_COLUMNS,
    digits((1e-3,), (1.0,), 60, **{**SMALL, "--latent-size": 8}),
    seeds=(20,),
    bounds=BOUNDS,
)
RING = study.Section(
    "{steps} steps, batches of 512, both networks four hidden layers of 16 ReLU units (2003 parameters), RMSProp but "
    "for Adam, {seeds} seeds; mean and 95 % interval. A mode counts with at least 25 of 2560 samples within 0.1; "
    "quality is the fraction of samples within 0.1 of any mode. `auto` gets neither weight nor rate: it begins with 1 "
    "and 1e-4, and its first estimates, after 45, 90 and 135 steps, choose both. "
    "The digits are on [a page of their own](auto-digits.md), and so are [the trainings](loss_ratio.md) that users who "
    "tune by the losses need. By hand means the published setting, whose rate "
    "is made for 20 000 steps ([ring8.md](ring8.md)); at a rate of 1e-3 consensus has 8 modes in 2500 "
    "steps too ([optimizers.md](../optimizers.md)). The radius is the spectral radius of the step that is taken, in "
    f"float64 at the end; a step is called transient where it is above {gan_steps.GROWS:g}.\n\n"
    "The rule bounds weight and rate. Earlier forms without these bounds were given up after runs that are not kept; "
    "nothing on this page measures what the bounds are worth.",
    where=lambda cell: cell["data"] == "ring8",
    figures={"modes": ("Modes over the steps", lambda results: results.curves("modes_covered"))},
    pairs=[("auto", name) for name in ring8(RING_STEPS) if name != "auto"],
    compared=("modes_covered", "high_quality"),
)
GRID = study.Section(
    "{steps} steps, batches of 64, the convolutional network of `gantools train --data digits`, RMSProp, {seeds} seed. "
    "Coverage and kernel distance as training logs them. `auto` gets neither weight nor rate. The ring is on "
    "[a page of its own](auto.md).",
    columns=DIGITS_COLUMNS,
    where=lambda cell: cell["data"] == "digits",
)
PAGE = study.Page("Weight and rate that follow the eigenvalues", __doc__, [RING, GRID], verdict)

FORMS = {"digits": DIGITS}

if __name__ == "__main__":
    study.main(STUDY, PAGE, **FORMS)
