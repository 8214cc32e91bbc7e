r"""Jacobian regularization (JARE): each player also descends the squared norms of the others' gradients."""

import dataclasses
from typing import Any

from torch import Tensor

from gantools.registry import setting
from gantools.schedules import Scheduled
from gantools.trainers.base_rules import BaseChoice
from gantools.trainers.field_graph import FieldGraph
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer, State, base_setting
from gantools.trainers.per_player import require_weight


@OPTIMIZERS.register("jare")
@dataclasses.dataclass(eq=False)
class Jare(GameOptimizer):
    r"""Jacobian regularization (JARE), the off-diagonal part of consensus (arXiv:1806.09235).

    $$w_i' = w_i - h\,\Big(\xi_i + \gamma\,\nabla_{w_i} \sum_{j \ne i} \tfrac12 \lVert\xi_j\rVert^2\Big)
        \quad\text{or}\quad w' = w - h\,(\xi + \gamma\,O^{\mathsf T}\xi)$$

    with $O$ the Jacobian without each player's own block. In a zero-sum game $O^{\mathsf T}\xi$ is the adjustment
    $A^{\mathsf T}\xi$ of `sga`. On a bilinear game the update has the eigenvalues $1 - h\gamma s^2 \mp ihs$.
    """

    base: BaseChoice = base_setting()
    gamma: Scheduled = setting(10.0, "weight of the others' squared gradient norms")

    second_order = True
    cost = "1 gradient + 2 products"
    paper = "Nie and Patel 2019, arXiv:1806.09235"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_weight(self.gamma, "gamma")

    def _update(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        graph = FieldGraph(self.game, w, state.buffers, batches[0])
        field = graph.value.vector
        direction = field + self.scaled(self.gamma, graph.off_diagonal(graph.transposed, field), state)
        return self.apply_base(w, self.by_player(direction), state, graph.value)
