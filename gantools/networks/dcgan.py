"""Convolutional networks after DCGAN (Radford et al., arXiv:1511.06434), sized to the images."""

import dataclasses
import math
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor, nn

from gantools.errors import GantoolsError
from gantools.networks.algebra import Complex, Real
from gantools.networks.base import NETWORKS, Network, Shape, is_image
from gantools.nn.init import blank
from gantools.registry import setting


@dataclasses.dataclass(frozen=True)
class Plan:
    """Channels and base resolution: image (C, H, W) is `len(widths)` doublings of a (widths[-1], *base) grid."""

    channels: int
    widths: tuple[int, ...]
    base: tuple[int, int]

    @staticmethod
    def of(data_shape: tuple[int, ...], width: int, name: str) -> "Plan":
        if not is_image(data_shape) or data_shape[1] % 4 or data_shape[2] % 4:
            raise GantoolsError(
                f"The {name} needs images (C, H, W) with H and W divisible by 4, not samples of shape {data_shape}: "
                "resize or pad them, or use --network mlp."
            )
        channels, height, width_px = data_shape
        halvings = 0
        # At least two halvings, then on to a grid of about 4 x 4 as in the paper, as long as both sides stay whole.
        while halvings < 2 or (min(height, width_px) > 4 and height % 2 == 0 and width_px % 2 == 0):
            height, width_px, halvings = height // 2, width_px // 2, halvings + 1
        widths = tuple(width * min(2**stage, 8) for stage in range(halvings))
        return Plan(channels, widths, (height, width_px))


class Generator(nn.Module):
    """Map latents (B, z) to images (B, C, H, W): a linear layer, transposed 4x4 convolutions of stride 2, and tanh."""

    def __init__(self, plan: Plan, latent_size: int, activation: str, numbers: Real):
        super().__init__()
        gain = numbers.gain(activation)
        widths = (*reversed(plan.widths), plan.channels)
        self.grid = (widths[0], *plan.base)
        self.enter = numbers.enter(latent_size)
        self.linear = numbers.linear(latent_size, math.prod(self.grid))
        layers: list[nn.Module] = []
        for n_in, n_out in zip(widths, widths[1:-1], strict=False):
            layers += [*numbers.batch_norm(n_in), numbers.activation(activation, n_in)]
            layers.append(numbers.doubling(n_in, n_out, gain))
        n_in = widths[-2]
        layers += [*numbers.batch_norm(n_in), numbers.activation(activation, n_in), numbers.leave()]
        # The pixels are real numbers: a real layer of both parts, as the imaginary part of a complex one would be lost.
        pixels = blank(nn.ConvTranspose2d, numbers.parts * n_in, plan.channels, 4, stride=2, padding=1)
        self.layers = nn.Sequential(*layers, numbers.drawn(pixels, 4 * n_in, gain), nn.Tanh())

    def forward(self, latent: Tensor) -> Tensor:
        return self.layers(self.linear(self.enter(latent)).reshape(-1, *self.grid))


class Discriminator(nn.Module):
    """Map images (B, C, H, W) to scores (B,): 4x4 convolutions of stride 2, then a linear layer."""

    def __init__(self, plan: Plan, activation: str, numbers: Real):
        super().__init__()
        gain = numbers.gain(activation)
        widths = (plan.channels, *plan.widths)
        layers: list[nn.Module] = [numbers.enter(plan.channels)]
        for stage, (n_in, n_out) in enumerate(zip(widths, widths[1:], strict=False)):
            layers.append(numbers.conv(n_in, n_out, 4, gain if stage else 1.0, stride=2, padding=1))
            if stage:  # no norm on the first layer, as in the paper
                layers += numbers.batch_norm(n_out)
            layers.append(numbers.activation(activation, n_out))
        n_features = widths[-1] * math.prod(plan.base)
        head = numbers.drawn(blank(nn.Linear, numbers.parts * n_features, 1), n_features, gain)
        self.layers = nn.Sequential(*layers, nn.Flatten(), numbers.leave(), head)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images).squeeze(1)


@NETWORKS.register("dcgan")
@dataclasses.dataclass(frozen=True)
class Dcgan(Network):
    """Strided convolutions in the discriminator, transposed ones in the generator (DCGAN, arXiv:1511.06434).

    Images of any number of channels whose sides are divisible by 4. Without batch norm, the paper's N(0, 0.02^2) lets
    the signal die out from layer to layer; the default weights preserve its variance.
    """

    width: int = setting(32, "channels at half the image size; they double at each halving, up to 8 times this")
    norm: Literal["none", "batch"] = setting("none", "normalisation of hidden layers")
    init: Literal["variance", "dcgan"] = setting("variance", "weights: variance preserving, or N(0, 0.02^2) as DCGAN")

    name = "dcgan"
    # Not relu: gradients from the discriminator reach the generator through every unit.
    default_activation = "leaky_relu"
    least = MappingProxyType({"width": 1})

    def numbers(self, rng: torch.Generator | None) -> Real:
        """Return the factory of the players' layers."""
        return Real(self.init, self.norm, rng)

    def generator(self, latent_size: int, data_shape: Shape, activation: str, rng: torch.Generator | None) -> nn.Module:
        plan = Plan.of(data_shape, self.width, self.name)
        return Generator(plan, latent_size, activation, self.numbers(rng).for_noise())

    def discriminator(self, data_shape: Shape, activation: str, rng: torch.Generator | None) -> nn.Module:
        return Discriminator(Plan.of(data_shape, self.width, self.name), activation, self.numbers(rng))


@NETWORKS.register("complex_dcgan")
@dataclasses.dataclass(frozen=True)
class ComplexDcgan(Dcgan):
    """The dcgan with complex hidden layers; latents, pixels and scores are real.

    The last layer of each player is a real one of all real and imaginary parts. At 1 / sqrt(2) of the real width there
    are about as many real parameters.
    """

    width: int = setting(16, "complex channels at half the image size; they double at each halving, up to 8 times this")
    norm: Literal["none", "batch"] = setting("none", "normalisation of hidden layers, by 2 x 2 whitening")
    init: Literal["variance", "dcgan", "independent"] = setting(
        "variance", "weights: variance preserving, N(0, 0.02^2) as DCGAN, or semi-unitary as Deep Complex Networks"
    )
    imaginary: Literal["zero", "learned"] = setting("zero", "imaginary part of the discriminator's input")

    name = "complex_dcgan"
    default_activation = "crelu"

    def numbers(self, rng: torch.Generator | None) -> Complex:
        return Complex(self.init, self.norm, rng, self.imaginary)
