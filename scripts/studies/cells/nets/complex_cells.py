"""Complex networks trained against real ones of equal size: digits, and the notes in synthetic music."""

import math
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cells.nets import chorales, music
from harness import study
from sklearn.datasets import load_digits
from sklearn.metrics import average_precision_score, precision_recall_curve
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from gantools.data.seeds import derive_seed, random_stream
from gantools.data.sources import make_source
from gantools.networks import ComplexResNet, ResNet
from gantools.nn import ComplexConv1d, Complexify, Parts, activation
from gantools.nn.init import blank

RECALLS = np.linspace(0, 1, 51)


def digits() -> tuple[Tensor, Tensor]:
    """Return scikit-learn's digits (N, 1, 8, 8) in [-1, 1] and their labels."""
    images, labels = load_digits(return_X_y=True)
    return torch.from_numpy(images).float().reshape(-1, 1, 8, 8) / 8 - 1, torch.from_numpy(labels)


def mnist() -> tuple[Tensor, Tensor]:
    """Return MNIST's digits (N, 1, 28, 28) in [-1, 1], of the data set `mnist5k`, and their labels."""
    source: Any = make_source("mnist5k")
    return source.select(torch.arange(source.size)), source.labels


IMAGES = {"digits": digits, "mnist": mnist}


def divided(task: str, seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return images and labels of a task, three quarters to train on and the others to test."""
    x, y = IMAGES[task]()
    order = torch.from_numpy(random_stream(seed, "split").permutation(len(y)))
    train, test = order.split([round(0.75 * len(y)), len(y) - round(0.75 * len(y))])
    return x[train], y[train], x[test], y[test]


def residual(cell: study.Cell, rng: torch.Generator) -> nn.Module:
    """Return a residual network of two stages, complex if its activation is."""
    kind = ResNet if cell["activation"] == "relu" else ComplexResNet
    return kind(1, 10, cell["filters"], cell["blocks"], 2, cell["activation"], rng=rng)


# Notes ---------------------------------------------------------------------------------------------------------------


class AsChannels(nn.Module):
    """Give complex numbers (B, C, n) as real channels (B, 2 C, n), and real ones as they are."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.real, x.imag], 1) if x.is_complex() else x


def listener(cell: study.Cell, rng: torch.Generator) -> nn.Module:
    """Return three convolutions along time or frequency, and a real linear map to the notes' logits.

    Strides 8, 4, 2 over samples, and 2, 2, 2 over 256 bins or 4, 2, 2 over 1024; a real net takes the parts of complex
    numbers as channels.
    """
    raw, complex_, width = cell["input"] == "audio", cell["activation"] != "relu", cell["width"]
    length, shapes, notes = ears(cell)
    layers: list[nn.Module] = [(Complexify() if raw else nn.Identity()) if complex_ else AsChannels()]
    n = 2 if cell["input"] == "spectra" and not complex_ else 1
    for (kernel, stride), out in zip(shapes, (width, 2 * width, 2 * width), strict=True):
        if complex_:
            layers.append(ComplexConv1d(n, out, kernel, stride=stride, rng=rng))
        else:
            conv = blank(nn.Conv1d, n, out, kernel, stride=stride)
            nn.init.normal_(conv.weight, std=math.sqrt(2 / (n * kernel)), generator=rng)
            layers.append(conv)
        layers.append(activation(cell["activation"], out, "complex" if complex_ else "real", rng))
        length, n = (length - kernel) // stride + 1, out
    head = blank(nn.Linear, length * n * (2 if complex_ else 1), notes)
    nn.init.xavier_uniform_(head.weight, generator=rng)
    return nn.Sequential(*layers, *([Parts()] if complex_ else []), nn.Flatten(), head)


def ears(cell: study.Cell) -> tuple[int, tuple[tuple[int, int], ...], int]:
    """Return the length of an input, kernels with their strides, and the number of notes."""
    if cell["task"] == "chorales":
        return chorales.BINS, ((8, 4), (6, 2), (6, 2)), chorales.NOTES
    if cell["input"] == "audio":
        return music.WINDOW, ((32, 8), (8, 4), (4, 2)), music.NOTES
    return 256, ((6, 2), (6, 2), (6, 2)), music.NOTES


def heard(cell: study.Cell, part: str, seed: int) -> tuple[Tensor, Tensor]:
    """Return inputs (N, 1, n) and labels of the training or the test pieces."""
    sounds, labels = music.windows(part, seed, cell["pieces"] if part == "train" else cell["pieces"] // 3)
    inputs = sounds if cell["input"] == "audio" else music.spectra(sounds)
    return (inputs.abs() if cell["input"] == "magnitudes" else inputs).unsqueeze(1), labels


# Both ----------------------------------------------------------------------------------------------------------------


def trained(net: nn.Module, x: Tensor, y: Tensor, cell: study.Cell, rng: torch.Generator) -> float:
    """Train by Adam down to a tenth of the cell's rate, and return the processor's seconds for a step, the median."""
    loss_of = binary_cross_entropy_with_logits if y.is_floating_point() else cross_entropy
    optimizer = torch.optim.Adam(net.parameters(), lr=cell["rate"])
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1 ** (1 / cell["steps"]))
    taken = []
    for _ in range(cell["steps"]):
        rows, begun = torch.randint(len(x), (64,), generator=rng), time.process_time()
        optimizer.zero_grad()
        loss_of(net(x[rows]), y[rows]).backward()
        optimizer.step()
        schedule.step()
        taken.append(time.process_time() - begun)
    return float(np.median(taken))


def reference(cell: study.Cell) -> study.Cell:
    """Return the real net of as many parameters, beside which a step is timed."""
    return {**cell, "activation": "relu", **cell["beside"], "steps": 10}


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Train one net and judge it on the test part; time its steps beside those of the real net of equal size."""
    seeds = (torch.Generator().manual_seed(derive_seed(seed, name)) for name in ("parameters", "batches", "beside"))
    parameters, batches, beside = seeds
    make = listener if cell["task"] == "notes" else residual
    net, other = make(cell, parameters), make(reference(cell), beside)
    x, y, test, answers = (
        (*heard(cell, "train", seed), *heard(cell, "test", seed))
        if cell["task"] == "notes"
        else divided(cell["task"], seed)
    )
    seconds = trained(net, x, y, cell, batches), trained(other, x, y, reference(cell), beside)
    net.eval()
    with torch.no_grad():
        scores = net(test)
    found: dict[str, Any] = {
        "parameters": sum(p.numel() for p in net.parameters()), "step": seconds[0] / seconds[1],
    }  # fmt: skip
    if cell["task"] in IMAGES:
        return found | {"accuracy": float((scores.argmax(1) == answers).double().mean())}
    return found | judged(answers, scores)


def judged(answers: Tensor, scores: Tensor) -> dict[str, Any]:
    """Return average precision over all windows and notes together, chance, and precision over recall."""
    truth, guessed = answers.numpy().ravel(), scores.numpy().ravel()
    precision, recall, _ = precision_recall_curve(truth, guessed)
    curve = np.interp(RECALLS, recall[::-1], precision[::-1])
    return {
        "precision": float(average_precision_score(truth, guessed)), "chance": float(truth.mean()),
        "curves": {"step": (100 * RECALLS).tolist(), "precision": curve.tolist()},
    }  # fmt: skip
