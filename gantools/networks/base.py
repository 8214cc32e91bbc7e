"""What every network has in common: the registry, who gets which activation, and what `build` returns."""

import dataclasses
from typing import ClassVar

import torch
from torch import nn

from gantools.registry import Registry, setting


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """Settings of a generator and a discriminator; the command line turns the fields into flags."""

    generator_activation: str = setting("", "hidden activation of the generator, where it differs")
    discriminator_activation: str = setting("", "hidden activation of the discriminator, where it differs")

    default_activation: ClassVar[str] = "relu"

    def build(
        self,
        data_shape: tuple[int, ...],
        activation: str = "",
        latent_size: int = 16,
        rng: torch.Generator | None = None,
    ) -> tuple[nn.Module, nn.Module]:
        """Return the generator, (B, latent_size) to (B, *data_shape), and discriminator, (B, *data_shape) to (B,).

        `activation`, as in `gantools.nn.activation`, serves both hidden layers; `""` takes `default_activation`. `rng`
        draws the weights; without it the global generator does. Sizes below 1, data that the network cannot be sized to
        and unknown activations raise `GantoolsError`.
        """
        raise NotImplementedError

    def activations(self, activation: str) -> tuple[str, str]:
        """Return each player's hidden activation, generator first: its own, else `activation`, else the default."""
        common = activation or self.default_activation
        return self.generator_activation or common, self.discriminator_activation or common


NETWORKS: Registry[type[Network]] = Registry("network")


def is_image(data_shape: tuple[int, ...]) -> bool:
    """Return whether samples of this shape are images (C, H, W), taken to lie in [-1, 1]."""
    return len(data_shape) == 3
