"""Training and measures of a GAN on the ring whose rates are tuned: coverage, and the spectrum of its own step.

Everything is measured at the checkpoints of a run, in float64 where it is a spectrum; training draws no pictures.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import study

import gantools as gt
from gantools.data.sources import make_source
from gantools.metrics.distances import mode_coverage
from gantools.runs.load import Run

Flags = Callable[[study.Cell, int], list[str]]

LEADING, PRODUCTS = 10, 300
RATES, GAMMAS = (3e-4, 1e-3, 3e-3, 1e-2), (0.1, 1.0, 10.0)
# Settings of a cell before they are chosen; `runs` is the number of trials of the fraction of runs with all modes.
UNTUNED = {"runs": 1, "lr": RATES[1]}
# Above this some direction of the linearised step grows by e within a hundred steps.
GROWS = 1.01
COLUMNS = {
    "modes": "modes of 8", "all": "all 8", "quality": "quality", "lr": "rate",
    "max real": "max Re", "least real": "min Re", "real part": "Re / modulus", "imaginary": "max abs Im",
    "radius": "radius of the step",
}  # fmt: skip
BOUNDS = {"modes": (0.0, 8.0), "quality": (0.0, 1.0), "imaginary": (0.0, math.inf),
          "radius": (0.0, math.inf), "real part": (-1.0, 1.0)}  # fmt: skip
SETTINGS = "{steps} steps, batches of 256, RMSProp, {seeds} seeds; mean and 95 % interval.\n\n"
SHOWN = {name: COLUMNS[name] for name in ("modes", "all", "quality")}
FIGURES = {
    "all": ("By cell", lambda results: results.part(results.study.cells, SHOWN).figure()),
    "modes": ("Modes over the steps; a band spans the seeds", lambda results: results.curves("modes_covered")),
    "quality": ("Quality over the steps; a band spans the seeds", lambda results: results.curves("high_quality")),
}  # fmt: skip
EXPLAINED = f"""Columns: how many of the eight modes hold at least 25 of 2560 samples within 0.1, the fraction of runs
that have all eight, as quality the fraction of samples within 0.1 of any mode, and the learning rate that was chosen.
The rest is of the first {{spectra}} seeds, at the last step, on one batch in float64, in units of the step,
which the scale of the losses does not change: h D^-1 J, where J is the Jacobian of the players' field, h the rate and D
the roots of RMSProp's second moments. Of its {LEADING} eigenvalues of largest modulus: the largest real part (a plain
step overshoots from 1 and diverges from 2), the mean of real part over modulus, 1 where they attract, 0 where they only
rotate, -1 where they repel, and the largest imaginary part; of all, the least real part, which repels below 0. Then the
spectral radius of the update that the method takes, second moments and consensus term included: above 1 some direction
grows at this step. A step is called transient where that radius is above {GROWS}: linearised there, on this batch, some
direction grows by e within a hundred steps. Whether players leave, or hover because an overshoot raises the second
moments, that does not say; nor does the spectrum say where they end."""


def transience(results: study.Results) -> list[str]:
    """Return a sentence for each cell: at which steps its step is transient, in how many of the seeds looked at."""
    return [
        transient(name, {step: results.values(name, f"radius at {step}") for step in cell["at"]})
        for name, cell in results.study.cells.items() if cell["spectra"]
    ]  # fmt: skip


def transient(name: str, radii: Mapping[int, np.ndarray]) -> str:
    """Return at which steps a cell's step is transient; `radii` are those of its seeds by step, NaN where unknown."""
    known = {step: values[~np.isnan(values)] for step, values in radii.items()}
    counts = [f"at step {step} in {int((found > GROWS).sum())} of {len(found)} seeds" for step, found in known.items()]
    ranges = [f"{found.min():.3g} to {found.max():.3g}" if len(found) else "unknown" for found in known.values()]
    return f"{name}: transient {', '.join(counts)} (radius from {', '.join(ranges)})."


def ring8(cell: study.Cell, seed: int, *args: str) -> list[str]:
    """Return the flags of a GAN on the ring of eight Gaussians with a cell's optimizer, rate, steps and width."""
    settings = {"data": "ring8", "optimizer": cell["optimizer"], "optimizer.lr": str(cell["lr"]), "seed": str(seed),
                "network.width": str(cell["width"]), "steps": str(cell["steps"]), "batch-size": "256",
                "sample-every": "0", "checkpoint-every": str(cell["every"]), "spectrum-every": "0",
                "log-every": "200"}  # fmt: skip
    if cell["optimizer"] == "consensus":
        settings["optimizer.gamma"] = str(cell["gamma"])
    return [*(word for name, value in settings.items() for word in (f"--{name}", value)), *args]


def grid(cell: study.Cell) -> list[study.Cell]:
    """Return what is tried: rates; under consensus rates at the middle gamma, and gammas at the middle rate."""
    if cell["optimizer"] == "simultaneous":
        return [{"lr": rate} for rate in RATES]
    cross = [(rate, GAMMAS[1]) for rate in RATES] + [(RATES[1], gamma) for gamma in (GAMMAS[0], GAMMAS[2])]
    return [{"lr": rate, "gamma": gamma} for rate, gamma in cross]


