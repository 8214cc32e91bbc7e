r"""Consensus optimization: descend the field and its own squared norm."""

import dataclasses
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from gantools.batches import halves
from gantools.errors import GantoolsError
from gantools.game import FieldValue
from gantools.trainers.base import Base
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer, State, base_setting

Estimator = Literal["same", "independent"]


@OPTIMIZERS.register("consensus")
@dataclasses.dataclass(eq=False)
class Consensus(GameOptimizer):
    r"""Consensus optimization: also descend half the squared norm of the field (arXiv:1705.10461).

    .. math:: w' = w - h\,\big(\xi(w) + \gamma\,\nabla \tfrac12 \lVert\xi(w)\rVert^2\big)
                 = w - h\,\big(\xi + \gamma\,J^{\mathsf T} \xi\big)

    Both players descend the same scalar $\tfrac12\lVert\xi\rVert^2$, over all parameters of both; a parameter that it
    does not reach keeps its own gradient (the authors' code drops it from the update). On a bilinear game with singular
    value $s$ the update's eigenvalues are $1 - h\gamma s^2 \mp i h s$.

    On a batch $B$ the published estimator $\tfrac12\lVert\hat\xi_B\rVert^2$ is biased by half the trace of the field's
    covariance. `estimator="independent"` takes $\tfrac12\langle\hat\xi_{B_1}, \hat\xi_{B_2}\rangle$ over the two halves
    of the batch, which is unbiased, with the mean of both as the field.
    """

    base: "str | Base" = base_setting()
    gamma: float = dataclasses.field(default=10.0, metadata={"help": "weight of the squared norm of the field"})
    estimator: Estimator = dataclasses.field(
        default="same",
        metadata={"help": "'same' as published, or 'independent': two half batches, unbiased"},
    )

    second_order = True
    cost = "1 gradient + 1 product"
    paper = "Mescheder et al. 2017, arXiv:1705.10461"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.gamma >= 0:
            raise GantoolsError(f"gamma = {self.gamma} is not a weight: pass a number of at least 0.")
        if self.estimator not in get_args(Estimator):
            raise GantoolsError(f"Unknown estimator {self.estimator!r}: pass 'same' or 'independent'.")

    def advance(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        parts = halves(batches[0]) if self.estimator == "independent" else (batches[0],)
        value, penalty_gradient = self._field_and_penalty(w, state, parts)
        direction = value.vector + self.gamma * penalty_gradient
        directions = {player: direction[part] for player, part in self.game.slices.items()}
        return self.descend(w, directions, state, value)

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
            gradient = game.flatten(game.gradient(penalty, leaves, create_graph=differentiable))
        mean = sum(fields[1:], start=fields[0]) / len(fields)
        mean_losses = {player: torch.stack([loss[player] for loss in losses]).mean() for player in game.slices}
        return FieldValue(mean if differentiable else mean.detach(), mean_losses, buffers), gradient
