r"""Symplectic gradient adjustment (SGA): the field plus its Jacobian's antisymmetric part, applied to it."""

import dataclasses
from typing import Any

from torch import Tensor

from gantools.registry import setting
from gantools.schedules import Scheduled
from gantools.trainers.base_rules import BaseChoice
from gantools.trainers.field_graph import FieldGraph
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer, State, base_setting


@OPTIMIZERS.register("sga")
@dataclasses.dataclass(eq=False)
class SymplecticGradientAdjustment(GameOptimizer):
    r"""Symplectic gradient adjustment: add the antisymmetric part of the Jacobian, applied to the field.

    $$w' = w - h\,(\xi + \lambda A^{\mathsf T}\xi), \qquad A = \tfrac12(J - J^{\mathsf T})$$

    With alignment $\lambda$ takes the sign of $\tfrac1n \langle\xi, J^{\mathsf T}\xi\rangle \langle A^{\mathsf T}\xi,
    J^{\mathsf T}\xi\rangle + \epsilon$, which bends the field towards stable points and away from unstable ones; $n$ is
    the number of parameters. The authors' notebook divides by the number of tensors instead, and public copies take
    $\epsilon$ from 0.1 (theirs) to $10^{-10}$. The sign is a constant to the linearisation, as it is almost everywhere.

    On $\tfrac\mu2 x^2 + sxy - \tfrac\mu2 y^2$ with $\lambda > 0$ the update has the eigenvalues
    $1 - h((\mu + \lambda s^2) \pm is(1 - \lambda\mu))$ (arXiv:1802.05642).
    """

    base: BaseChoice = base_setting()
    weight: Scheduled = setting(1.0, "weight lambda of the adjustment")
    align: bool = setting(True, "whether the weight takes the sign that turns towards stable points")
    eps: float = setting(0.1, "added to the alignment before its sign is taken: positive favours stability")

    second_order = True
    cost = "1 gradient + 3 products"
    paper = "Balduzzi et al. 2018, arXiv:1802.05642"

    def _update(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        graph = FieldGraph(self.game, w, state.buffers, batches[0])
        field = graph.value.vector
        uphill = graph.transposed(field)  # the gradient of half the field's squared norm
        adjustment = (uphill - graph.product(field)) / 2
        scaled = self.scaled(self.weight, adjustment, state)
        if self.align:
            dot, n = self.game.layout.dot, w.numel() // self.game.layout.copies
            scaled = scaled * (dot(field, uphill) * dot(adjustment, uphill) / n + self.eps).sign()
        return self.apply_base(w, self.by_player(field + scaled), state, graph.value)
