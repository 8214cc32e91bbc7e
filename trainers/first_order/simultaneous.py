r"""Simultaneous gradient descent: all players move at once, each down its own gradient."""

import dataclasses
from typing import Any

from torch import Tensor

from gantools.trainers.base_rules import BaseChoice
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer, State, base_setting


@OPTIMIZERS.register("simultaneous")
@dataclasses.dataclass(eq=False)
class Simultaneous(GameOptimizer):
    r"""Simultaneous gradient descent, the baseline: all players move at once.

    $$w' = w - h\,\xi(w)$$

    On a game with purely imaginary eigenvalues $\pm i s$ it diverges for every step size: the update's eigenvalues are
    $1 \mp i h s$. With one player it is gradient descent.

    >>> optimizer = gt.trainers.Simultaneous(game, lr=0.1)
    >>> info = optimizer.step(batch)
    >>> {player: float(loss) for player, loss in info.losses.items()}
    {'x': -0.75, 'y': 0.75}
    """

    base: BaseChoice = base_setting()

    cost = "1 gradient"
    paper = "baseline"

    def _update(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        value = self.game.field_at(w, state.buffers, batches[0])
        return self.apply_base(w, self.by_player(value.vector), state, value)
