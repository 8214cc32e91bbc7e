"""Training and measures of a recurrent net: its loss against that without memory, and gradients through time."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from harness import study
from torch import Tensor, nn

import gantools as gt
from gantools.data.seeds import derive_seed
from gantools.data.sequences import Copying, SequenceTask
from gantools.nn import SequenceModel

Make = Callable[[int, torch.Generator], nn.Module]
COLUMNS = {"parameters": "parameters", "loss": "loss", "ratio": "loss / memoryless", "accuracy": "accuracy",
           "area": "mean over training", "best": "lowest in training"}  # fmt: skip
BOUNDS = {"accuracy": (0.0, 1.0), **dict.fromkeys(("loss", "ratio", "area", "best"), (0.0, math.inf))}
# Explanation of these columns on a page.
EXPLAINED = """Columns: the cross-entropy of an answer in nats after training, on 500 new sequences; the same as a
fraction of the loss of the best answer without memory; the fraction of right answers. Over training, on its own
batches: the mean of that fraction of the loss over all steps, lower the sooner a net learns, and its lowest value."""


def lstm(input_size: int, hidden_size: int, rng: torch.Generator) -> nn.LSTM:
    """Return an LSTM as torch makes it, but drawn from a generator."""
    cell = nn.LSTM(input_size, hidden_size, batch_first=True)
    for p in cell.parameters():
        nn.init.uniform_(p, -(hidden_size**-0.5), hidden_size**-0.5, generator=rng)
    return cell


def trained(
    make: Make,
    task: SequenceTask,
    seed: int,
    base: Any,
    steps: int,
    batch: int = 20,
    rate: float = 1e-3,
    constraint: float = 0.0,
) -> study.Result:
    """Train a cell with a linear readout on fresh batches and measure it on 500 new sequences.

    `constraint` is the weight of the cell's `penalty()`, which is in no loss that is returned.
    """
    rng = torch.Generator().manual_seed(derive_seed(seed, "parameters"))
    model = SequenceModel(make(task.input_size, rng), task.output_size, rng)

    def loss(model: Any, batch: dict[str, Tensor]) -> Tensor:
        own = task.loss(model(batch["input"]), batch)
        return own + constraint * model.cell.penalty() if constraint else own

    game, drawn = gt.minimization(model, loss), torch.Generator().manual_seed(derive_seed(seed, "batches"))
    optimizer = gt.trainers.make("simultaneous", game, lr=rate, base=base)
    losses = []
    for _ in range(steps):
        optimizer.step(task.batch(batch, drawn))
        losses.append(float(optimizer.state.info.losses["model"]))
    held = task.batch(500, drawn)
    with torch.no_grad():
        outputs = model(held["input"])
        final = float(task.loss(outputs, held))
    if not math.isfinite(final):
        raise gt.GantoolsError("The loss is not finite any more.")
    relative, window = np.array(losses) / task.baseline, max(1, steps // 40)
    means = relative[: steps - steps % window].reshape(-1, window).mean(1)
    return {
        "parameters": game.num_parameters, "loss": final, "ratio": final / task.baseline,
        "area": relative.mean(), "best": relative.min(),
        "accuracy": float(task.accuracy(outputs, held)),
        "curves": {"step": list(range(window, steps + 1, window)), "loss / memoryless": means.tolist()},
    }  # fmt: skip


def gradient_ratio(make: Make, seed: int, steps: int = 100) -> float:
    r"""Return $\|\partial C/\partial h_1\| / \|\partial C/\partial h_T\|$ at the start, `steps` steps apart.

    C is a random linear function of the last output of a copying sequence, in float64; the state of an LSTM is h and c.
    """
    rng = torch.Generator().manual_seed(derive_seed(seed, "parameters"))
    task = Copying(delay=steps + 1 - 20)
    cell = make(task.input_size, rng).double()
    x = task.batch(8, rng)["input"].double()
    first, state = cell(x[:, :1])
    single = isinstance(state, Tensor)
    leaves = [s.detach().requires_grad_() for s in ((state,) if single else state)]
    weight = torch.randn(first[:, -1].shape, generator=rng, dtype=torch.float64)
    outputs, _ = cell(x[:, 1:], leaves[0] if single else tuple(leaves))
    gradient = torch.autograd.grad((outputs[:, -1] * weight).sum(), leaves)
    return float(torch.cat([g.flatten() for g in gradient]).norm() / weight.norm())
