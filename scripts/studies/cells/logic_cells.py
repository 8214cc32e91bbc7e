"""Small nets trained on truth tables, many starts at once, and measures of what they learned."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from harness import study
from torch import Tensor

from gantools.data.classification import Gate, Parity
from gantools.data.seeds import derive_seed

ACTIVATIONS = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "silu": torch.nn.functional.silu}
# An output is right within this of its target; a unit works if it moves the output by this share of the strongest's.
CLOSE, WORKS = 0.4, 0.05


def rows(cell: study.Cell) -> tuple[Tensor, Tensor]:
    """Return inputs (R, inputs) and targets (R, outputs); of a cell that is numbered, the state's number."""
    task: Any = Parity(bits=3, function=cell["function"]) if "function" in cell else Gate(gate=cell["gate"])
    sample = task.draw()
    inputs, targets = sample.inputs, sample.targets[:, None]
    if cell.get("numbered"):
        places = 2.0 ** torch.arange(inputs.shape[1] - 1, -1, -1, dtype=inputs.dtype)
        inputs = (inputs @ places / places.sum())[:, None]
    return (targets, inputs) if cell.get("backwards") else (inputs, targets)


def drawn(sizes: list[int], starts: int, rng: torch.Generator) -> list[Tensor]:
    """Return weights (S, in, out) and biases (S, 1, out) of every layer in turn."""
    made = []
    for before, after in zip(sizes, sizes[1:], strict=False):
        spread = (5 / before) ** 0.5
        made.append((2 * torch.rand(starts, before, after, generator=rng, dtype=torch.float64) - 1) * spread)
        made.append(torch.full((starts, 1, after), 0.1, dtype=torch.float64))
    return [p.requires_grad_() for p in made]


def outputs(parameters: list[Tensor], x: Tensor, activation: Any) -> tuple[Tensor, Tensor]:
    """Return the outputs (S, R, outputs), and the inputs of the last layer."""
    x = x.expand(len(parameters[0]), -1, -1)
    for weight, bias in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
        x = activation(torch.baddbmm(bias, x, weight))
    return torch.baddbmm(parameters[-1], x, parameters[-2]), x


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Train all starts of a seed, and return the fractions that learned the function."""
    return together(cell, [seed])[seed]


def together(cell: study.Cell, seeds: Sequence[int]) -> dict[int, study.Result]:
    """Train all starts of several seeds, and return the fractions that learned the function, by seed."""
    inputs, targets = rows(cell)
    streams = [torch.Generator().manual_seed(derive_seed(seed, "logic gates")) for seed in seeds]
    sizes = [inputs.shape[1], *cell["hidden"], targets.shape[1]]
    starts = [drawn(sizes, cell["starts"], rng) for rng in streams]
    parameters = [torch.cat(own).detach().requires_grad_() for own in zip(*starts, strict=True)]
    activation, total = ACTIVATIONS[cell["activation"]], len(inputs)
    # Each start has states of its own to learn from.
    order = torch.cat([torch.rand(cell["starts"], total, generator=rng).argsort(1) for rng in streams])
    seen = (order < cell.get("shown", total))[..., None]
    optimizer = torch.optim.Adam(parameters, lr=cell["rate"])
    for _ in range(cell["steps"]):
        answers, _ = outputs(parameters, inputs, activation)
        # Starts share no parameter, so the gradient of the sum is each one's own.
        loss = (((answers - targets) ** 2) * seen).sum() / (seen[0].sum() * targets.shape[1])
        if cell["penalty"]:
            loss = loss + cell["penalty"] / 2 * sum(w.square().sum() for w in parameters[:-2:2])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        answers, last = outputs(parameters, inputs, activation)
    moved = last.std(1) * parameters[-2].detach().norm(dim=2)
    parts = (t.split(cell["starts"]) for t in (answers, seen, moved))
    each = zip(seeds, zip(*parts, strict=True), strict=True)
    return {seed: _measured(cell, targets, *own) for seed, own in each}


def _measured(cell: study.Cell, targets: Tensor, answers: Tensor, seen: Tensor, moved: Tensor) -> study.Result:
    """Return the numbers of one seed from its starts' answers (S, R, outputs) and what their units move (S, units)."""
    right = (answers - targets).abs() < CLOSE
    result = {
        "solved": float((right | ~seen).flatten(1).all(1).double().mean()),
        "error": float(((answers - targets) ** 2)[seen.expand_as(answers)].mean()),
    }
    if cell["hidden"]:
        result["working"] = float((moved > WORKS * moved.amax(1, keepdim=True)).sum(1).double().mean())
    if "shown" in cell:
        same_side = (answers > 0.5) == (targets > 0.5)
        result["unseen"] = float(same_side[~seen].double().mean())
        result["frequent"] = most_frequent(cell["shown"])
    return result


def most_frequent(shown: int) -> float:
    """Return the accuracy, on the states not shown, of the answer most frequent among the shown; 0.5 at a tie.

    The mean over all choices of `shown` of the eight states, for a function that is 1 on four of them, as all here are.
    """
    accuracies = []
    for ones in range(max(0, shown - 4), min(4, shown) + 1):
        right = (4 - ones if 2 * ones > shown else 4 - (shown - ones)) / (8 - shown)
        ways = math.comb(4, ones) * math.comb(4, shown - ones)
        accuracies.append((0.5 if 2 * ones == shown else right, ways))
    return sum(a * ways for a, ways in accuracies) / sum(ways for _, ways in accuracies)
