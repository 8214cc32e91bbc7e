"""Convolutional networks after DCGAN (Radford et al., arXiv 1511.06434), sized to the images."""

import dataclasses
import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from gantools.errors import GantoolsError
from gantools.networks.base import NETWORKS, is_image, players_activations
from gantools.nn.activations import activation as make_activation
from gantools.registry import setting

_KERNEL = {"kernel_size": 4, "stride": 2, "padding": 1}


def variance_gain(activation: nn.Module) -> float:
    r"""Return the weight gain that keeps a unit second moment through an activation.

    $$g = E_{x \sim N(0, 1)}[\phi(x)^2]^{-1/2}$$

    sqrt(2) for ReLU (He et al., arXiv 1502.01852), about 1.59 for tanh; one rule for any activation in the registry.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(64)
    with torch.no_grad():
        values = activation.double()(torch.from_numpy(nodes))
    return float((torch.from_numpy(weights / weights.sum()) * values.square()).sum().rsqrt())


def _initialise(layer: nn.Module, fan_in: float, gain: float, init: str, rng: torch.Generator | None) -> nn.Module:
    std = 0.02 if init == "dcgan" else gain / math.sqrt(fan_in)
    nn.init.normal_(layer.weight, std=std, generator=rng)  # type: ignore[arg-type]
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
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
        self.linear = nn.utils.skip_init(nn.Linear, latent_size, math.prod(self.grid))
        _initialise(self.linear, latent_size, 1.0, init, rng)
        layers: list[nn.Module] = []
        for n_in, n_out in zip(widths, widths[1:], strict=False):
            if norm == "batch":
                layers.append(nn.BatchNorm2d(n_in))
            conv = nn.utils.skip_init(nn.ConvTranspose2d, n_in, n_out, **_KERNEL)
            # An output pixel of a transposed convolution sees kernel^2 / stride^2 = 4 inputs a channel; nn.init's own
            # fan counts kernel^2 output channels instead.
            layers += [make_activation(activation), _initialise(conv, 4 * n_in, gain, init, rng)]
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
            conv = nn.utils.skip_init(nn.Conv2d, n_in, n_out, **_KERNEL)
            layers.append(_initialise(conv, 16 * n_in, gain if stage else 1.0, init, rng))
            if norm == "batch" and stage:  # none on the first layer, as in the paper
                layers.append(nn.BatchNorm2d(n_out))
            layers.append(make_activation(activation))
        n_features = widths[-1] * math.prod(plan.base)
        head = _initialise(nn.utils.skip_init(nn.Linear, n_features, 1), n_features, gain, init, rng)
        self.layers = nn.Sequential(*layers, nn.Flatten(), head)

    def forward(self, images: Tensor) -> Tensor:
        return self.layers(images).squeeze(1)


@NETWORKS.register("dcgan")
@dataclasses.dataclass(frozen=True)
class Dcgan:
    """Strided convolutions in the discriminator, transposed ones in the generator (DCGAN, arXiv 1511.06434)."""

    width: int = setting(32, "channels at half the image size; they double at each halving, up to 8 times this")
    norm: Literal["none", "batch"] = setting("none", "normalisation of hidden layers")
    init: Literal["variance", "dcgan"] = setting("variance", "weights: variance preserving, or N(0, 0.02^2) as DCGAN")
    generator_activation: str = setting("", "hidden activation of the generator, where it differs")
    discriminator_activation: str = setting("", "hidden activation of the discriminator, where it differs")

    default_activation = "leaky_relu"

    def build(
        self,
        data_shape: tuple[int, ...],
        activation: str = "",
        latent_size: int = 16,
        rng: torch.Generator | None = None,
    ) -> tuple[nn.Module, nn.Module]:
        """Return the generator, (B, latent_size) to (B, *data_shape), and the discriminator, (B, *data_shape) to (B,).

        `activation=""` takes leaky_relu in both, so that gradients reach the generator through every unit.
        Images whose sides are not divisible by 4 and unknown activations raise `GantoolsError`.
        """
        if self.width < 1 or latent_size < 1:
            raise GantoolsError("The dcgan needs width >= 1 and a latent size >= 1.")
        plan = _Plan.of(tuple(data_shape), self.width)
        for_generator, for_discriminator = players_activations(self, activation)
        generator = Generator(plan, latent_size, for_generator, self.norm, self.init, rng)
        return generator, Discriminator(plan, for_discriminator, self.norm, self.init, rng)
