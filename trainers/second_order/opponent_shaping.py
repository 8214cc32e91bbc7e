r"""Opponent shaping, LOLA and SOS: each player descends its loss after the opponents' next step, to first order."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from gantools.errors import GantoolsError
from gantools.games.game import Game
from gantools.registry import setting
from gantools.trainers.base_rules import BaseChoice
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer, State, base_setting


class ForesightGraph:
    r"""Terms shared by LOLA and SOS at `w` (n,): derivatives of the losses after the opponents' next step.

    If player $j$ steps along $\xi_j$ by $\alpha_j$, the loss $L_i(w_i, w_{-i} - \alpha\xi_{-i})$ is to first order
    $L_i - \sum_{j \ne i} \alpha_j \langle\nabla_j L_i, \xi_j\rangle$. The derivative of the sum by $w_i$ has two parts,
    by the product rule:

    $$(H_o\,\alpha\xi)_i = \sum_{j \ne i} \alpha_j (\nabla_{ij} L_i)\,\xi_j, \qquad
        (\alpha\chi)_i = \sum_{j \ne i} \alpha_j (\nabla_{ij} L_j)\,\nabla_j L_i$$

    Either, or their sum, costs a backward pass for each player, and is differentiable if `w` is.

    Attributes:
        value: the field at `w`, a `FieldValue`.
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
        r"""Return $H_o\,\alpha\xi$ (n,): the change of each player's own gradient by the others' foreseen steps."""
        return self._pull(self._own_rows)

    def shaping(self) -> Tensor:
        r"""Return $\alpha\chi$ (n,): the derivative of each player's loss by its influence on the others' steps."""
        return self._pull(self._rows_of_others)

    def both(self) -> Tensor:
        """Return the sum of the two terms (n,), at the cost of one."""
        return self._pull(lambda i: self._own_rows(i) + self._rows_of_others(i))

    def _own_rows(self, i: int) -> Tensor:
        """Return the weights (players, n) of all gradients for player i's part of `foreseen`, see `_pull`."""
        weights = torch.zeros_like(self._gradients)
        for j, (player, part) in enumerate(self._slices.items()):
            if j != i:
                weights[i, part] = self._steps[player] * self.value.vector[part]
        return weights

    def _rows_of_others(self, i: int) -> Tensor:
        """Return the weights (players, n) of all gradients for player i's part of `shaping`, see `_pull`."""
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
    """Return the dataclass field of the opponents' foreseen step size."""
    return setting(None, "step size that the others are foreseen to use; by default their learning rates")


class OpponentShaping(GameOptimizer):
    """Base class of methods whose players foresee a gradient step of the others, and differentiate through it."""

    alpha: float | None

    second_order = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.alpha is not None and not self.alpha >= 0:
            raise GantoolsError(f"alpha = {self.alpha} is not a step: pass a number of at least 0, or None.")

    def foresee(self, w: Tensor, state: State, batch: Any) -> ForesightGraph:
        """Return the terms at `w` (n,) for the step sizes that the players are foreseen to use."""
        rates = self.rates_at(state)
        steps = rates if self.alpha is None else dict.fromkeys(rates, self.alpha)
        return ForesightGraph(self.game, w, state.buffers, batch, steps)


