"""Training and measures of a recurrent net: its loss against that without memory, and gradients through time."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from harness import study
from torch import Tensor, nn

import gantools as gt
from gantools.data.seeds import derive_seed
from gantools.data.sequences import Copying
from gantools.nn import SequenceModel
from gantools.nn.recurrent.maps import StateMap

Make = Callable[[int, torch.Generator], nn.Module]
Extra = Callable[[nn.Module, torch.Generator], dict[str, float]]
COLUMNS = {"parameters": "parameters", "loss": "loss", "ratio": "loss / memoryless", "accuracy": "accuracy",
           "area": "mean over training", "best": "lowest in training"}  # fmt: skip
BOUNDS = {"accuracy": (0.0, 1.0), **dict.fromkeys(("loss", "ratio", "area", "best"), (0.0, math.inf))}
# Explanation of these columns on a page.
EXPLAINED = """Columns: the cross-entropy of an answer in nats after training, on 500 new sequences; the same as a
fraction of the loss of the best answer without memory; the fraction of right answers. Over training, on its own
batches: the mean of that fraction of the loss over all steps, lower the sooner a net learns, and its lowest value."""


def lstm(input_size: int, hidden_size: int, rng: torch.Generator) -> nn.LSTM:
    """Return an LSTM as torch makes it, but drawn from a generator."""
    return _drawn(nn.LSTM(input_size, hidden_size, batch_first=True), rng)


def gru(input_size: int, hidden_size: int, rng: torch.Generator) -> nn.GRU:
    """Return a GRU as torch makes it, but drawn from a generator."""
    return _drawn(nn.GRU(input_size, hidden_size, batch_first=True), rng)


def _drawn(cell: Any, rng: torch.Generator) -> Any:
    for p in cell.parameters():
        nn.init.uniform_(p, -(cell.hidden_size**-0.5), cell.hidden_size**-0.5, generator=rng)
    return cell


class MultipliedOut(StateMap):
    """A unitary map as the matrix that its factors make, once a sequence: the same step in fewer operations."""

    def __init__(self, factors: Any):
        super().__init__(factors.size)
        self.factors = factors

    def constants(self) -> Tensor:
        return self.factors.matrix().T

    def apply_to(self, h: Tensor, constants: Tensor) -> Tensor:
        return h @ constants

    def penalty(self) -> Tensor:
        """Return that of the factors."""
        return self.factors.penalty()


def multiplied_out(cell: Any) -> Any:
    """Return a unitary cell with its map multiplied out; for small states."""
    cell.recurrent = MultipliedOut(cell.recurrent)
    return cell


def trained(make: Make, task: Any, seed: int, base: Any, steps: int, **more: Any) -> study.Result:
    """Train a cell with a linear readout and measure it, as `trained_together` does those of several seeds.

    Raises:
        GantoolsError: where the loss is not finite at the end.
    """
    result = trained_together(make, task, [seed], base, steps, **more)[seed]
    if "failed" in result:
        raise gt.GantoolsError(result["failed"])
    return result


def trained_together(
    make: Make,
    task: Any,
    seeds: Sequence[int],
    base: Any,
    steps: int,
    batch: int = 20,
    rate: float = 1e-3,
    constraint: float = 0.0,
    extra: Extra | None = None,
) -> dict[int, study.Result]:
    """Train a cell with a linear readout on fresh batches, one for each seed in one program, and measure each.

    Measured on the task's `held_out()` where it has one, else on 500 new sequences. `constraint` is the weight of the
    cell's `penalty()`, which is in no loss that is returned; `extra` returns more numbers of a trained net. A seed
    whose loss is not finite has `{"failed": ...}`.
    """
    draws = [torch.Generator().manual_seed(derive_seed(seed, "parameters")) for seed in seeds]
    models = [SequenceModel(make(task.input_size, rng), task.output_size, rng) for rng in draws]
    if len(seeds) > 1 and isinstance(models[0].cell, nn.RNNBase):  # which has no rule for vmap
        each = [trained_together(make, task, [seed], base, steps, batch, rate, constraint, extra) for seed in seeds]
        return dict(item for one in each for item in one.items())

    def loss(model: Any, batch: dict[str, Tensor]) -> Tensor:
        own = task.loss(model(batch["input"]), batch)
        return own + constraint * model.cell.penalty() if constraint else own

    games = [gt.minimization(model, loss) for model in models]
    streams = [torch.Generator().manual_seed(derive_seed(seed, "batches")) for seed in seeds]
    game: Any = gt.stacked(games) if len(games) > 1 else games[0]
    optimizer = gt.trainers.make("simultaneous", game, lr=rate, base=base)
    losses = []
    for _ in range(steps):
        batches = [task.batch(batch, stream) for stream in streams]
        optimizer.step(game.each(batches) if len(games) > 1 else batches[0])
        losses.append(torch.as_tensor(optimizer.state.info.losses["model"]).reshape(-1).tolist())
    if len(games) > 1:
        game.hand_out()
    columns = np.array(losses).T / task.baseline
    results = {}
    for seed, model, stream, relative in zip(seeds, models, streams, columns, strict=True):
        results[seed] = _measured(model, task, stream, relative)
        if extra is not None and "failed" not in results[seed]:
            results[seed] |= extra(model, stream)
    return results


def _measured(model: nn.Module, task: Any, stream: torch.Generator, relative: np.ndarray) -> study.Result:
    """Return the numbers of one trained net, from its relative losses (steps,) and a test."""
    held = task.held_out() if hasattr(task, "held_out") else task.batch(500, stream)
    with torch.no_grad():
        outputs = model(held["input"])
        final = float(task.loss(outputs, held))
    if not math.isfinite(final):
        return {"failed": "The loss is not finite any more."}
    steps = len(relative)
    window = max(1, steps // 40)
    means = relative[: steps - steps % window].reshape(-1, window).mean(1)
    return {
        "parameters": sum(p.numel() for p in model.parameters()), "loss": final, "ratio": final / task.baseline,
        "area": float(relative.mean()), "best": float(relative.min()),
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
