r"""Small games whose field is noisy, and where consensus on minibatches comes to rest in them.

On a batch of B independent samples consensus descends $\xi_B + \gamma J_B^\top \xi_B$, whose expectation is
$\xi + \gamma \nabla \tfrac12 (\lVert\xi\rVert^2 + \operatorname{tr} C / B)$ with the covariance C of the field of one
sample. Its zero is found here from a quadrature over samples; nothing is drawn.
"""

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import gantools as gt
from gantools.trainers.field_graph import FieldGraph

NODES = 12  # Gauss-Hermite, for each of the two numbers that make a sample; exact for polynomials of degree 23
NOISE = 1.0  # of the linear games, per unit of a parameter


class Numbers(nn.Module):
    """Parameters of one number each, in several copies that nothing joins: (copies,) by name."""

    def __init__(self, copies: int, **values: float) -> None:
        super().__init__()
        for name, value in values.items():
            setattr(self, name, nn.Parameter(torch.full((copies,), value, dtype=torch.float64)))


class Gaussian(Numbers):
    """Generator of N(mean, scale^2) from latents (B, copies)."""

    def forward(self, latent: Tensor) -> Tensor:
        return self.mean + self.scale * latent


class Quadratic(Numbers):
    """Discriminator a x + b x^2 / 2 of samples (B, copies)."""

    def forward(self, x: Tensor) -> Tensor:
        return self.a * x + self.b * x * x / 2


def linear(mu: float) -> Callable[[int], gt.Game]:
    r"""Return x descends $\tfrac\mu2 x^2 + xy - \tfrac\mu2 y^2$ about (1, 1), y climbs it, and both are shaken.

    The noise of each player's gradient is in proportion to its parameter, so that tr C = |w|^2.
    """

    def losses(players: Any, batch: Any) -> dict[str, Tensor]:
        x, y = players["x"].value, players["y"].value
        f = mu / 2 * (x - 1) ** 2 + (x - 1) * (y - 1) - mu / 2 * (y - 1) ** 2
        return {"x": (f + NOISE * batch["real"].mean(0) * x * x / 2).sum(),
                "y": (-f + NOISE * batch["latent"].mean(0) * y * y / 2).sum()}  # fmt: skip

    return lambda copies: gt.Game({"x": Numbers(copies, value=1.0), "y": Numbers(copies, value=1.0)}, losses)


def gaussian(loss: str, regularizers: Sequence[Any] = ()) -> Callable[[int], gt.Game]:
    """Return a generator N(mean, scale^2) at its data N(0, 1), and a discriminator of two features at 0."""

    def of(copies: int) -> gt.Game:
        def summed(real: Tensor, fake: Tensor) -> tuple[Tensor, ...]:
            return tuple(
                copies * part for part in gt.losses.LOSSES[loss](real, fake)
            )  # their means are over copies too

        return gt.gan(Gaussian(copies, mean=0.0, scale=1.0), Quadratic(copies, a=0.0, b=0.0), summed, regularizers)

    return of


# Each begins where its field is 0, on average over data and noise from N(0, 1).
GAMES: dict[str, Callable[[int], gt.Game]] = {
    "bilinear, noise": linear(0.0),
    "quadratic, noise": linear(0.5),
    "Gaussian GAN, Wasserstein, R1": gaussian("wasserstein", [gt.regularizers.R1(gamma=1.0)]),
    "Gaussian GAN, nonsaturating": gaussian("nonsaturating"),
}


class Expected:
    """The expectation of what consensus descends, over independent samples of a game."""

    def __init__(self, name: str):
        nodes, weights = np.polynomial.hermite_e.hermegauss(NODES)
        real, latent = np.meshgrid(nodes, nodes, indexing="ij")
        self.weights = torch.from_numpy(np.outer(weights, weights).ravel() / weights.sum() ** 2)
        game = GAMES[name](1)
        self.rest = game.vector()
        self.game = gt.stacked([copy.deepcopy(game) for _ in range(NODES**2)])
        pairs = zip(torch.from_numpy(real.ravel()), torch.from_numpy(latent.ravel()), strict=True)
        self.batch = self.game.each([{"real": x.view(1, 1), "latent": z.view(1, 1)} for x, z in pairs])
        self.game.examine(self.batch, derivatives=True)

    def parts(self, w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        r"""Return $\xi$, $J^\top\xi$ and $\tfrac12\nabla\operatorname{tr} C$ at w, each (n,)."""
        layout = self.game.layout
        here = layout.vector_of(w.expand(self.game.copies, -1))
        graph = FieldGraph(self.game, here, self.game.live_buffers(), self.batch)
        rows = layout.rows(graph.value.vector)
        field = self.weights @ rows

        def pulled(u: Tensor) -> Tensor:
            return self.weights @ layout.rows(graph.transposed(layout.vector_of(u)))

        own = pulled(field.expand_as(rows))
        return field, own, pulled(rows) - own

    def direction(self, w: Tensor, gamma: float, size: float) -> Tensor:
        """Return what consensus descends on average on batches of this size, (n,)."""
        field, own, noise = self.parts(w)
        return field + gamma * (own + noise / size)

    def jacobian(self, w: Tensor, gamma: float, size: float, step: float = 1e-5) -> Tensor:
        """Return the derivative of `direction`, (n, n), by central differences."""
        eye = step * torch.eye(len(w), dtype=w.dtype)
        columns = [self.direction(w + e, gamma, size) - self.direction(w - e, gamma, size) for e in eye]
        return torch.stack(columns, 1) / (2 * step)

    def first_order(self, gamma: float, size: float) -> Tensor:
        r"""Return the shift (n,) to first order in 1/B: $-(J + \gamma J^\top J)^{-1} \gamma \nabla \tr C / 2B$."""
        noise = self.parts(self.rest)[2]
        return -torch.linalg.solve(self.jacobian(self.rest, gamma, float("inf")), gamma / size * noise)

    def shift(self, gamma: float, size: float) -> Tensor:
        """Return the shift (n,) to the zero of `direction`, by Newton's method from the point of no noise."""
        w = self.rest
        for _ in range(50):
            change = torch.linalg.solve(self.jacobian(w, gamma, size), self.direction(w, gamma, size))
            w = w - change
            if change.norm() < 1e-10:
                return w - self.rest
        raise gt.GantoolsError(f"No zero was found at gamma = {gamma}, batches of {size}: take a smaller gamma.")
