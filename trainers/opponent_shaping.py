r"""What methods share whose players foresee each other's next step: how it meets them, and how they can bend it."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from gantools.errors import GantoolsError
from gantools.game import Game
from gantools.registry import setting
from gantools.trainers.optimizer import GameOptimizer, State


class ForesightGraph:
    r"""Evaluate the gradients of all losses by all parameters at `w` (n,), with the graph kept.

    With $\alpha_j$ the step that player $j$ is foreseen to make, $L_i(w_i, w_{-i} - \alpha\xi_{-i})$ is to first order
    $L_i - \sum_{j \ne i} \alpha_j \langle\nabla_j L_i, \xi_j\rangle$. The derivative of the sum by $w_i$ has two parts,
    by the product rule:

    .. math:: (H_o\,\alpha\xi)_i = \sum_{j \ne i} \alpha_j (\nabla_{ij} L_i)\,\xi_j, \qquad
              (\alpha\chi)_i = \sum_{j \ne i} \alpha_j (\nabla_{ij} L_j)\,\nabla_j L_i

    Both, and their sum, cost a backward pass for each player, and are differentiable where `w` is.

    Attributes:
        value: the field there, a `FieldValue`.
    """

    def __init__(
        self, game: Game, w: Tensor, buffers: Mapping[str, Tensor], batch: Any, steps: Mapping[str, float]
    ) -> None:
        self._slices, self._steps = game.slices, steps
        self._differentiable = w.requires_grad
        with torch.enable_grad():
            self._parts = [w[s] if w.requires_grad else w[s].detach().requires_grad_() for s in game.slices.values()]
            value = game.field_at(torch.cat(self._parts), buffers, batch, by_all=True)
            self._gradients = value.vector.view(len(self._parts), -1)
            field = torch.cat([row[part] for row, part in zip(self._gradients, game.slices.values(), strict=True)])
        self.value = dataclasses.replace(value, vector=field if self._differentiable else field.detach())

    def foreseen(self) -> Tensor:
        r"""Return $H_o\,\alpha\xi$ (n,): how the others' foreseen steps change each player's own gradient."""
        return self._pull(self._own_rows)

    def shaping(self) -> Tensor:
        r"""Return $\alpha\chi$ (n,): how each player can change the others' steps in its own favour."""
        return self._pull(self._rows_of_others)

    def both(self) -> Tensor:
        """Return the sum of the two (n,), at the price of one."""
        return self._pull(lambda i: self._own_rows(i) + self._rows_of_others(i))

    def _own_rows(self, i: int) -> Tensor:
        weights = torch.zeros_like(self._gradients)
        for j, (player, part) in enumerate(self._slices.items()):
            if j != i:
                weights[i, part] = self._steps[player] * self.value.vector[part]
        return weights

    def _rows_of_others(self, i: int) -> Tensor:
        weights = torch.zeros_like(self._gradients)
        for j, (player, part) in enumerate(self._slices.items()):
            if j != i:
                weights[j, part] = self._steps[player] * self._gradients[i, part]
        return weights

    def _pull(self, weights: Callable[[int], Tensor]) -> Tensor:
        """Return, player by player, the derivative of the weighted sum of all gradients; the weights are constants."""
        if not self._gradients.requires_grad:
            return torch.zeros_like(self.value.vector)
        pulled = []
        for i, own in enumerate(self._parts):
            pulled += torch.autograd.grad(
                self._gradients,
                own,
                weights(i),
                retain_graph=True,
                create_graph=self._differentiable,
                allow_unused=True,
                materialize_grads=True,
            )
        return torch.cat(pulled)


def alpha_setting() -> Any:
    """Return the dataclass field of the step that the others are foreseen to make."""
    return setting(None, "plain gradient step that the others are foreseen to make; by default their learning rates")


class OpponentShaping(GameOptimizer):
    """A method whose players foresee a plain gradient step of the others, and differentiate through it."""

    alpha: float | None

    second_order = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha is not None and not self.alpha >= 0:
            raise GantoolsError(f"alpha = {self.alpha} is not a step: pass a number of at least 0, or None.")

    def foresee(self, w: Tensor, state: State, batch: Any) -> ForesightGraph:
        """Evaluate all gradients at `w` (n,) for the steps that the players are foreseen to make."""
        rates = self.rates_at(state)
        steps = rates if self.alpha is None else dict.fromkeys(rates, self.alpha)
        return ForesightGraph(self.game, w, state.buffers, batch, steps)
