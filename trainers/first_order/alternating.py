r"""Alternating gradient descent: the players move in turn, each against the others' new parameters."""

import dataclasses
from typing import Any

from torch import Tensor

from gantools.errors import GantoolsError
from gantools.registry import setting
from gantools.trainers.base_rules import BaseChoice
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer, State, StepInfo, base_setting


@OPTIMIZERS.register("alternating")
@dataclasses.dataclass(eq=False)
class Alternating(GameOptimizer):
    r"""Alternating gradient descent, as most GANs are trained: n_d steps of one player, then n_g of the other.

    $$y' = y - h\,\xi_y(x, y), \qquad x' = x - h\,\xi_x(x, y')$$

    The discriminator moves first in a GAN, and the players move in their own order in any other game. On a bilinear
    game with singular value $s$ the update's eigenvalues stay on the unit circle for $hs \le 2$: it neither converges
    nor diverges (Gidel et al. 2019, arXiv:1807.04740).

    A step takes one batch for each update of the longest turn; a shorter turn uses the last of them.
    """

    base: BaseChoice = base_setting()
    n_d: int = setting(1, "updates of the player that moves first (discriminator)")
    n_g: int = setting(1, "updates of each player after it (generator)")

    cost = "1 gradient"
    paper = "Goodfellow et al. 2014, arXiv:1406.2661"

    def __post_init__(self) -> None:
        super().__post_init__()
        if min(self.n_d, self.n_g) < 1:
            raise GantoolsError(f"n_d = {self.n_d} and n_g = {self.n_g}: every player needs at least one update.")

    @property
    def batches_per_step(self) -> int:
        return max(updates for _, updates in self.turns())

    def turns(self) -> list[tuple[str, int]]:
        """Return the players in the order in which they move, with their numbers of updates."""
        order = list(self.game.slices)
        if "discriminator" in order:
            order.sort(key=lambda player: player != "discriminator")
        return [(player, self.n_g if index else self.n_d) for index, player in enumerate(order)]

    def _update(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        losses, norms = {}, {}
        for player, updates in self.turns():
            for batch in batches[len(batches) - updates :]:
                value = self.game.field_at(w, state.buffers, batch, players=(player,))
                if player not in losses:
                    losses[player], norms[player] = value.losses[player], self.game.layout.norm(value.vector.detach())
                w, state = self.apply_base(w, {player: value.vector}, state, value, info=StepInfo({}, {}))
        ordered = {player: losses[player] for player in self.game.slices}
        info = StepInfo(ordered, {player: norms[player] for player in self.game.slices})
        return w, dataclasses.replace(state, info=info)