def score(result: study.Result) -> float:
    """Return what settings are chosen by: the mean of modes / 8 and quality."""
    return (result["modes"] / 8 + result["quality"]) / 2


def tuning(steps: int, rule: str = "The rule, written before any run") -> study.Tuning:
    """Return the choice of rates and gammas by trials of so many steps; `cell["shorter"]` of each are run."""
    rule += (
        ": the highest mean, over these seeds, of the mean of modes / 8 and quality at "
        f"the end of {steps} steps; a run that stopped counts as 0."
    )
    return study.Tuning(grid, range(100, 106), score, rule, shorter)


def shorter(cell: study.Cell) -> study.Cell:
    """Return what a cell's trials have instead of its own settings."""
    return {"steps": cell["shorter"], "every": cell["shorter"], "spectra": 0}


def tuned_study(
    name: str, flags: Flags, cells: dict[str, study.Cell], columns: dict[str, str], **settings: Any
) -> study.Study:
    """Return a study of GANs on the ring, each cell of which has a rate of its own, and under consensus a gamma.

    Args:
        name: of the study.
        flags: (cell, seed) -> flags of `gantools train`, at the top of a module.
        cells: with `UNTUNED`.
        columns: of its table.
        settings: further ones of `study.Study`.
    """
    trials = {"all": "runs"}
    return study.Study(name, partial(run, flags), cells, columns, bounds=BOUNDS, trials=trials, flags=flags, **settings)


def run(flags: Flags, cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Train and measure one GAN."""
    return measured(cell, flags(cell, seed), seed, folder)


def verdict(section: study.Section, results: study.Results) -> list[str]:
    """Return what is seen of a section's pairs, and at which steps the steps are transient."""
    return section.told(results) + transience(results)


def measured(cell: study.Cell, args: Sequence[str], seed: int, folder: Path) -> study.Result:
    """Train `gantools train ARGS` in the folder, and measure the GAN at its checkpoints.

    The columns are those of `COLUMNS`, at the last step; the spectra are made for seeds below `cell["spectra"]`.
    """
    study.train_gan(args, folder)
    run = gt.load(folder)
    result = coverage(cell, run) | {"lr": cell["lr"], "parameters": run.game.num_parameters}
    if "gamma" in cell:
        result["gamma"] = cell["gamma"]
    for step in cell["at"] if seed < cell["spectra"] else ():
        found_there = spectra(run.at(step))
        result |= {f"radius at {step}": found_there["radius"]}
        result |= found_there  # in the end, of the last step
    return result


def looks(cell: study.Cell, run: Run) -> list[int]:
    """Return the steps of a run's checkpoints; one that was stopped between has further ones, which are left out."""
    return [step for step in run.steps if step and (step % cell["every"] == 0 or step == cell["steps"])]


def coverage(cell: study.Cell, run: Run) -> study.Result:
    """Return modes and quality of a GAN on the ring at its checkpoints, as curves, and those of the last."""
    source, steps = make_source("ring8"), looks(cell, run)
    found = [mode_coverage(one.sample(2560), source.modes, source.radius) for one in run.each(steps)]
    modes, quality = [float(one.covered) for one in found], [one.high_quality for one in found]
    return {
        "modes": modes[-1], "all": float(modes[-1] == 8), "quality": quality[-1],
        "curves": {"step": steps, "modes_covered": modes, "high_quality": quality},
    }  # fmt: skip


def spectra(run: Run) -> dict[str, float]:
    """Return the extremes of h D^-1 J and the spectral radius of the update at a run's checkpoint, in float64."""
    wide = run.double()
    return spectra_of(wide.optimizer, wide.batches[wide.step])


def spectra_of(optimizer: Any, batch: Any) -> dict[str, float]:
    """Return the same of a method that has made a step; its game and the batch are in float64."""
    (rate,) = set(optimizer.rates.values())  # that of both players
    followed = gt.analysis.preconditioned(gt.analysis.jacobian(optimizer.game, batch, method="reverse"), optimizer)
    leading = _ends(followed * rate, LEADING, "LM")
    least = _ends(followed * rate, 2, "SR")
    return {
        "max real": float(leading.real.max()), "least real": float(least.real.min()),
        "real part": float((leading.real / leading.abs()).mean()), "imaginary": float(leading.imag.abs().max()),
        "radius": radius_of(optimizer, batch),
    }  # fmt: skip


def radius_of(optimizer: Any, batch: Any) -> float:
    """Return the spectral radius of the update that a method takes."""
    # Eigenvalues of a step lie close together: near 1, by a learning rate's worth.
    return float(_ends(gt.analysis.update_operator(optimizer, batch), 2, "LM", tol=1e-6).abs().max())


def _ends(operator: gt.analysis.LinearOperator, k: int, which: str, tol: float = 1e-4) -> torch.Tensor:
    return gt.analysis.eigenvalues(operator, k, which, tol=tol, max_matvecs=PRODUCTS).values
