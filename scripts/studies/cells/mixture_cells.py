"""Planted mixtures in the plane, the models fitted to their points, and the errors of the fits."""

import itertools
import math
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import study
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

from gantools.data.seeds import derive_seed, random_stream
from gantools.nn import QuantumMixture

Array = np.ndarray[Any, Any]
# Means, amplitudes and phases; covariances are those of `SHAPES` in turn. Phases None: a Gaussian mixture.
SHAPES = np.array([[[1.0, 0.3], [0.3, 0.8]], [[0.7, -0.2], [-0.2, 1.2]], [[0.9, 0.0], [0.0, 0.9]]])
PLANTED: dict[str, tuple[list[list[float]], list[float], list[float] | None]] = {
    "Gaussian, distance 2": ([[-1, 0], [1, 0]], [1.0, 0.8], None),
    "Gaussian, distance 3": ([[-1.5, 0], [1.5, 0]], [1.0, 0.8], None),
    "Gaussian, three": ([[-1.5, 0], [1.5, 0], [0, 2.5]], [1.0, 0.8, 0.9], None),
    "filled gap": ([[-1.5, 0], [1.5, 0]], [1.0, 0.8], [0.0, 0.3]),
    "valley": ([[-1, 0], [1, 0]], [1.0, 0.8], [0.0, 2.8]),
}
METHODS = {"EM": None, "waves, phases fixed": (False, math.pi / 2), "waves": (True, math.pi / 2),
           "waves, from phase 0": (True, 0.0)}  # fmt: skip
# A fit failed if a mean ends farther from its own planted one than this.
FAR = 1.0


def draw(planted: str, count: int, stream: np.random.Generator) -> tuple[Array, Any]:
    """Return points (N, 2), and the density that they come from."""
    *parts, phases = PLANTED[planted]
    means, amplitudes = map(np.array, parts)
    covariances = SHAPES[: len(means)]
    if phases is not None:
        waves = QuantumMixture(len(means)).set_parameters(amplitudes, means, covariances, phases)
        return waves.sample(count, torch.Generator().manual_seed(int(stream.integers(2**31)))), waves
    truth = GaussianMixture(len(means))
    truth.weights_, truth.means_, truth.covariances_ = amplitudes**2 / (amplitudes**2).sum(), means, covariances
    truth.precisions_cholesky_ = np.linalg.inv(np.linalg.cholesky(covariances)).transpose(0, 2, 1)
    which = stream.choice(len(means), count, p=truth.weights_)
    noise = np.einsum("nij,nj->ni", np.linalg.cholesky(covariances)[which], stream.standard_normal((count, 2)))
    return means[which] + noise, truth


def fitted(method: str, points: Array, means: Array) -> Any:
    """Return the mixture fitted from these means, the covariance of all points, and equal weights."""
    count, covariance = len(means), np.cov(points.T)
    settings = METHODS[method]
    if settings is None:
        start: Any = {"weights_init": np.full(count, 1 / count), "means_init": means,
                 "precisions_init": np.repeat(np.linalg.inv(covariance)[None], count, 0)}  # fmt: skip
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            return GaussianMixture(count, max_iter=1000, tol=1e-6, **start).fit(points)
    learned, phase = settings
    waves = QuantumMixture(count, learned, warm_start=True)
    # Equal phases would be a stationary point of the phases.
    phases = np.linspace(0, phase or 0.05, count)
    return waves.set_parameters(np.ones(count), means, np.repeat(covariance[None], count, 0), phases).fit(points)


def errors(found: Any, truth: Any) -> tuple[float, float, float]:
    """Return the largest distance of a mean, and root mean squares over means and covariances, best order taken."""
    orders = (list(order) for order in itertools.permutations(range(len(truth.means_))))
    order = min(orders, key=lambda o: ((found.means_[o] - truth.means_) ** 2).sum())
    away = np.linalg.norm(found.means_[order] - truth.means_, axis=1)
    spread = found.covariances_[order] - truth.covariances_
    return float(away.max()), float(np.sqrt((away**2).mean())), float(np.sqrt((spread**2).mean()))


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Fit one method to all repetitions of a seed; methods see the same points and the same starts."""
    found = []
    for repetition in range(cell["repetitions"]):
        stream = random_stream(derive_seed(seed, cell["planted"]), repetition)
        points, truth = draw(cell["planted"], cell["points"], stream)
        held, _ = draw(cell["planted"], 4000, stream)
        means = points[stream.choice(len(points), len(truth.means_), replace=False)]
        mixture = fitted(cell["method"], points, means)
        away, mean, covariance = errors(mixture, truth)
        found.append([truth.score(held) - mixture.score(held), mean, covariance, away > FAR])
    lost, mean, covariance, failed = np.array(found, dtype=float).T
    return {"lost": lost.mean(), "mean error": np.median(mean), "covariance error": np.median(covariance),
            "failed fits": failed.mean()}  # fmt: skip
