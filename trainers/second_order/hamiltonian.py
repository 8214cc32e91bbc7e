r"""Hamiltonian gradient descent: all players descend the squared norm of the field, and not their losses."""

import dataclasses
from typing import Any

from torch import Tensor

from gantools.trainers.base_rules import BaseChoice
from gantools.trainers.field_graph import FieldGraph
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer, State, base_setting


@OPTIMIZERS.register("hamiltonian")
@dataclasses.dataclass(eq=False)
class Hamiltonian(GameOptimizer):
    r"""Hamiltonian gradient descent: descend half the squared norm of the field, a single function of all parameters.

    $$w' = w - h\,\nabla \tfrac12\lVert\xi(w)\rVert^2 = w - h\,J^{\mathsf T}\xi$$

    The limit of `consensus` as its weight grows. It converges to any stationary point, maxima included: a reference
    rather than a method to train with. On a bilinear game the update has the eigenvalue $1 - hs^2$, twice.
    """

    base: BaseChoice = base_setting()

    second_order = True
    cost = "1 gradient + 1 product"
    paper = "Balduzzi et al. 2018, arXiv:1802.05642"

    def _update(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        graph = FieldGraph(self.game, w, state.buffers, batches[0])
        direction = graph.transposed(graph.value.vector)
        return self.apply_base(w, self.by_player(direction), state, graph.value)
