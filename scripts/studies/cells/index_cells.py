"""Classifiers whose Hessian's index is taken along training, and at a stationary point nearby."""

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cells import esp_cells
from harness import study
from torch import Tensor, nn

import gantools as gt
from gantools.data.classification import CLASSIFICATION_TASKS, accuracy, problem
from gantools.data.seeds import derive_seed, random_stream
from gantools.data.sources import make_source
from gantools.networks.mlp import perceptron
from gantools.nn import activation
from gantools.schedules import Exponential
from gantools.trainers import Adam

ESP = esp_cells.ESP
# Activations of the hidden units, and of the outputs; the authors' ESP nets have it on both.
KINDS = {"relu": ("relu", ""), "tanh": ("tanh", ""), "sigmoid": ("sigmoid", ""), "silu": ("silu", ""),
         "esp": (ESP, ESP)}  # fmt: skip
TOLERANCE = 1e-4  # of the largest modulus


def _along(game: gt.Game, batch: Any, steps: int, looks: Sequence[int]) -> Iterator[int]:
    """Train by Adam as the authors did, full batches, and yield each number of steps that is to be looked at."""
    rate = Exponential(0.01, 0.01 * 0.9 ** (steps / 500), max(steps, 1))
    optimizer = gt.trainers.make("simultaneous", game, lr=rate, base=Adam())
    for number in range(steps + 1):
        if number in looks:
            yield number
        optimizer.step(batch)


def _curves(found: Mapping[int, Mapping[str, float]]) -> dict[str, list[float]]:
    """Return what was seen at each step as curves."""
    names = next(iter(found.values()))
    return {"step": [float(step) for step in found], **{name: [row[name] for row in found.values()] for name in names}}


# The wave, whole Hessians -----------------------------------------------------------------------------------------


def counted(game: gt.Game, batch: Any) -> dict[str, float]:
    """Return the fractions of eigenvalues of the whole Hessian below minus the tolerance, and within it."""
    hessian = gt.analysis.jacobian(game, batch).dense().numpy()
    values = np.linalg.eigvalsh((hessian + hessian.T) / 2)
    level = TOLERANCE * abs(values).max()
    return {"alpha": float((values < -level).mean()), "gamma": float((abs(values) <= level).mean())}


def wave(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Train a net on the wave of the ESP experiment, and go to a stationary point nearby."""
    hidden, outer = KINDS[cell["activation"]]
    game, batch = problem("esp_nonlinear", (10,), hidden, outer, seed=seed, fraction=0.75)
    found = {step: counted(game, batch) for step in _along(game, batch, cell["steps"], cell["looks"])}
    before = found[max(found)]
    point = gt.analysis.stationary_point(game, batch, max_steps=cell["search"], apply=True)
    there = counted(game, batch)
    train, _ = CLASSIFICATION_TASKS["esp_nonlinear"]().draw(seed).split(0.75, seed)
    return {
        "train": accuracy(game.players.model, train), "alpha": before["alpha"], "gamma": before["gamma"],
        "norm": point.start_norm, "alpha there": there["alpha"], "gamma there": there["gamma"],
        "norm there": point.norm, "reached": float(point.converged), "flat": float(point.gradient_flat),
        "curves": _curves(found),
    }  # fmt: skip


# Handwritten digits, intervals ------------------------------------------------------------------------------------


def digits(images: int, seed: int) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return so many images of MNIST (N, 784) in [0, 1] with their classes for training, and half as many others."""
    source = make_source("mnist5k")
    order = torch.from_numpy(random_stream(seed, "digits").permutation(source.size))[: images + images // 2]
    pixels, labels = source.select(order).flatten(1) / 2 + 0.5, source.labels[order]
    return (pixels[:images], labels[:images]), (pixels[images:], labels[images:])


def net(kind: str, hidden: int, seed: int) -> nn.Sequential:
    """Return the paper's classifier 784-25-10, or of another number of hidden units."""
    rng = torch.Generator().manual_seed(derive_seed(seed, "parameters"))
    inner, outer = KINDS[kind]
    layers = perceptron([784, hidden, 10], inner, rng)
    return nn.Sequential(*layers, *([activation(outer, 10, "real", rng)] if outer else []))


def mnist(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Train the classifier of digits and take the index of its Hessian, with its interval, along the way."""
    training, held = digits(cell["images"], seed)
    model = net(cell["activation"], cell["hidden"], seed)
    game = gt.minimization(model, lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1]))
    found = {}
    for step in _along(game, training, cell["steps"], cell["looks"]):
        operator = gt.analysis.jacobian(game, training)
        level = TOLERANCE * gt.analysis.eigenvalues(operator, k=1, tol=1e-3).scale
        index = gt.analysis.index(operator, level, "estimate", probes=1, steps=cell["lanczos"], seed=seed)
        found[step] = {
            "alpha": index.negative, "alpha from": index.interval["negative"][0],
            "alpha to": index.interval["negative"][1], "gamma from": index.interval["zero"][0],
            "gamma to": index.interval["zero"][1], "zero rows": index.zero_rows / operator.n,
            "norm": float(index.gradient_norm or math.nan),
        }  # fmt: skip
    right = [float((model(x).argmax(1) == y).float().mean()) for x, y in (training, held)]
    return {"train": right[0], "test": right[1], **found[max(found)], "curves": _curves(found)}