@OPTIMIZERS.register("lola")
@dataclasses.dataclass(eq=False)
class Lola(OpponentShaping):
    r"""LOLA: each player descends its loss after the others' next gradient step, to first order, through that step.

    $$w_i' = w_i - h\,\nabla_i \Big(L_i - \sum_{j \ne i} \alpha_j \langle\nabla_j L_i, \xi_j\rangle\Big)
        \quad\text{or}\quad w' = w - h\,\big((I - \alpha H_o)\,\xi - \alpha\chi\big)$$

    where $H_o$ is $J$ without each player's block, and $\chi_i = \sum_{j \ne i} (\nabla_{ij} L_j) \nabla_j L_i$:
    the exact form of Letcher et al. (arXiv:1811.08469). The rule that Foerster et al. write drops $H_o\xi$: they leave
    out that $\nabla_j L_i$ depends on $w_i$ (section 3.2 of arXiv:1709.04326). Without $\chi$ it would be LookAhead.

    On a bilinear game the update has the eigenvalues $1 - 2h\alpha s^2 \mp ihs$. Because of $\chi$ the fixed points of
    the game need not be fixed points of the method; those of `sos` are. The foreseen step is a plain gradient step,
    whatever the base.
    """

    base: BaseChoice = base_setting()
    alpha: float | None = alpha_setting()

    cost = "1 gradient + 2 products"
    paper = "Foerster et al. 2018, arXiv:1709.04326"

    def _update(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        graph = self.foresee(w, state, batches[0])
        direction = graph.value.vector - graph.both()
        return self.apply_base(w, self.by_player(direction), state, graph.value)


@OPTIMIZERS.register("sos")
@dataclasses.dataclass(eq=False)
class StableOpponentShaping(OpponentShaping):
    r"""Stable opponent shaping (SOS): between LookAhead, which converges, and LOLA, which shapes (arXiv:1811.08469).

    $$w' = w - h\,(\xi_0 - p\,\alpha\chi), \qquad \xi_0 = (I - \alpha H_o)\,\xi, \qquad p = \min(p_1, p_2)$$

    with $H_o$ and $\chi$ as in `lola`, which has $p = 1$. The shaping may take at most $1 - a$ of the agreement with
    $\xi_0$, and fades where the field does:

    $$p_1 = \begin{cases} 1 & \langle -\alpha\chi, \xi_0\rangle \ge 0 \\
        \min\big(1,\ -a\lVert\xi_0\rVert^2 / \langle -\alpha\chi, \xi_0\rangle\big) & \text{else} \end{cases}
        \qquad p_2 = \begin{cases} \lVert\xi\rVert^2 & \lVert\xi\rVert < b \\ 1 & \text{else} \end{cases}$$

    $p$ is one number for all players, and depends on $w$: a linearisation holds its derivative, except for the jump of
    $p_2$ at $\lVert\xi\rVert = b$. At a fixed point $p$ and its derivative vanish, so that SOS is LookAhead there: on a
    bilinear game the update has the eigenvalues $1 - h\alpha s^2 \mp ihs$. The foreseen step is a plain gradient step,
    whatever the base; where the players' $\alpha_j$ differ, they stand inside the sums.
    """

    base: BaseChoice = base_setting()
    alpha: float | None = alpha_setting()
    a: float = setting(0.5, "share of the squared norm that the shaping may take from the agreement, within (0, 1)")
    b: float = setting(0.1, "norm of the field below which the shaping fades, within (0, 1)")

    cost = "1 gradient + 4 products"
    paper = "Letcher et al. 2019, arXiv:1811.08469"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 < self.a < 1 and 0 < self.b < 1):
            raise GantoolsError(f"a = {self.a}, b = {self.b}: pass numbers between 0 and 1.")

    def _update(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        graph = self.foresee(w, state, batches[0])
        field, shaping = graph.value.vector, graph.shaping()
        lookahead = field - graph.foreseen()
        direction = lookahead - self.share(field, lookahead, shaping) * shaping
        return self.apply_base(w, self.by_player(direction), state, graph.value)

    def share(self, field: Tensor, lookahead: Tensor, shaping: Tensor) -> Tensor:
        """Return p, a scalar tensor, from the vectors xi, xi_0 and alpha chi."""
        dot = self.game.layout.dot
        overlap = dot(shaping, lookahead)
        against = overlap > 0  # it would undo some of xi_0
        bound = self.a * dot(lookahead, lookahead) / torch.where(against, overlap, 1.0)
        first = torch.where(against & (bound < 1), bound, 1.0)
        square = dot(field, field)
        return torch.minimum(first, torch.where(square < self.b**2, square, 1.0))
