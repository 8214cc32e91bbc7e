r"""Stable opponent shaping: LOLA as far as it does not lead away from where LookAhead converges."""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from gantools.errors import GantoolsError
from gantools.registry import setting
from gantools.trainers.base import Base
from gantools.trainers.opponent_shaping import OpponentShaping, alpha_setting
from gantools.trainers.optimizer import OPTIMIZERS, State, base_setting


@OPTIMIZERS.register("sos")
@dataclasses.dataclass(eq=False)
class StableOpponentShaping(OpponentShaping):
    r"""Stable opponent shaping (SOS): between LookAhead, which converges, and LOLA, which shapes (arXiv:1811.08469).

    .. math:: w' = w - h\,(\xi_0 - p\,\alpha\chi), \qquad \xi_0 = (I - \alpha H_o)\,\xi, \qquad p = \min(p_1, p_2)

    with $H_o$ and $\chi$ as in `lola`, which has $p = 1$. The shaping may take at most $1 - a$ of the agreement with
    $\xi_0$, and fades where the field does:

    .. math:: p_1 = \begin{cases} 1 & \langle -\alpha\chi, \xi_0\rangle \ge 0 \\
              \min\big(1,\ -a\lVert\xi_0\rVert^2 / \langle -\alpha\chi, \xi_0\rangle\big) & \text{else} \end{cases}
              \qquad p_2 = \begin{cases} \lVert\xi\rVert^2 & \lVert\xi\rVert < b \\ 1 & \text{else} \end{cases}

    $p$ is one number for all players, and depends on $w$: a linearisation holds its derivative, except for the jump of
    $p_2$ at $\lVert\xi\rVert = b$. At a fixed point $p$ and its derivative vanish, so that SOS is LookAhead there: on a
    bilinear game the update has $1 - h\alpha s^2 \mp ihs$. $\alpha$ is a plain gradient step, whatever the base; with
    one for each player, $\alpha$ stands inside the sums.
    """

    base: "str | Base" = base_setting()
    alpha: float | None = alpha_setting()
    a: float = setting(0.5, "share of the squared norm that the shaping may take from the agreement, within (0, 1)")
    b: float = setting(0.1, "norm of the field below which the shaping fades, within (0, 1)")

    cost = "1 gradient + 4 products"
    paper = "Letcher et al. 2019, arXiv:1811.08469"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (0 < self.a < 1 and 0 < self.b < 1):
            raise GantoolsError(f"a = {self.a}, b = {self.b}: pass numbers between 0 and 1.")

    def advance(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        graph = self.foresee(w, state, batches[0])
        field, shaping = graph.value.vector, graph.shaping()
        lookahead = field - graph.foreseen()
        direction = lookahead - self.share(field, lookahead, shaping) * shaping
        return self.descend(w, self.by_player(direction), state, graph.value)

    def share(self, field: Tensor, lookahead: Tensor, shaping: Tensor) -> Tensor:
        """Return p, a scalar tensor, from the vectors xi, xi_0 and alpha chi."""
        overlap = shaping.dot(lookahead)
        against = overlap > 0  # it would undo some of xi_0
        bound = self.a * lookahead.dot(lookahead) / torch.where(against, overlap, 1.0)
        first = torch.where(against & (bound < 1), bound, 1.0)
        square = field.dot(field)
        return torch.minimum(first, torch.where(square < self.b**2, square, 1.0))
