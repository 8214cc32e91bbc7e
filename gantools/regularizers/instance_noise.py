r"""Instance noise: the discriminator sees every sample through Gaussian noise."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gantools.registry import setting
from gantools.regularizers.base import REGULARIZERS, Regularizer, fake_shape, is_zero, normal
from gantools.schedules import Scheduled


@REGULARIZERS.register("instance_noise")
@dataclasses.dataclass(frozen=True)
class InstanceNoise(Regularizer):
    r"""Add Gaussian noise to real and fake samples before the discriminator (arXiv:1610.04490; arXiv:1701.04862).

    $$D(x + \sigma\epsilon),\quad D(G(z) + \sigma\epsilon'), \qquad \epsilon, \epsilon' \sim N(0, I)$$

    Sønderby et al. 2016 and Arjovsky and Bottou 2017. Both players' losses see it, and so do penalties on the
    discriminator's gradient, which are taken where it is evaluated. The published form anneals the noise:
    `InstanceNoise(Linear(0.1, 0.0, steps))`. On the Dirac-GAN the eigenvalues of $J$ are
    $-f'' \sigma^2 \pm \sqrt{(f'')^2 \sigma^4 - (f')^2}$ (arXiv:1801.04406). It draws "instance_noise.real" and
    "instance_noise.fake", each like its samples (B, ...).
    """

    std: Scheduled = setting(0.1, "standard deviation sigma of the noise, in units of the data")

    def __post_init__(self) -> None:
        self.require_weight("std")

    def draw(self, batch: Mapping[str, Any], generator: torch.Generator) -> dict[str, Tensor]:
        real = batch["real"]
        return {
            "instance_noise.real": normal(tuple(real.shape), real, generator),
            "instance_noise.fake": normal(fake_shape(batch), real, generator),
        }

    def perturb(self, real: Tensor, fake: Tensor, batch: Mapping[str, Any]) -> tuple[Tensor, Tensor]:
        if is_zero(std := self.value("std", batch)):
            return real, fake
        return (
            real + std * self.drawn("instance_noise.real", batch, real),
            fake + std * self.drawn("instance_noise.fake", batch, fake),
        )
