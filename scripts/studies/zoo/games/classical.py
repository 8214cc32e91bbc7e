"""Twelve diseases of the textbooks, each a small game, with the changed games that are said to cure them."""

from typing import Any

import torch
from parts import Linear, Shifted, drawn, gaussian, mlp, on_circle, ring, scores_of
from torch import Tensor, nn
from torch.nn.functional import softplus

import gantools as gt

Made = tuple[gt.Game, Any]


def dirac(loss: str = "nonsaturating", regularizers: tuple = ()) -> Made:
    """The Dirac-GAN in the plane: all data at 0, one generated point, a linear discriminator."""
    batch = {"real": torch.zeros(1, 2, dtype=torch.float64), "latent": torch.zeros(1, 2, dtype=torch.float64)}
    return gt.gan(Shifted(on_circle(1.0)), Linear(on_circle(0.5)), loss, regularizers), batch


def dirac_wasserstein(regularizers: tuple = ()) -> Made:
    """The same with the critic's difference of means: a bilinear game."""
    return dirac("wasserstein", regularizers)


def ring8() -> Made:
    """Eight Gaussians on a circle."""
    return gt.gan(mlp(8, 32, 32, 2), mlp(2, 32, 32, 1)), drawn(ring(), 8)


def shifted_gaussian(regularizers: tuple = (gt.regularizers.R1(gamma=1.0),)) -> Made:
    """A Gaussian in the plane: an affine generator, a discriminator of one hidden layer, R1."""
    data = gaussian(torch.tensor([2.0, -1.0]), torch.tensor([0.5, 1.0]))
    return gt.gan(mlp(2, 2), mlp(2, 32, 1, activation=nn.Softplus), "nonsaturating", regularizers), drawn(data, 2)


def _ahead(activation: Any, loss: str) -> Made:
    """Return a GAN whose data lie far from the generated points, and whose discriminator was trained alone before."""
    data = gaussian(torch.full((8,), 3.0), torch.full((8,), 0.3))
    batches = drawn(data, 4)
    generator, discriminator = mlp(4, 32, 8), mlp(8, 64, 64, 1, activation=activation)
    optimizer = torch.optim.Adam(discriminator.parameters(), 1e-2)
    for batch in batches + batches:
        fake = generator(batch["latent"]).detach()
        value = softplus(-discriminator(batch["real"])).mean() + softplus(discriminator(fake)).mean()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    return gt.gan(generator, discriminator, loss), batches


def strong_discriminator() -> Made:
    """A discriminator that was trained alone, and whose units are saturated at every sample."""
    game, batches = _ahead(nn.Tanh, "nonsaturating")
    with torch.no_grad():
        for layer in game.players["discriminator"][:3:2]:
            layer.weight.mul_(3)
            layer.bias.mul_(3)
    return game, batches


def strong_discriminator_fresh() -> Made:
    """The same networks and data, with a discriminator that was not trained before."""
    data = gaussian(torch.full((8,), 3.0), torch.full((8,), 0.3))
    return gt.gan(mlp(4, 32, 8), mlp(8, 64, 64, 1, activation=nn.Tanh)), drawn(data, 4)


def saturating() -> Made:
    """The minimax loss of the generator, and a discriminator that is sure of itself."""
    return _ahead(lambda: nn.LeakyReLU(0.2), "minimax")


def dead_relus() -> Made:
    """A generator whose hidden units begin so far below zero that no latent wakes them."""
    game, batches = dead_relus_alive()
    with torch.no_grad():
        game.players["generator"][0].bias.fill_(-20.0)
    return game, batches


def dead_relus_alive() -> Made:
    """The same with the usual initial biases."""
    return gt.gan(mlp(4, 64, 2), mlp(2, 32, 32, 1), "nonsaturating", [gt.regularizers.R1(gamma=0.5)]), drawn(ring(), 4)


class Faint(nn.Module):
    """A generator that reads its latent times a constant."""

    def __init__(self, scale: float):
        super().__init__()
        self.net, self.scale = mlp(4, 64, 2), scale

    def forward(self, latent: Tensor) -> Tensor:
        return self.net(self.scale * latent)


def _faint(scale: float) -> Made:
    return gt.gan(Faint(scale), mlp(2, 32, 32, 1), "nonsaturating", [gt.regularizers.R1(gamma=0.5)]), drawn(ring(), 4)


def collapsed() -> Made:
    """A generator whose latent is too faint to be seen: one point, whatever the latent."""
    return _faint(1e-5)


def collapsed_mended() -> Made:
    """The same with the latent as it was drawn."""
    return _faint(1.0)


def heavy_ball() -> Made:
    """A generator that shifts its latent, a linear discriminator, a light R1: a slowly attracting rotation."""
    batches = [{"real": torch.randn(64, 2, dtype=torch.float64)} for _ in range(50)]
    for batch in batches:
        batch["latent"] = batch["real"][torch.randperm(64)]
    regularizers = [gt.regularizers.R1(gamma=0.1)]
    return gt.gan(Shifted(on_circle(1.0)), Linear(on_circle(0.5)), "nonsaturating", regularizers), batches


def two_rates() -> Made:
    """Four Gaussians, R1, and two ordinary networks."""
    regularizers = [gt.regularizers.R1(gamma=0.2)]
    return gt.gan(mlp(4, 32, 32, 2), mlp(2, 32, 32, 1), "nonsaturating", regularizers), drawn(ring(4, 0.1), 4)


def _penalised(rooted: bool) -> Made:
    batches = drawn(ring(4, 0.1), 4)
    generator, discriminator = mlp(4, 32, 32, 2), mlp(2, 32, 32, 1)
    nn.init.zeros_(discriminator[-1].weight)

    def losses(players: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        fake = players["generator"](batch["latent"])
        middle = ((batch["real"] + fake) / 2).detach().requires_grad_()
        (slope,) = torch.autograd.grad(players["discriminator"](middle).sum(), middle, create_graph=True)
        squares = slope.square().sum(1)
        penalty = ((squares.sqrt() - 1).square() if rooted else squares).mean()
        real_score, fake_score = players["discriminator"](batch["real"]).mean(), players["discriminator"](fake).mean()
        return {"generator": -fake_score, "discriminator": fake_score - real_score + penalty}

    return gt.Game({"generator": generator, "discriminator": discriminator}, losses), batches


def root_penalty() -> Made:
    """A gradient penalty by a plain root, and a discriminator whose last layer begins at zero."""
    return _penalised(rooted=True)


def root_penalty_mended() -> Made:
    """The same with the square of the gradient's norm in place of its root."""
    return _penalised(rooted=False)


def _signed(sign: float) -> Made:
    def losses(players: Any, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        _, real, fake = scores_of(players, batch)
        return {"generator": sign * softplus(-fake).mean(),
                "discriminator": softplus(-real).mean() + softplus(fake).mean()}  # fmt: skip

    players = {"generator": mlp(4, 32, 2), "discriminator": mlp(2, 32, 32, 1)}
    return gt.Game(players, losses), drawn(ring(4, 0.3), 4)


def wrong_sign() -> Made:
    """A generator that is rewarded for being found out."""
    return _signed(-1.0)


def right_sign() -> Made:
    """The same with the sign as it should be."""
    return _signed(1.0)
