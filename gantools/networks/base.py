"""Base class and registry of the networks: a generator and a discriminator that are built from one set of settings."""

import dataclasses
from collections.abc import Mapping
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import nn

from gantools.errors import GantoolsError
from gantools.registry import Registry, setting

Shape = tuple[int, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Network:
    """Settings of a generator and a discriminator; the command line turns the fields into flags.

    A subclass defines `generator` and `discriminator`, which `build` calls in this order with activations, sizes and
    random generator filled in.
    """

    generator_activation: str = setting("", "hidden activation of the generator, where it differs")
    discriminator_activation: str = setting("", "hidden activation of the discriminator, where it differs")

    name: ClassVar[str]
    default_activation: ClassVar[str] = "relu"
    least: ClassVar[Mapping[str, int]] = MappingProxyType({})  # the smallest allowed value of a setting, by its name

    def build(
        self,
        data_shape: Shape,
        activation: str = "",
        latent_size: int = 16,
        rng: torch.Generator | None = None,
    ) -> tuple[nn.Module, nn.Module]:
        """Return the generator, (B, latent_size) to (B, *data_shape), and discriminator, (B, *data_shape) to (B,).

        Args:
            data_shape: shape of one sample.
            activation: of the hidden layers of both players, as in `gantools.nn.activation`; `""` takes
                `default_activation`.
            latent_size: length of a latent vector.
            rng: draws the weights (the global generator without it).

        Raises:
            GantoolsError: for sizes below the least, data that the network cannot be sized to, and unknown activations.
        """
        if latent_size < 1 or any(getattr(self, size) < least for size, least in self.least.items()):
            sizes = ", ".join(f"{size} >= {least}" for size, least in self.least.items())
            raise GantoolsError(f"The {self.name} needs {sizes} and a latent size >= 1.")
        for_generator, for_discriminator = self.activations(activation)
        generator = self.generator(latent_size, tuple(data_shape), for_generator, rng)
        return generator, self.discriminator(tuple(data_shape), for_discriminator, rng)

    def generator(self, latent_size: int, data_shape: Shape, activation: str, rng: torch.Generator | None) -> nn.Module:
        """Return the generator, (B, latent_size) to (B, *data_shape), its weights drawn by `rng`."""
        raise NotImplementedError

    def discriminator(self, data_shape: Shape, activation: str, rng: torch.Generator | None) -> nn.Module:
        """Return the discriminator, (B, *data_shape) to (B,), its weights drawn by `rng`."""
        raise NotImplementedError

    def activations(self, activation: str) -> tuple[str, str]:
        """Return each player's hidden activation, generator first: its own, else `activation`, else the default."""
        common = activation or self.default_activation
        return self.generator_activation or common, self.discriminator_activation or common


NETWORKS: Registry[type[Network]] = Registry("network")


def is_image(data_shape: Shape) -> bool:
    """Return whether samples of this shape are images (C, H, W), taken to lie in [-1, 1]."""
    return len(data_shape) == 3


def bounded(data_shape: Shape) -> nn.Module | None:
    """Return the last layer of a generator of such samples: tanh for images, none for vectors."""
    return nn.Tanh() if is_image(data_shape) else None
