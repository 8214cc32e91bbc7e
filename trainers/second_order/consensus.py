r"""Consensus optimization: each player descends its loss and the squared norm of the field."""

import dataclasses
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from gantools.batches import halves
from gantools.errors import GantoolsError
from gantools.games.field import FieldValue, gradient
from gantools.registry import setting
from gantools.schedules import Scheduled
from gantools.trainers.base_rules import BaseChoice
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer, State, base_setting
from gantools.trainers.per_player import require_weight

Estimator = Literal["same", "independent"]
PHASE = "consensus:phase"


@OPTIMIZERS.register("consensus")
@dataclasses.dataclass(eq=False)
class Consensus(GameOptimizer):
    r"""Consensus optimization: also descend the squared norm of the field (arXiv:1705.10461).

    $$w' = w - h\,\big(\xi(w) + \gamma\,\nabla \tfrac12 \lVert\xi(w)\rVert^2\big)
        = w - h\,\big(\xi + \gamma\,J^{\mathsf T} \xi\big)$$

    Both players descend the same scalar $\tfrac12\lVert\xi\rVert^2$, over all parameters of both; a parameter that it
    does not reach keeps its own gradient (the authors' code drops it from the update). On a bilinear game with singular
    value $s$ the update's eigenvalues are $1 - h\gamma s^2 \mp i h s$.

    On a batch $B$ the published estimator $\tfrac12\lVert\hat\xi_B\rVert^2$ is biased by half the trace of the field's
    covariance. `estimator="independent"` takes $\tfrac12\langle\hat\xi_{B_1}, \hat\xi_{B_2}\rangle$ over the two halves
    of the batch, which is unbiased, with the mean of both as the field.

    With `every` = k the penalty enters at the first of each k steps, with weight $k\gamma$, and the others are plain:
    "lazy" regularization, after StyleGAN2 (arXiv:1912.04958). At an equilibrium a period of k steps has the derivative
    $(I - hJ)^{k-1} (I - h(J + k\gamma J^{\mathsf T}J))$, which `update_operator` gives. It agrees with that of the
    plain method to first order in $h$ only, and no proof of convergence for consensus or gradient penalties covers it
    (R3GAN's authors say so of R1): with a large k the players rotate freely between two penalties, and then take a step
    that may be too long.

    >>> optimizer = gt.trainers.Consensus(game, lr=0.5, gamma=1.0, base="sgd")
    >>> for _ in range(300):
    ...     info = optimizer.step(batch)
    >>> float(info.field_norm) < 1e-6
    True
    """

    base: BaseChoice = base_setting()
    gamma: Scheduled = setting(10.0, "weight of the squared norm of the field")
    estimator: Estimator = setting("same", "'same' as published, or 'independent': two half batches, unbiased")
    every: int = setting(1, "k: the penalty only at each k-th step, k times as heavy; 1 as published")

    second_order = True
    cost = "1 gradient + 1 product"
    paper = "Mescheder et al. 2017, arXiv:1705.10461"

    def __post_init__(self) -> None:
        super().__post_init__()
        require_weight(self.gamma, "gamma")
        if self.estimator not in get_args(Estimator):
            raise GantoolsError(f"Unknown estimator {self.estimator!r}: pass 'same' or 'independent'.")
        if self.every < 1:
            raise GantoolsError(f"every = {self.every} is not a number of steps: pass 1 or more.")

    @property
    def period(self) -> int:
        return self.every

    def init(self, w: Tensor) -> State:
        state = super().init(w)
        return state if self.every == 1 else dataclasses.replace(state, counters={**state.counters, PHASE: 0})

    def _update(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        phase = state.counters.get(PHASE, 0)
        if phase:
            value = self.game.field_at(w, state.buffers, batches[0])
            direction = value.vector
        else:
            parts = halves(batches[0]) if self.estimator == "independent" else (batches[0],)
            value, penalty_gradient = self._field_and_penalty(w, state, parts)
            direction = value.vector + self.every * self.scaled(self.gamma, penalty_gradient, state)
        w, state = self.apply_base(w, self.by_player(direction), state, value)
        if self.every > 1:
            state = dataclasses.replace(state, counters={**state.counters, PHASE: (phase + 1) % self.every})
        return w, state

    def _field_and_penalty(self, w: Tensor, state: State, parts: tuple[Any, ...]) -> tuple[FieldValue, Tensor]:
        r"""Return the mean field over the parts, and $\nabla\tfrac12\langle\xi_{first}, \xi_{last}\rangle$."""
        game, differentiable = self.game, w.requires_grad
        with torch.enable_grad():
            leaves, buffers = game.leaves(w), state.buffers
            fields, losses = [], []
            for part in parts:
                value = game.field_of(leaves, buffers, part, create_graph=True)
                buffers = value.buffers
                fields.append(value.vector)
                losses.append(value.losses)
            penalty = 0.5 * fields[0].dot(fields[-1])
            pulled = game.flatten(gradient(penalty, leaves, create_graph=differentiable))
        mean = sum(fields[1:], start=fields[0]) / len(fields)
        mean_losses = {player: torch.stack([loss[player] for loss in losses]).mean(0) for player in game.slices}
        return FieldValue(mean if differentiable else mean.detach(), mean_losses, buffers), pulled
