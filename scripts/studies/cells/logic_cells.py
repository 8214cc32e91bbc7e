"""Small nets trained on truth tables, many starts at once, and measures of what they learned."""

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
    """Return inputs (R, inputs) and targets (R, outputs)."""
    task: Any = Parity(bits=3, function=cell["function"]) if "function" in cell else Gate(gate=cell["gate"])
    sample = task.draw()
    inputs, targets = sample.inputs, sample.targets[:, None]
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
    rng, (inputs, targets) = torch.Generator().manual_seed(derive_seed(seed, "logic gates")), rows(cell)
    parameters = drawn([inputs.shape[1], *cell["hidden"], targets.shape[1]], cell["starts"], rng)
    activation, total = ACTIVATIONS[cell["activation"]], len(inputs)
    # Each start has states of its own to learn from.
    order = torch.rand(cell["starts"], total, generator=rng).argsort(1)
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
    right = (answers - targets).abs() < CLOSE
    moved = last.std(1) * parameters[-2].detach().norm(dim=2)
    result = {
        "solved": float((right | ~seen).flatten(1).all(1).double().mean()),
        "error": float(((answers - targets) ** 2)[seen.expand_as(answers)].mean()),
    }
    if cell["hidden"]:
        result["working"] = float((moved > WORKS * moved.amax(1, keepdim=True)).sum(1).double().mean())
    if "shown" in cell:
        same_side = (answers > 0.5) == (targets > 0.5)
        result["unseen"] = float(same_side[~seen].double().mean())
    return result
