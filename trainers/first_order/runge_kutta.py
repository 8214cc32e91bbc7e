r"""Explicit Runge-Kutta steps of the joint flow $\dot w = -\xi(w)$: what Heun's method and RK4 share."""

import dataclasses
from typing import Any, ClassVar

from torch import Tensor

from gantools.errors import GantoolsError
from gantools.registry import setting
from gantools.trainers.field_graph import FieldGraph
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer, State

CRITIC = "discriminator"


def penalty_setting() -> Any:
    """Return the dataclass field of ODE-GAN's regularizer."""
    return setting(0.0, "weight of the squared norm of the others' gradients, which the discriminator also descends")


class RungeKutta(GameOptimizer):
    r"""A method whose k-th slope is taken at $w - h\,c_k\,\xi_{k-1}$; the step is a weighted mean of the slopes.

    All players move to each stage together: the authors' notebook integrates each player with the other one frozen,
    which is another flow. The penalty is that of the paper, $\lambda \nabla_{D} \lVert\xi_G\rVert^2$ at the start,
    added to the discriminator's slope.
    """

    penalty: float
    nodes: ClassVar[tuple[float, ...]]  # of the slopes after the first
    weights: ClassVar[tuple[float, ...]]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.penalty >= 0:
            raise GantoolsError(f"penalty = {self.penalty} is not a weight: pass a number of at least 0.")
        if self.penalty and CRITIC not in self.game.slices:
            raise GantoolsError(f"The penalty is one of the player {CRITIC!r}, which this game lacks: leave it at 0.")
        self.second_order = self.penalty > 0

    def _update(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        extra = None
        if self.penalty:
            graph = FieldGraph(self.game, w, state.buffers, batches[0])
            first, extra = graph.value, self._penalty_gradient(graph)
        else:
            first = self.game.field_at(w, state.buffers, batches[0])
        value, slope = first, self.weights[0] * first.vector
        for node, weight in zip(self.nodes, self.weights[1:], strict=True):
            stage, _ = self.apply_base(w, self.by_player(node * value.vector), state)
            value = self.game.field_at(stage, value.buffers, batches[0])
            slope = slope + weight * value.vector
        slope = slope if extra is None else slope + extra
        return self.apply_base(w, self.by_player(slope), state, value, info=self.observe(first))

    def _penalty_gradient(self, graph: FieldGraph) -> Tensor:
        critic = self.game.slices[CRITIC]
        others = graph.value.vector.clone()
        others[critic] = 0
        gradient = others.new_zeros(others.shape)
        gradient[critic] = 2 * self.penalty * graph.transposed(others)[critic]
        return gradient


@OPTIMIZERS.register("heun")
@dataclasses.dataclass(eq=False)
class Heun(RungeKutta):
    r"""Heun's method (RK2) on the joint field, as in ODE-GAN (arXiv:2010.15040).

    .. math:: w' = w - \tfrac h2\,\big(\xi(w) + \xi(w - h\,\xi(w))\big)

    With $z = -h\lambda$ the update has $1 + z + z^2/2$: on a bilinear game it diverges still, at the rate $a^4/8$.
    """

    penalty: float = penalty_setting()

    nodes = (1.0,)
    weights = (1 / 2, 1 / 2)
    cost = "2 gradients"
    paper = "Qin et al. 2020, arXiv:2010.15040"


@OPTIMIZERS.register("rk4")
@dataclasses.dataclass(eq=False)
class RK4(RungeKutta):
    r"""The classical Runge-Kutta method on the joint field, as in ODE-GAN (arXiv:2010.15040).

    .. math:: w' = w - \tfrac h6\,(\xi_1 + 2\xi_2 + 2\xi_3 + \xi_4), \quad \xi_1 = \xi(w),\
              \xi_2 = \xi(w - \tfrac h2 \xi_1),\ \xi_3 = \xi(w - \tfrac h2 \xi_2),\ \xi_4 = \xi(w - h\,\xi_3)

    With $z = -h\lambda$ the update has $1 + z + z^2/2 + z^3/6 + z^4/24$: it contracts a bilinear game for
    $hs < 2\sqrt2$.
    """

    penalty: float = penalty_setting()

    nodes = (1 / 2, 1 / 2, 1.0)
    weights = (1 / 6, 1 / 3, 1 / 3, 1 / 6)
    cost = "4 gradients"
    paper = "Qin et al. 2020, arXiv:2010.15040"
