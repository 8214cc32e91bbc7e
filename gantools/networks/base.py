"""What every network has in common: the registry, and who gets which activation."""

from typing import Any, Protocol

import torch
from torch import nn

from gantools.registry import Registry


class Network(Protocol):
    """Settings of a pair of networks: a frozen dataclass whose fields the command line turns into flags."""

    generator_activation: str
    discriminator_activation: str
    default_activation: str

    def build(
        self,
        data_shape: tuple[int, ...],
        activation: str = "",
        latent_size: int = 16,
        rng: torch.Generator | None = None,
    ) -> tuple[nn.Module, nn.Module]:
        """Return the generator, (B, latent_size) to (B, *data_shape), and discriminator, (B, *data_shape) to (B,)."""
        ...


NETWORKS: Registry[Any] = Registry("network")


def players_activations(network: Network, activation: str) -> tuple[str, str]:
    """Return each player's hidden activation, generator first: its own, else `activation`, else the default."""
    common = activation or network.default_activation
    return network.generator_activation or common, network.discriminator_activation or common


def is_image(data_shape: tuple[int, ...]) -> bool:
    """Return whether samples of this shape are images (C, H, W), taken to lie in [-1, 1]."""
    return len(data_shape) == 3
