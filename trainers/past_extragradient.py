r"""Extragradient that extrapolates with the field it saw last, and so evaluates one field a step."""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from gantools.trainers.base import Base
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer, State, base_setting

PAST = "past_field"


@OPTIMIZERS.register("past_extragradient")
@dataclasses.dataclass(eq=False)
class PastExtragradient(GameOptimizer):
    r"""Extrapolation from the past: extragradient for the price of one field, the last one taken again.

    .. math:: \tilde w_t = w_t - h\,\xi(\tilde w_{t-1}), \qquad w_{t+1} = w_t - h\,\xi(\tilde w_t)

    The past field starts at 0, so that the first step is a plain one. Eigenvalues solve
    $X^2 - (1 - 2h\lambda)X - h\lambda = 0$, as those of `optimistic` over `sgd` do: the points $\tilde w$ are its
    iterates. A base with memory sees both fields, as in Algorithm 4 (option 2) of the paper, so its moments move twice.

    What `step` reports was seen at the extrapolated point, the only one where the field is evaluated.
    """

    base: "str | Base" = base_setting()

    cost = "1 gradient"
    paper = "Gidel et al. 2019, arXiv:1802.10551; Popov 1980"

    def init(self, w: Tensor) -> State:
        return self.remember(super().init(w), PAST, torch.zeros_like(w))

    def advance(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        ahead, state = self.move(w, self.by_player(self.recall(state, PAST)), state)
        there = self.game.field_at(ahead, state.buffers, batches[0])
        w, state = self.descend(w, self.by_player(there.vector), state, there)
        return w, self.remember(state, PAST, there.vector)
