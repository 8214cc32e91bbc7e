"""A loss of which a part has no gradient: it counts in the value, and no parameter is moved for it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gantools.analysis.diagnosis.case import Case
from gantools.analysis.diagnosis.observation import Observation, observe
from gantools.analysis.diagnosis.result import Advice, Finding
from gantools.batches import map_tensors

STEPS = (1e-5, 1e-4, 1e-3)  # of the length of a player's parameters; the smallest that rounding allows is taken
EXACT = 0.2  # difference of two estimates, relative to the larger, up to which they are believed
AMISS = 0.25  # the derivative of a loss along its gradient differs by so much of the gradient's norm


def missing_gradient(case: Case) -> Iterator[Finding]:
    """A training that gets nowhere, of which one loss changes otherwise along its gradient than the gradient says."""
    if not case.given or not case.stalled:
        return
    points = [(case.start, case.optimizer.state.buffers), (case.walk.w, case.walk.state.buffers)]
    for player in case.game.slices:
        ratios = [_ratio(case, player, *point) for point in points]
        amiss = [ratio for ratio in ratios if ratio is not None and abs(ratio - 1) > AMISS]
        if not amiss:
            continue
        words = (
            f"along its gradient the loss of {player} changes {amiss[0]:.3g} times as fast as the gradient says, by "
            "differences: a part of it has no gradient, or that of something else."
        )
        graphless, line = _graphless(case), f"Look in the loss of {player} for detach, no_grad, .data and .item()."
        if graphless:
            line = f"Pass create_graph=True to torch.autograd.grad, which a loss calls without it. {line}"
        advice = Advice(
            line,
            "the player is moved for all of its loss, penalties included.",
            "an update takes longer; a gradient that is stopped on purpose, as straight-through, is to stay stopped.",
        )
        yield Finding("missing_gradient", words, False, (advice,), player, harm=1.0 if graphless else 0.5)


class _Grad(TorchFunctionMode):
    """Notes whether a gradient was taken that cannot be differentiated again."""

    met = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        self.met |= func is torch.autograd.grad and not (kwargs or {}).get("create_graph")
        return func(*args, **(kwargs or {}))


def _graphless(case: Case) -> bool:
    """Return whether a loss takes a gradient without create_graph=True."""
    leaves = [piece.detach().requires_grad_() for piece in case.game.unflatten(case.start)]
    batch, mode = map_tensors(Tensor.detach, case.batches[0]), _Grad()
    with torch.random.fork_rng(), torch.enable_grad(), mode:
        case.game.module.call(case.game.layout.names, leaves, case.game.buffers(), batch, lambda losses: losses)
    return mode.met


def _ratio(case: Case, player: str, w: Tensor, buffers: Mapping[str, Tensor]) -> float | None:
    """Return the derivative of a player's loss along its gradient over the gradient's norm; None where it is not known.

    By central differences of two steps, which must agree and stand out from rounding.
    """
    part, seen = case.game.slices[player], _seen(case, w, buffers)
    gradient, length = seen.field[part], float(w[part].norm())
    norm, unit = float(gradient.norm()), max(torch.finfo(dtype).eps for dtype in {w.dtype, *seen.dtypes})
    if not (math.isfinite(norm) and norm > 0 and length > 0):
        return None
    for step in (length * step for step in STEPS):
        if 8 * unit * abs(seen.losses[player]) <= EXACT * step * norm:
            found = [
                _difference(case, player, w, buffers, gradient * (k * step / norm)) / (k * step * norm) for k in (1, 2)
            ]
            return found[0] if abs(found[0] - found[1]) <= EXACT * max(1.0, *map(abs, found)) else None
    return None


def _difference(case: Case, player: str, w: Tensor, buffers: Mapping[str, Tensor], move: Tensor) -> float:
    """Return half the difference of a player's loss at both ends of a move of its parameters."""
    whole = torch.zeros_like(w)
    whole[case.game.slices[player]] = move
    high, low = (_seen(case, w + sign * whole, buffers).losses[player] for sign in (1, -1))
    return (high - low) / 2


def _seen(case: Case, w: Tensor, buffers: Mapping[str, Tensor]) -> Observation:
    """Return what is seen at a point, with the same random numbers every time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return observe(case.game, w, buffers, case.batches[0])
