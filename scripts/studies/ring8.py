"""Consensus against simultaneous gradient on the ring of eight Gaussians, with the settings of The Numerics of GANs.

The experiment of Mescheder, Nowozin and Geiger (2017, arXiv:1705.10461): eight modes on the unit circle, sigma 0.01,
stratified batches of 512, latents from N(0, I) in 16 dimensions, four hidden layers of 16 ReLU units in both networks
(2003 parameters), nonsaturating loss, RMSProp, learning rate 1e-4, gamma 10. Both flavours of RMSProp: PyTorch's, and
TensorFlow 1's, which the authors ran. Then, in float64 on one batch, the spectra at the start and at the end.

    python scripts/studies ring8 --jobs 2
    tensorboard --logdir runs/ring8
"""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cells import gan_steps, ring8_figures
from harness import study

import gantools as gt
from gantools.cli.flags import parse_train
from gantools.data.random_state import random_state_kept, seed_global_generators
from gantools.runs.experiment import build

LOOKS, GAMMA = 4, 10.0
METHODS, BASES = ("consensus", "simultaneous"), ("rmsprop", "rmsprop_tf1")
ZERO = 1e-8  # modulus of eigenvalues of J that are those of dead ReLU paths


def flags(cell: study.Cell, seed: int) -> list[str]:
    """Return the flags of one GAN, with a look and a checkpoint after every quarter of the steps."""
    every = str(max(1, cell["steps"] // LOOKS))
    settings = {"data": "ring8", "optimizer": cell["optimizer"], "optimizer.base": cell["base"], "seed": seed,
                "network.width": cell["width"], "batch-size": cell["batch"], "steps": cell["steps"],
                "sample-every": every, "checkpoint-every": every, "spectrum-every": 0, "log-every": 100}  # fmt: skip
    return [word for name, value in settings.items() for word in (f"--{name}", str(value))]


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Train one GAN; return its modes at every look, the extremes of its spectra, and of the first seed pictures."""
    torch.set_num_threads(1)
    trained, last = study.train_gan(flags(cell, seed), folder)
    looks = {r["step"]: r for r in trained.metrics() if r["step"] and "metrics/modes_covered" in r}
    opened = gt.load(folder)
    found, values = spectra(opened.double())
    result = {
        "modes": last["metrics/modes_covered"], "quality": last["metrics/high_quality"],
        "all modes": float(last["metrics/modes_covered"] == 8), **found,
        **{f"modes at look {i}": look["metrics/modes_covered"] for i, look in enumerate(looks.values(), 1)},
        "curves": {"step": list(looks), "modes_covered": [look["metrics/modes_covered"] for look in looks.values()],
                   "high_quality": [look["metrics/high_quality"] for look in looks.values()]},
    }  # fmt: skip
    return result | ({"pictures": pictures(cell, folder, values)} if seed == 0 else {})


def spectra(run: gt.runs.load.Run) -> tuple[study.Result, dict[str, np.ndarray]]:
    """Return the extremes, free of the scale of losses, and the eigenvalues of J and of h D^-1 J.

    The spectral radius of the update, moments and consensus' term included, is that of its leading eigenvalue.
    """
    batch = run.batches[run.step]
    (rate,) = set(run.optimizer.rates.values())  # that of both players
    J = gt.analysis.jacobian(run.game, batch)
    followed = gt.analysis.preconditioned(J, run.optimizer) * rate
    values = {name: eigenvalues(A) for name, A in (("J", J), ("h D^-1 J", followed))}
    update = gt.analysis.eigenvalues(gt.analysis.update_operator(run.optimizer, batch), k=1, tol=1e-4, vectors=False)
    radius = float(abs(update.values[0])) if update.converged.all() else math.nan
    largest, own, steps = abs(values["J"]).max(), values["J"], values["h D^-1 J"]
    return {
        "largest": float(largest), "repulsion": float(max(0.0, -own.real.min()) / largest),
        "rotation": float(abs(own.imag).max() / largest), "zeros": int((abs(own) < ZERO).sum()),
        "least real": float(steps.real.min()), "largest real": float(steps.real.max()),
        "largest imaginary": float(abs(steps.imag).max()), "radius": radius,
    }, values  # fmt: skip


def eigenvalues(A: gt.analysis.LinearOperator) -> np.ndarray:
    """Return all eigenvalues, (n,)."""
    return torch.linalg.eigvals(A.dense()).numpy()


def pictures(cell: study.Cell, folder: Path, end: dict[str, np.ndarray]) -> dict[str, Any]:
    """Return samples over the steps, and the spectra of J and of J + gamma J^T J at the start and at the end."""
    samples, spectra = [at_start(cell).sample(1024)], {"start": at_start(cell, wide=True)}
    steps = study.RunFolder(folder).steps()
    samples += [gt.load(folder, step).sample(1024) for step in steps]
    spectra["end"] = gt.load(folder).double().experiment
    found: dict[str, Any] = {"steps": [0, *steps], "samples": [x.double().numpy().round(4).tolist() for x in samples]}
    for when, experiment in spectra.items():
        J = gt.analysis.jacobian(experiment.game, experiment.batches[0]).dense()
        for name, matrix in (("J", J), ("J + gamma J^T J", J + GAMMA * J.T @ J)):
            found[f"{name}, {when}"] = plain(torch.linalg.eigvals(matrix).numpy())
    return found | {name: plain(values) for name, values in end.items()}


def at_start(cell: study.Cell, wide: bool = False) -> Any:
    """Return the GAN before its first step, of the first seed."""
    config = parse_train(flags(cell, 0)).config
    with random_state_kept():
        seed_global_generators(config.seed)
        return build(config, wide=wide)


def plain(values: np.ndarray) -> list[list[float]]:
    """Return complex numbers as pairs, to seven digits."""
    return [[float(f"{x.real:.7g}"), float(f"{x.imag:.7g}")] for x in values]


def cells(steps: int, width: int, batch: int) -> dict[str, study.Cell]:
    """Return both methods over both flavours of RMSProp."""
    common = {"steps": steps, "width": width, "batch": batch, "starts": 1}
    return {f"{m}, {b}": {"optimizer": m, "base": b, **common} for b in BASES for m in METHODS}


def verdict(results: study.Results) -> list[str]:
    """Return how many runs end with all modes, and how far spectra reach, without a word on which is better."""
    said = []
    for base in BASES:
        pair = [f"{method}, {base}" for method in METHODS]
        full = [results.shown(name, "all modes") for name in pair]
        said.append(
            f"{base}: all 8 modes at the end in {full[0]} of the runs of consensus, exact interval, and in {full[1]} "
            f"of those of simultaneous gradient. {results.difference(*pair, 'modes')} "
            f"{results.difference(*pair, 'quality')}"
        )
    for column in ("repulsion", "rotation", "largest real", "least real", "radius"):
        ends = [np.concatenate([results.values(f"{m}, {b}", column) for b in BASES]) for m in METHODS]
        reach = [f"{np.nanmin(x):.3g} to {np.nanmax(x):.3g}" for x in ends]
        name = results.study.columns[column]
        said.append(
            f"{name[:1].upper()}{name[1:]}, over all runs, without a test: {reach[0]} after consensus, {reach[1]} "
            "after simultaneous gradient."
        )
    cells = results.study.cells.items()
    return said + [gan_steps.transient(name, {c["steps"]: results.values(name, "radius")}) for name, c in cells]


MODES = {"all modes": "all 8 modes", "modes": "modes of 8", "quality": "quality",
         **{f"modes at look {i}": f"after {i}/4" for i in range(1, LOOKS)}}  # fmt: skip
SPECTRA = {"repulsion": "repulsion", "rotation": "rotation", "least real": "least real part of h D^-1 J",
           "largest real": "largest real part of h D^-1 J", "largest imaginary": "largest imaginary part of it",
           "radius": "radius of the update", "zeros": "zeros"}  # fmt: skip
STUDY = study.Study(
    "ring8",
    run,
    cells(20_000, 16, 512),
    {**MODES, **SPECTRA},
    quick=cells(40, 4, 64),
    seeds=range(8),
    bounds={"modes": (0.0, 8.0), "quality": (0.0, 1.0), "repulsion": (0.0, 1.0), "rotation": (0.0, 1.0)},
    trials={"all modes": "starts"},
    flags=flags,
)
PAGE = study.Page(
    "Ring of eight Gaussians: consensus against simultaneous gradient",
    __doc__,
    [
        study.Section(
            """{steps} steps, {seeds} seeds. A mode counts with at least 25 of 2560 samples within 0.1, quality is the
fraction of samples within 0.1 of any mode; both at the end, and modes also after each quarter of the steps. "all 8
modes" is the fraction of runs.""",
            columns=MODES,
            figures={
                "samples": (
                    "Samples of the first seed over the steps (in the titles), in the plane of the data",
                    ring8_figures.samples,
                )
            },
            pairs=[(f"consensus, {base}", f"simultaneous, {base}") for base in BASES],
            compared=("modes", "quality"),
        ),
        study.Section(
            f"""Spectra at the last step, all eigenvalues in float64 on one batch. J is the Jacobian of the field:
positive real parts attract; Mescheder's v' is -J. The size of its eigenvalues is that of the losses, which says nothing
of stability. So "repulsion" is the strongest negative real part and "rotation" the largest imaginary part of J, both
over its largest modulus, and h D^-1 J is J in units of the step of RMSProp, h its learning rate, D the roots of its
second moments: a plain step of that size multiplies an eigenvector by 1 - mu; where |1 - mu| > 1 it repels if
Re mu < 0, and overshoots if not. The radius is that of the step that the method takes, consensus' term and second
moments included: above 1 some direction grows at this step; above {gan_steps.GROWS:g} the step is called transient.
Zeros are eigenvalues of J of modulus below {ZERO:g}, of dead ReLU paths.""",
            columns=SPECTRA,
            figures={
                "spectra": ("Spectra of the first seed at the end", ring8_figures.ends),
                "regularized": ("Spectra of J and of J + gamma J^T J before and after", ring8_figures.regularized),
            },
        ),
    ],
    verdict,
)
