r"""Terms added to a player's loss, composable with any objective and any optimizer.

A regularizer is a frozen dataclass of its settings. Called with the real and fake samples (B, ...) and their scores
(B,), both with their graphs, it returns the terms to add by player's name.
"""

import dataclasses
from typing import Protocol

import torch
from torch import Tensor

from gantools.errors import GantoolsError
from gantools.registry import Registry, setting


class Regularizer(Protocol):
    """What `gantools.gan` needs of a regularizer."""

    @property
    def needs_input_gradient(self) -> bool:
        """Whether the real samples must carry a gradient."""
        ...

    def __call__(self, real: Tensor, fake: Tensor, real_scores: Tensor, fake_scores: Tensor) -> dict[str, Tensor]:
        """Return the terms to add, by player's name."""
        ...


REGULARIZERS: Registry[type] = Registry("regularizer")


def squared_input_gradient(samples: Tensor, scores: Tensor) -> Tensor:
    r"""Return $\lVert\nabla_x D(x)\rVert^2$ for each sample, (B,), differentiable in everything $D$ depends on."""
    (gradient,) = torch.autograd.grad(scores.sum(), samples, create_graph=True)
    return gradient.flatten(1).square().sum(1)


@dataclasses.dataclass(frozen=True)
class _GradientPenalty:
    gamma: float = setting(10.0, "weight; the term is gamma/2 times the mean squared gradient norm, as in the paper")
    needs_input_gradient = True

    def __post_init__(self) -> None:
        if not self.gamma >= 0:
            raise GantoolsError(f"gamma = {self.gamma} is not a weight: pass a number of at least 0.")


@REGULARIZERS.register("r1")
@dataclasses.dataclass(frozen=True)
class R1(_GradientPenalty):
    r"""Penalise the discriminator's gradient on real data (Mescheder, Geiger, Nowozin 2018, arXiv:1801.04406).

    .. math:: \frac{\gamma}{2}\ \mathbb{E}_{x \sim \mathrm{data}} \lVert\nabla_x D(x)\rVert^2

    The authors' code has no 1/2: its `reg_param` 10 is gamma = 20 here. R3GAN's gamma is this one.
    """

    def __call__(self, real: Tensor, fake: Tensor, real_scores: Tensor, fake_scores: Tensor) -> dict[str, Tensor]:
        return {"discriminator": 0.5 * self.gamma * squared_input_gradient(real, real_scores).mean()}


@REGULARIZERS.register("r2")
@dataclasses.dataclass(frozen=True)
class R2(_GradientPenalty):
    r"""Penalise the discriminator's gradient on generated data (arXiv:1801.04406; with R1 in R3GAN, arXiv:2501.05441).

    .. math:: \frac{\gamma}{2}\ \mathbb{E}_{x \sim G} \lVert\nabla_x D(x)\rVert^2

    The generator is not charged with it, but it does depend on the generator, and so the Jacobian does.
    """

    def __call__(self, real: Tensor, fake: Tensor, real_scores: Tensor, fake_scores: Tensor) -> dict[str, Tensor]:
        return {"discriminator": 0.5 * self.gamma * squared_input_gradient(fake, fake_scores).mean()}
