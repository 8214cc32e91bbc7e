"""Six trainings that look alarming and end well: whatever is found in one of them is a false alarm."""

from typing import Any

import torch
from fresh_parts import Pair, Series, policies
from parts import drawn, gaussian, mlp, ring
from torch import Tensor, nn
from torch.nn.functional import softplus

import gantools as gt

Made = tuple[gt.Game, Any]


def drifting() -> Made:
    """A WGAN for a gradient penalty: losses that drift with the critic's free constant (improved_wgan_training 72)."""
    networks = mlp(4, 64, 64, 2), mlp(2, 64, 64, 1, activation=lambda: nn.LeakyReLU(0.2))
    return gt.gan(*networks, "wasserstein"), drawn(ring(4, 0.1), 4)


def ahead() -> Made:
    """A discriminator that was trained alone until its loss was small, and whose slopes R1 keeps."""
    batches = drawn(gaussian(torch.full((4,), 2.0), torch.full((4,), 0.5)), 4, count=100)
    generator, discriminator = mlp(4, 32, 4), mlp(4, 64, 64, 1, activation=lambda: nn.LeakyReLU(0.2))
    optimizer = torch.optim.Adam(discriminator.parameters(), 2e-3)
    for batch in batches:
        fake = generator(batch["latent"]).detach()
        value = softplus(-discriminator(batch["real"])).mean() + softplus(discriminator(fake)).mean()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return gt.gan(generator, discriminator, "nonsaturating", [gt.regularizers.R1(gamma=0.1)]), batches


def swift() -> Made:
    """A recurrent generator of noisy ramps, least squares, at rates that would be too large for SGD."""

    def ramps(n: int) -> Tensor:
        slope = torch.randn(n, 1)
        return slope * torch.linspace(-1.5, 1.5, 6) + 0.2 * torch.randn(n, 6)

    batches = [{"real": ramps(64), "latent": torch.randn(64, 6, 2)} for _ in range(100)]
    discriminator = mlp(6, 64, 64, 1, activation=nn.SiLU)
    return gt.gan(Series(), discriminator, "least_squares", [gt.regularizers.R1(gamma=0.1)]), batches


def spock() -> Made:
    """Self-play of rock, paper, scissors, lizard, Spock, whose policies spiral slowly into the middle."""
    ahead = (torch.arange(5)[:, None] - torch.arange(5)) % 5
    sign = (ahead % 2 * 2 - 1) * (ahead > 0)
    return policies((sign * torch.tensor([[[1.0]], [[1.5]]])).double(), 1.0)


def broad() -> Made:
    """Columns with a standard deviation of 8, slopes that are as much smaller, and an R1 that is as much heavier."""
    networks = mlp(4, 64, 3), mlp(3, 64, 64, 1, activation=lambda: nn.LeakyReLU(0.2))
    data = gaussian(torch.tensor([4.0, 0.0, -4.0]), torch.full((3,), 8.0))
    return gt.gan(*networks, "nonsaturating", [gt.regularizers.R1(gamma=20.0)]), drawn(data, 4)


def coloured() -> Made:
    """Translation with a weight of 100 on the distance to the target, which follows from the condition (pix2pix)."""

    def pairs(n: int) -> dict[str, Tensor]:
        given = torch.randn(n, 1)
        real = torch.cat([(2 * given).sin(), given.cos()], 1) + 0.05 * torch.randn(n, 2)
        return {"real": real, "latent": torch.randn(n, 4), "label": given}

    def losses(players: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        fake = players["generator"](batch["latent"], batch["label"])
        real_score = players["discriminator"](batch["real"], batch["label"])
        score = players["discriminator"](fake, batch["label"])
        return {"generator": softplus(-score).mean() + 100 * (fake - batch["real"]).abs().mean(),
                "discriminator": softplus(-real_score).mean() + softplus(score).mean()}  # fmt: skip

    players = {"generator": Pair(mlp(5, 64, 64, 2)), "discriminator": Pair(mlp(3, 64, 64, 1))}
    return gt.Game(players, losses), [pairs(64) for _ in range(200)]
