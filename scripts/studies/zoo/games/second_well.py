"""Four games of the second set that train well with the flags beside them, each of which looks odd at first."""

from typing import Any

import torch
from parts import around, drawn, gaussian, mlp
from torch import Tensor, nn
from torch.nn.functional import one_hot, softplus

import gantools as gt

Made = tuple[gt.Game, Any]
MEAN, SCALE = torch.tensor([2e4, 3e-4, -40.0]), torch.tensor([8e3, 1e-4, 15.0])


class Units(nn.Module):
    """A network between columns of about unit size and columns (B, 3) in the units of their instruments."""

    def __init__(self, net: nn.Module, inwards: bool):
        super().__init__()
        self.net, self.inwards = net, inwards
        self.register_buffer("mean", MEAN.clone())
        self.register_buffer("scale", SCALE.clone())

    def forward(self, x: Tensor) -> Tensor:
        return self.net((x - self.mean) / self.scale) if self.inwards else self.mean + self.scale * self.net(x)


def instruments() -> Made:
    """Counts, amperes and degrees as they were measured; both networks know the units, and so does the penalty."""
    mixing = torch.tensor([[1.0, 0.0, 0.0], [0.6, 0.8, 0.0], [-0.5, 0.3, 0.8]])

    def losses(players: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        real = batch["real"].detach().requires_grad_()
        score, fake = players["discriminator"](real), players["discriminator"](players["generator"](batch["latent"]))
        (slope,) = torch.autograd.grad(score.sum(), real, create_graph=True)
        penalty = 0.1 * (slope * SCALE).square().sum(1).mean()
        return {"generator": softplus(-fake).mean(),
                "discriminator": softplus(-score).mean() + softplus(fake).mean() + penalty}  # fmt: skip

    players = {"generator": Units(mlp(4, 32, 3), False), "discriminator": Units(mlp(3, 64, 1), True)}
    return gt.Game(players, losses), drawn(lambda n: MEAN + SCALE * (torch.randn(n, 3) @ mixing.T), 4)


def keen() -> Made:
    """Waves' coefficients, hinge loss, R1, and a discriminator that is to learn twenty times as fast."""
    data = gaussian(torch.tensor([1.0, -1.0, 0.0, 0.5]), torch.tensor([0.5, 1.0, 0.7, 0.3]))
    return gt.gan(mlp(4, 32, 4), mlp(4, 64, 1), "hinge", [gt.regularizers.R1(gamma=0.5)]), drawn(data, 4)


def few() -> Made:
    """Sixteen patients, all of them in every batch, R1."""
    rows = around(torch.tensor([[1.0, 0.0, 0.5], [-0.7, 0.8, -0.5]]), 0.4)(16)
    batches = [{"real": rows[torch.randperm(16)], "latent": torch.randn(16, 4)} for _ in range(200)]
    return gt.gan(mlp(4, 32, 3), mlp(3, 32, 32, 1), "nonsaturating", [gt.regularizers.R1(gamma=0.5)]), batches


class Words(nn.Module):
    """Words (B, 24) of four letters out of six: hard samples of a softmax, whose gradient is passed straight through.

    The latent (B, 8 + 24) holds the noise of the samples too, normal numbers that become Gumbel ones.
    """

    def __init__(self) -> None:
        super().__init__()
        self.net = mlp(8, 64, 24)

    def forward(self, latent: Tensor) -> Tensor:
        noise = -(-torch.special.ndtr(latent[:, 8:]).clamp(1e-6, 1 - 1e-6).log()).log()
        soft = (self.net(latent[:, :8]) + noise).unflatten(1, (4, 6)).softmax(-1)
        hard = one_hot(soft.argmax(-1), 6).to(soft.dtype)
        return (hard + soft - soft.detach()).flatten(1)


def words() -> Made:
    """Words of four letters, each next to the one before it in the alphabet, of six letters, which is a circle."""

    def draw(n: int) -> Tensor:
        start, moves = torch.randint(6, (n, 1)), 2 * torch.randint(2, (n, 3)) - 1
        letters = torch.cat([start, start + moves.cumsum(1)], 1) % 6
        return one_hot(letters, 6).float().flatten(1)

    return gt.gan(Words(), mlp(24, 64, 1), "nonsaturating", [gt.regularizers.R1(gamma=0.2)]), drawn(draw, 32)
