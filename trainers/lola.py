r"""Learning with opponent-learning awareness: descend the loss that the others' next step will leave."""

import dataclasses
from typing import Any

from torch import Tensor

from gantools.trainers.base import Base
from gantools.trainers.opponent_shaping import OpponentShaping, alpha_setting
from gantools.trainers.optimizer import OPTIMIZERS, State, base_setting


@OPTIMIZERS.register("lola")
@dataclasses.dataclass(eq=False)
class Lola(OpponentShaping):
    r"""LOLA: each player descends its loss after the others' next gradient step, to first order, through that step.

    .. math:: w_i' = w_i - h\,\nabla_i \Big(L_i - \sum_{j \ne i} \alpha_j \langle\nabla_j L_i, \xi_j\rangle\Big)
        \quad\text{or}\quad w' = w - h\,\big((I - \alpha H_o)\,\xi - \alpha\chi\big)

    where $H_o$ is $J$ without each player's block, and $\chi_i = \sum_{j \ne i} (\nabla_{ij} L_j) \nabla_j L_i$:
    the exact form of Letcher et al. (arXiv:1811.08469). The rule that Foerster et al. write drops $H_o\xi$: they leave
    out that $\nabla_j L_i$ depends on $w_i$ (section 3.2 of arXiv:1709.04326). Without $\chi$ it would be LookAhead.

    On a bilinear game the update has $1 - 2h\alpha s^2 \mp ihs$. Because of $\chi$ it need not keep the fixed points of
    the game; `sos` does. $\alpha_j$ is a plain gradient step, whatever the base.
    """

    base: "str | Base" = base_setting()
    alpha: float | None = alpha_setting()

    cost = "1 gradient + 2 products"
    paper = "Foerster et al. 2018, arXiv:1709.04326"

    def advance(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        graph = self.foresee(w, state, batches[0])
        direction = graph.value.vector - graph.both()
        return self.descend(w, self.by_player(direction), state, graph.value)
