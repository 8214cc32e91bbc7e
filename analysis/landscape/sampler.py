"""The field of a game at points of its parameter space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gantools.batches import batch_size, walk
from gantools.errors import GantoolsError
from gantools.games.game import Game


@dataclass(frozen=True)
class Point:
    """A point in a game's parameter space, with the buffers that belong to it.

    Attributes:
        vector: (n,) the parameters.
        buffers: copies of buffers and frozen parameters, as from `Game.buffers()`; None for the game's own.
    """

    vector: Tensor
    buffers: dict[str, Tensor] | None = None


def point(game: Game) -> Point:
    """Return a copy of a game's present parameters and buffers."""
    return Point(game.vector(), game.buffers())


def as_point(game: Game, where: Point | Tensor) -> Point:
    """Return a vector or point as a `Point` on the game's device; refuse one that does not fit the game."""
    found = where if isinstance(where, Point) else Point(where)
    if not isinstance(found.vector, Tensor):
        raise GantoolsError(
            f"A point is a vector ({game.num_parameters},) or what point(game) returned, not a {type(where).__name__}."
        )
    game.require_vector(found.vector)
    return Point(found.vector.detach().to(device=game.device, dtype=game.dtype), found.buffers)


class FieldSampler:
    """The field and the losses of a game at any points and buffers, on one batch or the mean of several.

    The game does not move; each module keeps the train or eval mode that it has at construction.
    """

    def __init__(self, game: Game, batch: Any):
        self.game, self.batches, self.modes = game, walk(batch), game.modes()

    def __call__(self, w: Tensor, buffers: dict[str, Tensor]) -> tuple[Tensor, dict[str, float]]:
        """Return the field (n,), and each player's loss."""
        total, weights = torch.zeros_like(w), 0
        losses: dict[str, Any] = dict.fromkeys(self.game.slices, 0.0)
        with self.game.frozen(self.modes):
            for one in self.batches:
                value, weight = self.game.field_at(w, buffers, one), batch_size(one)
                total += weight * value.vector
                losses = {player: losses[player] + weight * loss for player, loss in value.losses.items()}
                weights += weight
        if not weights:
            raise GantoolsError("There are no batches to evaluate the field on: the iterable was empty.")
        return total / weights, {player: float(loss) / weights for player, loss in losses.items()}
