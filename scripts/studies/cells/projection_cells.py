"""Eigenvalues of a training step fitted to random projections of the parameters, beside those of `update_operator`."""

import cmath
from pathlib import Path

import numpy as np
import torch
from harness import study

import gantools as gt
from gantools.runs.config import Choice
from gantools.runs.configure import configure
from gantools.runs.experiment import build

PROJECTIONS, DELAYS, RANK, LOOKS = 32, 4, 12, 10
WITHIN = 0.05


def fitted(y: np.ndarray, delays: int = DELAYS, rank: int = RANK) -> np.ndarray:
    r"""Return eigenvalues of the linear map that best continues a series, by modulus, the largest first.

    Delay-embedded dynamic mode decomposition (Tu et al. 2014, arXiv:1312.0041; Brunton et al. 2017, arXiv:1608.05306):
    differences $v_t = y_{t+1} - y_t$, in which a fixed point has no part, are stacked over `delays` steps, projected
    on their leading singular vectors, and $v_{t+1} \approx A v_t$ is solved by least squares there.

    Args:
        y: (steps, projections) the series.
        delays: neighbouring differences in one row.
        rank: singular vectors kept.
    """
    v = np.diff(y, axis=0)
    rows = np.hstack([v[i : len(v) - delays + 1 + i] for i in range(delays)])
    before, after = rows[:-1], rows[1:]
    U, s, Vt = np.linalg.svd(before, full_matrices=False)
    kept = min(rank, int((s > 1e-9 * s[0]).sum()))
    small = (U[:, :kept].T @ after @ Vt[:kept].T) / s[:kept, None]
    values = np.linalg.eigvals(small)
    return values[np.argsort(-np.abs(values))]


def compared(found: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """Return how far the leading eigenvalue of a fit is from that of the step: itself, and its rate log |.|.

    The trivial guess is 1, which is near every eigenvalue of a step with a small learning rate.
    """
    one, other = complex(found[0]), complex(true[0])
    one, other = (complex(x.real, abs(x.imag)) for x in (one, other))
    rate = abs(cmath.log(one) - cmath.log(other)) / max(abs(cmath.log(other)), 1e-12)
    return {"error": abs(one - other) / abs(other), "error of 1": abs(1 - other) / abs(other), "error of rate": rate}


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Return the medians over looks of the errors, and of how many looks each was within 5 %."""
    torch.set_num_threads(1)
    looks = synthetic(cell, seed) if cell["data"] == "synthetic" else trained(cell, seed)
    result: study.Result = {name: float(np.median([look[name] for look in looks])) for name in looks[0]}
    for name in looks[0]:
        result[f"{name} within"] = sum(look[name] <= WITHIN for look in looks) * LOOKS / len(looks)
    return result


def synthetic(cell: study.Cell, seed: int) -> list[dict[str, float]]:
    """Return the errors for linear updates with two leading pairs and 10 % noise on what is seen."""
    rng, looks = np.random.default_rng(seed), []
    for _ in range(LOOKS):
        leading = [0.995 * cmath.exp(0.3j), 0.98 * cmath.exp(0.1j)]
        blocks = [np.array([[x.real, -x.imag], [x.imag, x.real]]) for x in leading]
        n, rest = 60, np.diag(rng.uniform(0, 0.8, 56))
        A = np.zeros((n, n))
        A[:2, :2], A[2:4, 2:4], A[4:, 4:] = *blocks, rest
        basis = np.linalg.qr(rng.normal(size=(n, n)))[0]
        w, series = basis @ rng.normal(size=n), []
        projection = rng.normal(size=(n, PROJECTIONS)) / n**0.5
        for _ in range(cell["window"]):
            series.append(w @ projection)
            w = basis @ (A @ (basis.T @ w))
        y = np.array(series)
        looks.append(compared(fitted(y + 0.1 * y.std() * rng.normal(size=y.shape), delays=20), np.array(leading)))
    return looks


def trained(cell: study.Cell, seed: int) -> list[dict[str, float]]:
    """Return the errors at ten looks in one training run, the window before each being what is fitted."""
    optimizer = Choice(cell["optimizer"], {"lr": cell["lr"]})
    config = configure(
        optimizer, base=Choice(cell["base"]), data=Choice(cell["data"]), seed=seed, batch_size=cell["batch"],
        network=Choice("mlp", {"width": cell["width"]}), device="cpu",
    )  # fmt: skip
    experiment = build(config)
    game, method, batches = experiment.game, experiment.optimizer, experiment.stream
    n = game.num_parameters
    projection = torch.randn(n, PROJECTIONS, generator=torch.Generator().manual_seed(seed)) / n**0.5
    fixed, looks = batches.take(method.batches_per_step), []

    def step() -> None:
        method.step(*(fixed if cell["batches"] == "one" else batches.take(method.batches_per_step)))

    for _ in range(cell["warm"]):
        step()
    for _ in range(LOOKS):
        series = []
        for _ in range(cell["window"]):
            step()
            series.append((game.vector() @ projection).double().numpy())
        U = gt.analysis.update_operator(method, *fixed)
        true = gt.analysis.eigenvalues(U, k=2, which="LM", tol=1e-4, vectors=False).values.numpy()
        looks.append(compared(fitted(np.array(series)), true))
    return looks
