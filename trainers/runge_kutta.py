r"""Explicit Runge-Kutta steps of the joint flow $\dot w = -\xi(w)$: what Heun's method and RK4 share."""

from typing import Any, ClassVar

from torch import Tensor

from gantools.errors import GantoolsError
from gantools.registry import setting
from gantools.trainers.field_graph import FieldGraph
from gantools.trainers.optimizer import GameOptimizer, State

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

    def advance(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        extra = None
        if self.penalty:
            graph = FieldGraph(self.game, w, state.buffers, batches[0])
            first, extra = graph.value, self._penalty_gradient(graph)
        else:
            first = self.game.field_at(w, state.buffers, batches[0])
        value, slope = first, self.weights[0] * first.vector
        for node, weight in zip(self.nodes, self.weights[1:], strict=True):
            stage, _ = self.move(w, self.by_player(node * value.vector), state)
            value = self.game.field_at(stage, value.buffers, batches[0])
            slope = slope + weight * value.vector
        slope = slope if extra is None else slope + extra
        return self.descend(w, self.by_player(slope), state, value, info=self.observe(first))

    def _penalty_gradient(self, graph: FieldGraph) -> Tensor:
        critic = self.game.slices[CRITIC]
        others = graph.value.vector.clone()
        others[critic] = 0
        gradient = others.new_zeros(others.shape)
        gradient[critic] = 2 * self.penalty * graph.transposed(others)[critic]
        return gradient
