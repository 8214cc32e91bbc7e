r"""LEAD: momentum and a coupling between the players that opposes their rotation."""

import dataclasses
from typing import Any, ClassVar

import torch
from torch import Tensor

from gantools.registry import setting
from gantools.trainers.base_rules import SGD, BaseChoice
from gantools.trainers.field_graph import FieldGraph
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer, State, base_setting
from gantools.trainers.scales import Unit

VELOCITY = "velocity"


@OPTIMIZERS.register("lead")
@dataclasses.dataclass(eq=False)
class Lead(GameOptimizer):
    r"""LEAD, least action dynamics: momentum and a force from the other players' last move (arXiv:2010.13846).

    $$v' = \beta v - h\,\xi(w) - \alpha\,O v, \qquad w' = w + v'$$

    where $O$ is $J$ without each player's own block: $x$ feels $\nabla_{xy} f\,(y - y_-)$, and $y$ its mirror image.
    The players move at once, as in Algorithm 1 of the paper; the authors' code moves the second one with the first
    one's new position. On a bilinear game the eigenvalues solve
    $X^2 - (1 + \beta - (h + \alpha)\lambda)X + (\beta - \alpha\lambda) = 0$, and $\beta = 0$, $\alpha = h$ is
    `optimistic`. In a game that is not zero-sum each player's force comes from its own loss: from its row of $J$.

    Over `sgd`, $\alpha$ is not multiplied by the learning rate, as in Algorithm 1. Over another base the force is part
    of the direction, $\xi(w) + \alpha\,O(w - w_-)$; with `adam` this is LEAD-Adam, whose momentum is Adam's $\beta_1$.
    """

    base: BaseChoice = base_setting()
    beta: float = setting(0.0, "momentum, in addition to the base's own")
    alpha: float = setting(1e-3, "weight of the force from the other players' last move; over sgd not scaled by lr")

    second_order = True
    cost = "1 gradient + 3 products"
    paper = "Hemmat et al. 2020, arXiv:2010.13846"
    memory_units: ClassVar[dict[str, Unit]] = {VELOCITY: "parameters"}

    def init(self, w: Tensor) -> State:
        return self.remember(super().init(w), VELOCITY, torch.zeros_like(w))

    def _update(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        graph = FieldGraph(self.game, w, state.buffers, batches[0])
        velocity = self.recall(state, VELOCITY)
        force = self.alpha * graph.off_diagonal(graph.product, velocity)
        plain = {player: isinstance(rule, SGD) for player, rule in self.rules.items()}
        parts = self.by_player(force).items()
        outside = torch.cat([part if plain[player] else torch.zeros_like(part) for player, part in parts])
        direction, drift = graph.value.vector + (force - outside), self.beta * velocity - outside
        steps, state = self.base_steps(self.by_player(direction), state, graph.value)
        velocity = drift - torch.cat(list(steps.values()))
        return w + velocity, self.remember(state, VELOCITY, velocity)
