r"""Adaptive competitive gradient descent: with a rate for each parameter, as RMSProp has."""

import dataclasses

import torch
from torch import Tensor

from gantools.errors import GantoolsError
from gantools.registry import setting
from gantools.trainers.base import safe_sqrt
from gantools.trainers.competitive import Competitive
from gantools.trainers.optimizer import OPTIMIZERS, State

SECOND_MOMENT = "square_avg"


@OPTIMIZERS.register("adaptive_competitive")
@dataclasses.dataclass(eq=False)
class AdaptiveCompetitive(Competitive):
    r"""ACGD: competitive gradient descent whose rates adapt, one for each parameter (arXiv:1910.05852).

    .. math:: v' = \beta v + (1-\beta)\,\xi^2, \qquad
              H = \operatorname{diag} \frac{h\sqrt{1-\beta^t}}{\sqrt{v'} + \epsilon}, \qquad
              w' = w - (I + HA)^{-1} H\,\xi(w)

    See `competitive` for $A$, and for how the system, made symmetric by $H^{1/2}$, is solved. As in the authors' code
    $\epsilon$ stands beside the root of the moment that is not yet corrected for its start from 0, so that in the first
    steps it weighs more than Adam's. Their code for general-sum games has $\epsilon = 10^{-6}$ and starts each solution
    from 0.
    """

    beta: float = setting(0.99, "decay of the second moment")
    eps: float = setting(1e-5, "added outside the square root")

    paper = "Schäfer et al. 2020, arXiv:1910.05852"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.beta < 1:
            raise GantoolsError(f"beta = {self.beta} is outside [0, 1): pass a decay rate in that range.")
        if not self.eps > 0:
            raise GantoolsError(f"eps = {self.eps} does not bound the rates: pass a positive number.")

    def init(self, w: Tensor) -> State:
        return self.remember(super().init(w), SECOND_MOMENT, torch.zeros_like(w))

    def roots(self, field: Tensor, state: State) -> tuple[Tensor, State]:
        moment = self.beta * self.recall(state, SECOND_MOMENT) + (1 - self.beta) * field.square()
        rates, parts = self.rates_at(state), self.by_player(safe_sqrt(moment) + self.eps)
        corrected = {player: rates[player] * (1 - self.beta ** (state.counters[player] + 1)) ** 0.5 for player in parts}
        roots = torch.cat([corrected[player] ** 0.5 * part.rsqrt() for player, part in parts.items()])
        return roots, self.remember(state, SECOND_MOMENT, moment)
