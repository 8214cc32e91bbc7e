"""Ten games that train well with the flags beside them: whatever is found in one of them is a false alarm."""

from typing import Any

import torch
from parts import Linear, Shifted, Vector, drawn, gaussian, mlp, on_circle, ring
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

import gantools as gt

Made = tuple[gt.Game, Any]


def quadratic() -> Made:
    """A quadratic saddle that attracts and rotates."""

    def losses(players: Any, batch: Any) -> dict[str, Tensor]:
        x, y = players["x"].value, players["y"].value
        value = (0.1 * x * x + x * y - 0.1 * y * y).sum()
        return {"x": value, "y": -value}

    return gt.Game({"x": Vector(on_circle(1.0)), "y": Vector(on_circle(1.0))}, losses), torch.zeros(1)


def dirac_r1() -> Made:
    """The Dirac-GAN with R1."""
    batch = {"real": torch.zeros(1, 2, dtype=torch.float64), "latent": torch.zeros(1, 2, dtype=torch.float64)}
    players = Shifted(on_circle(1.0)), Linear(on_circle(0.5))
    return gt.gan(*players, "nonsaturating", [gt.regularizers.R1(gamma=1.0)]), batch


def bilinear() -> Made:
    """The Dirac-GAN with the critic's difference of means, for methods that see the rotation."""
    batch = {"real": torch.zeros(1, 2, dtype=torch.float64), "latent": torch.zeros(1, 2, dtype=torch.float64)}
    return gt.gan(Shifted(on_circle(1.0)), Linear(on_circle(0.5)), "wasserstein"), batch


def gaussian_r1() -> Made:
    """A Gaussian in the plane, R1."""
    data = gaussian(torch.tensor([1.0, -0.5]), torch.tensor([0.5, 1.0]))
    networks = mlp(4, 32, 2), mlp(2, 32, 32, 1)
    return gt.gan(*networks, "nonsaturating", [gt.regularizers.R1(gamma=0.5)]), drawn(data, 4)


def ring8() -> Made:
    """Eight Gaussians on a circle, for consensus."""
    return gt.gan(mlp(8, 32, 32, 2), mlp(2, 32, 32, 1)), drawn(ring(), 8)


def blobs_hinge() -> Made:
    """Four Gaussians, hinge loss, R1."""
    networks = mlp(4, 32, 32, 2), mlp(2, 64, 64, 1)
    return gt.gan(*networks, "hinge", [gt.regularizers.R1(gamma=0.1)]), drawn(ring(4, 0.1), 4)


def blobs_least_squares() -> Made:
    """Four Gaussians, least squares, R1, smooth units."""
    networks = mlp(4, 32, 32, 2, activation=nn.SiLU), mlp(2, 64, 64, 1, activation=nn.SiLU)
    return gt.gan(*networks, "least_squares", [gt.regularizers.R1(gamma=0.1)]), drawn(ring(4, 0.1), 4)


def r3gan() -> Made:
    """The relativistic loss with R1 and R2."""
    regularizers = [gt.regularizers.R1(gamma=0.1), gt.regularizers.R2(gamma=0.1)]
    return gt.gan(mlp(4, 32, 32, 2), mlp(2, 64, 64, 1), "relativistic", regularizers), drawn(ring(4, 0.1), 4)


def columns() -> Made:
    """Eight normalised, correlated columns, critic with R1 and R2, smooth units."""
    mixing = torch.randn(8, 8) / 8**0.5
    regularizers = [gt.regularizers.R1(gamma=0.5), gt.regularizers.R2(gamma=0.5)]
    return gt.gan(mlp(8, 64, 8), mlp(8, 64, 1), "nonsaturating", regularizers), drawn(
        lambda n: torch.randn(n, 8) @ mixing, 8
    )


def classifier() -> Made:
    """One player that tells two spirals apart."""

    def spirals(n: int) -> dict[str, Tensor]:
        label = torch.arange(n) % 2
        t = 0.3 + 1.2 * torch.pi * torch.rand(n)
        points = torch.stack([t * (t + torch.pi * label).cos(), t * (t + torch.pi * label).sin()], 1) / 3
        return {"x": points + 0.02 * torch.randn(n, 2), "label": label}

    game = gt.minimization(mlp(2, 32, 32, 2), lambda model, batch: cross_entropy(model(batch["x"]), batch["label"]))
    return game, [spirals(64) for _ in range(50)]
