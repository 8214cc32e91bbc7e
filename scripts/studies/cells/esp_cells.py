"""The classifiers of the ESP experiment: trained, and the signs of their Hessian counted at every tolerance."""

from pathlib import Path

import numpy as np
from harness import study

import gantools as gt
from gantools.data.classification import CLASSIFICATION_TASKS, accuracy, problem
from gantools.schedules import Exponential
from gantools.trainers import Adam

ESP = "esp(beta=0.0, learned=True, std=0.004)"
# Activations of the hidden units, and of the logit.
KINDS = {
    "relu": ("relu", ""), "sigmoid": ("sigmoid", ""), "silu": ("silu", ""), "esp": (ESP, ESP),
    "relu, learned output slope": ("relu", ESP),
}  # fmt: skip
SETS = {"linear": ("esp_linear", 1000), "nonlinear": ("esp_nonlinear", 2300)}
HIDDEN = {"10": (10,), "8-2": (8, 2)}
TOLERANCES = np.logspace(-17, 0, 69)
MARKS = {"1e-10": 1e-10, "1e-06": 1e-6, "1e-04": 1e-4}


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
    train, test = CLASSIFICATION_TASKS[task]().draw(seed).split(0.75, seed)
    return {
        "train": accuracy(game.players.model, train), "test": accuracy(game.players.model, test),
        "loss": float(optimizer.state.info.losses["model"]), "gradient": float(game.field(batch).norm()),
        "zero rows": float((hessian.abs().amax(1) == 0).double().mean()),
        **{f"alpha {name}": float((values < -tol * abs(values).max()).mean()) for name, tol in MARKS.items()},
        **{f"gamma {name}": float((abs(values) <= tol * abs(values).max()).mean()) for name, tol in MARKS.items()},
        "curves": {"step": TOLERANCES.tolist(), "alpha": [float((values < -t).mean()) for t in levels],
                   "gamma": [float((abs(values) <= t).mean()) for t in levels]},
    }  # fmt: skip
