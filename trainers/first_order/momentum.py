r"""Heavy-ball momentum as a method: positive or negative, of simultaneous or alternating players."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args

from torch import Tensor

from gantools.errors import GantoolsError
from gantools.registry import setting
from gantools.trainers.base_rules import Base, Momentum
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer, State, make
from gantools.trainers.per_player import player_values

Order = Literal["simultaneous", "alternating"]


def order_setting(default: Order) -> Any:
    """Return the dataclass field for the order in which a method's players move."""
    return setting(default, "players move at once, 'simultaneous', or in turn, 'alternating'")


class OrderedMomentum(GameOptimizer):
    """Base class of simultaneous or alternating descent with the method's own momentum as base rule."""

    order: Order

    cost = "1 gradient"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.order not in get_args(Order):
            raise GantoolsError(f"Unknown order {self.order!r}: pass 'simultaneous' or 'alternating'.")
        self.rules = self.momenta()
        self.inner = make(self.order, self.game, lr=self.lr, clip_norm=self.clip_norm)
        self.inner.rules = self.rules

    def momenta(self) -> dict[str, Base]:
        """Return each player's momentum rule."""
        raise NotImplementedError

    def _update(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        return self.inner.update(w, state, *batches)


@OPTIMIZERS.register("momentum")
@dataclasses.dataclass(eq=False)
class HeavyBall(OrderedMomentum):
    r"""Heavy-ball momentum, positive or negative, of simultaneous or alternating players (arXiv:1807.04740).

    $$m' = \beta m + \xi(w), \qquad w' = w - h\,m'$$

    On a bilinear game with $a = hs$ the eigenvalues solve $(X-1)^2(X-\beta)^2 + a^2X^2 = 0$ when the players move at
    once, which diverges for every real $\beta$, and $(X-1)^2(X-\beta)^2 + a^2X^3 = 0$ when they move in turn, which for
    $\beta < 0$ converges exactly for $a < 2(1 + \beta)$. With simultaneous players, each eigenvalue $\lambda$ of $J$
    gives the roots of $X^2 - (1 + \beta - h\lambda)X + \beta = 0$; their product is $\beta$, and so $|\beta| < 1$ is
    necessary.

    The paper's "mixed" setting is a mapping with a negative momentum for one of the players. With Adam, negative
    momentum is a negative $\beta_1$: `alternating` over `Adam(betas=(-0.5, 0.999))`.
    """

    beta: float | Mapping[str, float] = setting(-0.5, "momentum, within (-1, 1): one for all players, or one for each")
    order: Order = order_setting("alternating")

    paper = "Gidel et al. 2019, arXiv:1807.04740"

    def momenta(self) -> dict[str, Base]:
        betas = player_values(self.beta, self.game, "beta", "momentum")
        return {player: Momentum(beta) for player, beta in betas.items()}
