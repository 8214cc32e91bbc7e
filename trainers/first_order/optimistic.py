r"""Optimistic mirror descent: twice the present step, minus the last one."""

import dataclasses
from typing import Any, ClassVar

import torch
from torch import Tensor

from gantools.trainers.base_rules import BaseChoice
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer, State, base_setting
from gantools.trainers.scales import Unit

PAST = "past_step"


@OPTIMIZERS.register("optimistic")
@dataclasses.dataclass(eq=False)
class Optimistic(GameOptimizer):
    r"""Optimistic mirror descent: twice the base's present step, minus its last one (arXiv:1711.00141).

    $$w_{t+1} = w_t - 2 s_t + s_{t-1}, \qquad s_t = h\,\xi(w_t) \ \text{over sgd}$$

    The steps $s$ are the base's own, so that over `adam` this is optimistic Adam, Algorithm 1 of the paper. The past
    step starts at 0: the first step is a double one. Over `sgd` the eigenvalues solve
    $X^2 - (1 - 2h\lambda)X - h\lambda = 0$; on a bilinear game it contracts exactly for $hs < 1/\sqrt3$.

    The authors' own code subtracts the step before the last one, by the order of its assignments; other public code
    keeps the last gradient by reference, which in-place zeroing turns into plain descent.
    """

    base: BaseChoice = base_setting()

    cost = "1 gradient"
    paper = "Daskalakis et al. 2018, arXiv:1711.00141"
    memory_units: ClassVar[dict[str, Unit]] = {PAST: "parameters"}

    def init(self, w: Tensor) -> State:
        return self.remember(super().init(w), PAST, torch.zeros_like(w))

    def _update(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        value = self.game.field_at(w, state.buffers, batches[0])
        past = self.recall(state, PAST)
        steps, state = self.base_steps(self.by_player(value.vector), state, value)
        step = -torch.cat(list(steps.values()))
        return w + 2 * step - past, self.remember(state, PAST, step)
