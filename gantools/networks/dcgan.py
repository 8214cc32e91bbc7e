"""Convolutional networks after DCGAN (Radford et al., arXiv 1511.06434), sized to the images."""

import dataclasses
import math
from typing import Literal

import torch
from torch import Tensor, nn

from gantools.errors import GantoolsError
from gantools.networks.base import NETWORKS, Network, is_image
from gantools.nn.activations import activation as make_activation
from gantools.nn.init import Layer, blank, variance_gain
from gantools.registry import setting

_KERNEL = {"kernel_size": 4, "stride": 2, "padding": 1}


def _drawn(layer: Layer, fan_in: float, gain: float, init: str, rng: torch.Generator | None) -> Layer:
    nn.init.normal_(layer.weight, std=0.02 if init == "dcgan" else gain / math.sqrt(fan_in), generator=rng)
    return layer


@dataclasses.dataclass(frozen=True)
class _Plan:
    """Channels and base resolution: image (C, H, W) is `len(widths)` doublings of a (widths[-1], *base) grid."""

    channels: int
    widths: tuple[int, ...]
    base: tuple[int, int]

    @staticmethod
    def of(data_shape: tuple[int, ...], width: int) -> "_Plan":
        if not is_image(data_shape) or data_shape[1] % 4 or data_shape[2] % 4:
            raise GantoolsError(
                f"The dcgan needs images (C, H, W) with H and W divisible by 4, not samples of shape {data_shape}: "
                "resize or pad them, or use --network mlp."
            )
        channels, height, width_px = data_shape
        halvings = 0
        # At least two halvings, then on to a grid of about 4 x 4 as in the paper, as long as both sides stay whole.
        while halvings < 2 or (min(height, width_px) > 4 and height % 2 == 0 and width_px % 2 == 0):
            height, width_px, halvings = height // 2, width_px // 2, halvings + 1
        widths = tuple(width * min(2**stage, 8) for stage in range(halvings))
        return _Plan(channels, widths, (height, width_px))


class Generator(nn.Module):
    """Map latents (B, z) to images (B, C, H, W): a linear layer, transposed 4x4 convolutions of stride 2, and tanh."""

    def __init__(
        self, plan: _Plan, latent_size: int, activation: str, norm: str, init: str, rng: torch.Generator | None
    ):
        super().__init__()
        gain = variance_gain(make_activation(activation))
        widths = (*reversed(plan.widths), plan.channels)
        self.grid = (widths[0], *plan.base)
        self.linear = blank(nn.Linear, latent_size, math.prod(self.grid))
        _drawn(self.linear, latent_size, 1.0, init, rng)
        layers: list[nn.Module] = []
        for n_in, n_out in zip(widths, widths[1:], strict=False):
            if norm == "batch":
                layers.append(nn.BatchNorm2d(n_in))
            conv = blank(nn.ConvTranspose2d, n_in, n_out, **_KERNEL)
            # An output pixel of a transposed convolution sees kernel^2 / stride^2 = 4 inputs a channel; nn.init's own
            # fan counts kernel^2 output channels instead.
            layers += [make_activation(activation), _drawn(conv, 4 * n_in, gain, init, rng)]
        self.layers = nn.Sequential(*layers, nn.Tanh())

    def forward(self, latent: Tensor) -> Tensor:
        return self.layers(self.linear(latent).reshape(-1, *self.grid))


class Discriminator(nn.Module):
    """Map images (B, C, H, W) to scores (B,): 4x4 convolutions of stride 2, then a linear layer."""

    def __init__(self, plan: _Plan, activation: str, norm: str, init: str, rng: torch.Generator | None):
        super().__init__()
        gain = variance_gain(make_activation(activation))
        widths = (plan.channels, *plan.widths)
        layers: list[nn.Module] = []
        for stage, (n_in, n_out) in enumerate(zip(widths, widths[1:], strict=False)):
            conv = blank(nn.Conv2d, n_in, n_out, **_KERNEL)
            layers.append(_drawn(conv, 16 * n_in, gain if stage else 1.0, init, rng))
            if norm == "batch" and stage:  # none on the first layer, as in the paper
                layers.append(nn.BatchNorm2d(n_out))
            layers.append(make_activation(activation))
        n_features = widths[-1] * math.prod(plan.base)
        head = _drawn(blank(nn.Linear, n_features, 1), n_features, gain, init, rng)
        self.layers = nn.Sequential(*layers, nn.Flatten(), head)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images).squeeze(1)


@NETWORKS.register("dcgan")
@dataclasses.dataclass(frozen=True)
class Dcgan(Network):
    """Strided convolutions in the discriminator, transposed ones in the generator (DCGAN, arXiv 1511.06434).

    Images of any number of channels whose sides are divisible by 4. Without batch norm, the paper's N(0, 0.02^2) lets
    the signal die out from layer to layer; the default weights preserve its variance.
    """

    width: int = setting(32, "channels at half the image size; they double at each halving, up to 8 times this")
    norm: Literal["none", "batch"] = setting("none", "normalisation of hidden layers")
    init: Literal["variance", "dcgan"] = setting("variance", "weights: variance preserving, or N(0, 0.02^2) as DCGAN")

    # Not relu: gradients from the discriminator reach the generator through every unit.
    default_activation = "leaky_relu"

    def build(
        self,
        data_shape: tuple[int, ...],
        activation: str = "",
        latent_size: int = 16,
        rng: torch.Generator | None = None,
    ) -> tuple[nn.Module, nn.Module]:
        if self.width < 1 or latent_size < 1:
            raise GantoolsError("The dcgan needs width >= 1 and a latent size >= 1.")
        plan = _Plan.of(tuple(data_shape), self.width)
        for_generator, for_discriminator = self.activations(activation)
        generator = Generator(plan, latent_size, for_generator, self.norm, self.init, rng)
        return generator, Discriminator(plan, for_discriminator, self.norm, self.init, rng)
