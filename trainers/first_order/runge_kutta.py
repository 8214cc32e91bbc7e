r"""Explicit Runge-Kutta methods on the joint flow $\dot w = -\xi(w)$: Heun's method and RK4, as in ODE-GAN."""

import dataclasses
from typing import Any, ClassVar

from torch import Tensor

from gantools.errors import GantoolsError
from gantools.registry import setting
from gantools.trainers.field_graph import FieldGraph
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer, State

CRITIC = "discriminator"


def penalty_setting() -> Any:
    """Return the dataclass field of ODE-GAN's penalty."""
    return setting(0.0, "weight of ODE-GAN's penalty: the discriminator also descends the others' squared gradients")


class RungeKutta(GameOptimizer):
    r"""Base class of explicit Runge-Kutta methods: a step along a weighted mean of slopes.

    The k-th slope is the field at $w - h\,c_k\,\xi_{k-1}$, with all players there together: the authors' notebook
    integrates each player with the other one frozen, which is another flow. The paper's penalty adds
    $\lambda \nabla_{D} \lVert\xi_G\rVert^2$ at the start to the discriminator's slope.

    Attributes:
        penalty: the weight $\lambda$.
        nodes: $c_k$ of the slopes after the first.
        weights: the weights of all slopes in the mean.
    """

    penalty: float
    nodes: ClassVar[tuple[float, ...]]
    weights: ClassVar[tuple[float, ...]]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.penalty >= 0:
            raise GantoolsError(f"penalty = {self.penalty} is not a weight: pass a number of at least 0.")
        if self.penalty and CRITIC not in self.game.slices:
            raise GantoolsError(f"The penalty needs the player {CRITIC!r}, which this game lacks: leave it at 0.")
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

    $$w' = w - \tfrac h2\,\big(\xi(w) + \xi(w - h\,\xi(w))\big)$$

    With $z = -h\lambda$ the update has the eigenvalues $1 + z + z^2/2$: on a bilinear game it still diverges, at the
    rate $(hs)^4/8$.
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

    $$w' = w - \tfrac h6\,(\xi_1 + 2\xi_2 + 2\xi_3 + \xi_4), \quad \xi_1 = \xi(w),\
        \xi_2 = \xi(w - \tfrac h2 \xi_1),\ \xi_3 = \xi(w - \tfrac h2 \xi_2),\ \xi_4 = \xi(w - h\,\xi_3)$$

    With $z = -h\lambda$ the update has the eigenvalues $1 + z + z^2/2 + z^3/6 + z^4/24$: on a bilinear game it
    contracts for $hs < 2\sqrt2$.
    """

    penalty: float = penalty_setting()

    nodes = (1 / 2, 1 / 2, 1.0)
    weights = (1 / 6, 1 / 3, 1 / 3, 1 / 6)
    cost = "4 gradients"
    paper = "Qin et al. 2020, arXiv:2010.15040"
