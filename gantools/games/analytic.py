r"""The games in which methods are studied with pencil and paper, in float64, each with its equilibrium at 0.

Every function returns `(game, batch)`, as a user's own `FILE.py:FUNCTION` does, with the players away from 0.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gantools.errors import GantoolsError
from gantools.games.game import Game
from gantools.games.gan import gan
from gantools.registry import Registry

ToyGame = tuple[Game, Any]

TOY_GAMES: Registry[Callable[..., ToyGame]] = Registry("analytic game")


class Point(nn.Module):
    """A player that is nothing but a vector."""

    def __init__(self, value: Sequence[float]):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value, dtype=torch.float64))


@TOY_GAMES.register("bilinear")
def bilinear(singular_values: Sequence[float] = (1.0, 0.5)) -> ToyGame:
    r"""Bilinear game, x descends $x^\top A y$ and y climbs it: $J$ has the eigenvalues $\pm i s$.

    $A$ is the diagonal matrix of the singular values, to which every other one comes by rotating both players.
    """
    if not singular_values or not all(s > 0 for s in singular_values):
        raise GantoolsError(f"singular_values = {singular_values}: pass one or more positive numbers.")
    a = torch.tensor(singular_values, dtype=torch.float64)

    def losses(players: Any, batch: Any) -> dict[str, Tensor]:
        value = (players.x.value * a * players.y.value).sum()
        return {"x": value, "y": -value}

    n = len(singular_values)
    return Game({"x": Point([1.0] * n), "y": Point([-0.5] * n)}, losses), None


@TOY_GAMES.register("quadratic")
def quadratic(mu: float = 0.2, s: float = 1.0) -> ToyGame:
    r"""Quadratic game, x descends $f = \tfrac\mu2 x^2 + s\,xy - \tfrac\mu2 y^2$ and y climbs it.

    $J$ has the eigenvalues $\mu \pm i s$: what attracts, and what rotates.
    """

    def losses(players: Any, batch: Any) -> dict[str, Tensor]:
        x, y = players.x.value, players.y.value
        f = (mu / 2 * x * x + s * x * y - mu / 2 * y * y).sum()
        return {"x": f, "y": -f}

    return Game({"x": Point([1.0]), "y": Point([-0.5])}, losses), None


class _DiracGenerator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(1.0, dtype=torch.float64))

    def forward(self, latent: Tensor) -> Tensor:
        return self.theta.expand(len(latent), 1)


class _DiracDiscriminator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.psi = nn.Parameter(torch.tensor(-0.5, dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        return (self.psi * x).squeeze(1)


@TOY_GAMES.register("dirac")
def dirac(loss: str = "nonsaturating", regularizers: Sequence[Any] = ()) -> ToyGame:
    r"""Dirac-GAN of arXiv:1801.04406: data at 0, one generated point $\theta$, $D(x) = \psi x$.

    Without a regularizer $J$ has the eigenvalues $\pm i f'(0)$ at 0: $\pm i/2$, or $\pm i$ for `wasserstein`.
    """
    batch = {"real": torch.zeros(1, 1, dtype=torch.float64), "latent": torch.zeros(1, 1, dtype=torch.float64)}
    return gan(_DiracGenerator(), _DiracDiscriminator(), loss, regularizers), batch
