"""Networks and data that the games written afterwards share."""

from typing import Any

import torch
from parts import Vector
from torch import Tensor, nn

import gantools as gt


def bumps(size: int, side: int = 8) -> Tensor:
    """Return pictures (size, 1, side, side) within [-1, 1], of one bright spot each at a random place."""
    grid = torch.arange(side)
    place = 2 + (side - 5) * torch.rand(size, 2, 1)
    y, x = (-(grid - place).square() / 4).exp().unbind(1)
    return (2 * y[:, :, None] * x[:, None] - 1)[:, None]


class Painter(nn.Module):
    """Generator of pictures (B, 1, 8, 8) within [-1, 1] from latents (B, 8), as DCGAN's: batch normalisation, ReLU."""

    def __init__(self, momentum: float = 0.1):
        super().__init__()
        self.first = nn.Linear(8, 32 * 4)
        self.net = nn.Sequential(
            nn.BatchNorm2d(32, momentum=momentum), nn.ReLU(), nn.ConvTranspose2d(32, 16, 4, 2, 1),
            nn.BatchNorm2d(16, momentum=momentum), nn.ReLU(), nn.ConvTranspose2d(16, 1, 4, 2, 1), nn.Tanh(),
        )  # fmt: skip

    def forward(self, latent: Tensor) -> Tensor:
        return self.net(self.first(latent).view(-1, 32, 2, 2))


def critic() -> nn.Sequential:
    """Return a convolutional discriminator of pictures (B, 1, 8, 8)."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(16, 32, 4, 2, 1), nn.LeakyReLU(0.2), nn.Flatten(),
        nn.Linear(128, 1),
    )  # fmt: skip


class Series(nn.Module):
    """Recurrent generator of series (B, T) from latents (B, T, 2)."""

    def __init__(self, width: int = 24):
        super().__init__()
        self.cell, self.out = nn.GRU(2, width, batch_first=True), nn.Linear(width, 1)

    def forward(self, latent: Tensor) -> Tensor:
        return self.out(self.cell(latent)[0]).squeeze(2)


class Pair(nn.Module):
    """A network that reads its first argument beside the second, a condition."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor, given: Tensor) -> Tensor:
        return self.net(torch.cat([x, given], 1))


def payoffs(rounds: int) -> Tensor:
    """Return matrices (rounds, 3, 3) of rock, paper, scissors whose wins weigh between 1 and 2."""
    a, b, c = (1 + torch.rand(3, rounds, dtype=torch.float64)).unbind()
    zero = torch.zeros_like(a)
    return torch.stack([zero, -a, b, a, zero, -c, -b, c, zero], 1).view(rounds, 3, 3)


def policies(payoff: Tensor, start: float) -> tuple[gt.Game, Any]:
    """Return the zero-sum game of two players' logits, one row for each matrix (R, n, n) of what the first one wins."""

    def losses(players: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        p, q = (players[name].value.softmax(1) for name in ("row", "column"))
        won = torch.einsum("ri,rij,rj->", p, batch["payoff"], q)
        return {"row": -won, "column": won}

    players = {name: Vector(start * torch.randn(payoff.shape[:2], dtype=payoff.dtype)) for name in ("row", "column")}
    return gt.Game(players, losses), {"payoff": payoff}
