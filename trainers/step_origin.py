"""Where a NaN or an infinity of an optimizer's step arose: in one of its evaluations of the field, or in itself."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from gantools.games.game import Game
from gantools.games.origins.origin import Origin, find_origin
from gantools.trainers.optimizer import GameOptimizer

POINTS = 8  # evaluations of a step whose derivatives are looked at


@dataclasses.dataclass(frozen=True)
class _Evaluation:
    """Arguments of one evaluation of the field, and the random state before it."""

    w: Tensor
    buffers: Mapping[str, Tensor]
    batch: Any
    random: Tensor

    def origin(self, game: Game, derivative: bool = False) -> Origin | None:
        with torch.random.fork_rng([]):
            torch.set_rng_state(self.random)
            return find_origin(game, self.w, self.buffers, self.batch, derivative)


class _NotFiniteError(Exception):
    """Ends a step at its first evaluation that is not finite."""


def step_origin(optimizer: GameOptimizer, *batches: Any) -> Origin | None:
    """Take the step on these batches once more, from where the modules stand, and say where it stops being finite.

    Nothing moves: neither modules, state nor the global random state, which should be that from before the step where
    the losses draw random numbers.

    Args:
        optimizer: whose step came out NaN or infinite and was refused, so that its modules are still finite.
        batches: those of the step.

    Returns:
        The origin in the losses, their gradients, or where the step differentiates these, in that; None where all of
        these are finite, so that the arithmetic of the step overflowed.
    """
    game, seen = optimizer.game.alone, list[_Evaluation]()
    same = copy.copy(optimizer)
    same.game, same._examined, same.taken = copy.copy(game), True, None
    same.game.field_of = _watched(game, seen)  # type: ignore[method-assign]
    with torch.random.fork_rng([game.device] if game.device.type == "cuda" else []):
        try:
            same._next(batches)
        except _NotFiniteError:
            if (found := seen[-1].origin(game)) is not None:
                return found
    if not optimizer.second_order:
        return None
    origins = (evaluation.origin(game, derivative=True) for evaluation in seen[:POINTS])
    return next((origin for origin in origins if origin is not None), None)


def _watched(game: Game, seen: list[_Evaluation]) -> Callable[..., Any]:
    def field_of(leaves: Any, buffers: Any, batch: Any, *args: Any, **kwargs: Any) -> Any:
        w = game.flatten([leaf.detach() for leaf in leaves])
        seen.append(_Evaluation(w, {name: t.clone() for name, t in buffers.items()}, batch, torch.get_rng_state()))
        value = game.field_of(leaves, buffers, batch, *args, **kwargs)
        numbers = [value.vector.detach(), *value.losses.values()]
        if w.isfinite().all() and not all(bool(x.isfinite().all()) for x in numbers):
            raise _NotFiniteError
        return value

    return field_of
