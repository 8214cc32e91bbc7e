r"""Alex-GDA: alternating descent against the others' extrapolated positions."""

import dataclasses
from typing import Any, ClassVar

import torch
from torch import Tensor

from gantools.registry import setting
from gantools.trainers.base_rules import BaseChoice
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer, State, StepInfo, base_setting
from gantools.trainers.scales import Unit

AHEAD = "extrapolated"


@OPTIMIZERS.register("alex_gda")
@dataclasses.dataclass(eq=False)
class AlexGDA(GameOptimizer):
    r"""Alex-GDA: alternating descent in which each player sees the others' extrapolated positions (arXiv:2402.10475).

    $$x' = x - h\,\xi_x(x, \tilde y), \quad \tilde x = x + \gamma(x' - x), \qquad
        y' = y - h\,\xi_y(\tilde x, y), \quad \tilde y' = y + \delta(y' - y)$$

    $(\gamma, \delta) = (0, 1)$ is `simultaneous` and $(1, 1)$ is `alternating`; with both at least 1, and not both
    1, it converges linearly on bilinear games for small steps, at one gradient a player and step.

    $\gamma$ belongs to the player that moves first and $\delta$ to the one after it (in a game of more than the paper's
    two players, to all after it). As in `alternating` the discriminator moves first in a GAN. $\tilde y$ is memory;
    over another base than `sgd`, the base's step takes the place of $h\,\xi$.
    """

    base: BaseChoice = base_setting()
    gamma: float = setting(2.0, "extrapolation factor of the first player's step; 1 for none")
    delta: float = setting(1.0, "extrapolation factor of the other players' steps; 1 for none")

    cost = "1 gradient"
    paper = "Lee et al. 2024, arXiv:2402.10475"
    memory_units: ClassVar[dict[str, Unit]] = {AHEAD: "parameters"}

    def __post_init__(self) -> None:
        super().__post_init__()
        first, *self._rest = sorted(self.game.slices, key=lambda player: player != "discriminator")
        self.factors = {first: self.gamma} | dict.fromkeys(self._rest, self.delta)

    def init(self, w: Tensor) -> State:
        state, parts = super().init(w), self.by_player(w)
        ahead = {f"{player}:{AHEAD}": parts[player].clone() for player in self._rest}
        return dataclasses.replace(state, memory={**state.memory, **ahead})

    def _update(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        ahead = self.by_player(w) | {player: state.memory[f"{player}:{AHEAD}"] for player in self._rest}
        seen = StepInfo(dict.fromkeys(ahead, w.new_zeros(())), dict.fromkeys(ahead, w.new_zeros(())))
        for player, factor in self.factors.items():
            own = self.by_player(w)[player]
            point = torch.cat([own if other == player else ahead[other] for other in self.game.slices])
            value = self.game.field_at(point, state.buffers, batches[0], players=(player,))
            seen.losses[player] = value.losses[player]
            seen.field_norms[player] = self.game.layout.norm(value.vector.detach())
            w, state = self.apply_base(w, {player: value.vector}, state, value, info=seen)
            ahead[player] = self.game.nearest(player, own + factor * (self.by_player(w)[player] - own))
        memory = state.memory | {f"{player}:{AHEAD}": ahead[player] for player in self._rest}
        return w, dataclasses.replace(state, memory=memory)
