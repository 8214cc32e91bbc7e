"""Factories of real and of complex layers: one description of an architecture makes a network of either kind."""

import dataclasses
import math
from typing import Any, ClassVar

import torch
from torch import nn

from gantools.nn.activations import activation
from gantools.nn.complex.init import complex_independent_, complex_normal_
from gantools.nn.complex.input import Complexify, LearnedImaginary, Parts
from gantools.nn.complex.layers import ComplexConv2d, ComplexConvTranspose2d, ComplexLinear
from gantools.nn.complex.norm import ComplexBatchNorm
from gantools.nn.init import Layer, blank, variance_gain

_DCGAN = 0.02  # DCGAN draws every weight from N(0, 0.02^2)


@dataclasses.dataclass(frozen=True)
class Real:
    """Factory of real layers whose weights `rng` draws.

    `init` is "variance", preserving that of the signal, or "dcgan". `norm` is "none" or "batch".
    """

    init: str = "variance"
    norm: str = "none"
    rng: torch.Generator | None = None

    domain: ClassVar[str] = "real"
    parts: ClassVar[int] = 1

    def drawn(self, layer: Layer, fan_in: float, gain: float) -> Layer:
        """Draw a real layer's weights with the variance gain^2 / fan_in, or DCGAN's."""
        std = _DCGAN if self.init == "dcgan" else gain / math.sqrt(fan_in)
        nn.init.normal_(layer.weight, std=std, generator=self.rng)
        return layer

    def activation(self, spec: str, units: int) -> nn.Module:
        """Return the activation for `units` channels; one for other numbers is refused."""
        return activation(spec, units, self.domain, self.rng)

    def gain(self, spec: str) -> float:
        """Return the gain that keeps the variance through this activation."""
        # Its own random generator: measuring the gain must not advance the one that draws the weights.
        return variance_gain(activation(spec, None, self.domain, torch.Generator()), self.domain)

    def for_noise(self) -> "Real":
        """Return the factory for input that is noise, which has no structure to learn an imaginary part from."""
        return self

    def enter(self, channels: int) -> nn.Module:
        """Return the map from real data to these numbers."""
        return nn.Identity()

    def leave(self) -> nn.Module:
        """Return the map from n of these numbers to n * `parts` real channels."""
        return nn.Identity()

    def batch_norm(self, channels: int) -> list[nn.Module]:
        """Return a list of the batch norm, empty where `norm` is "none"."""
        return [nn.BatchNorm2d(channels)] if self.norm == "batch" else []

    def linear(self, n_in: int, n_out: int, gain: float = 1.0) -> nn.Module:
        """Return a linear layer."""
        return self.drawn(blank(nn.Linear, n_in, n_out), n_in, gain)

    def conv(self, n_in: int, n_out: int, kernel: int, gain: float, **options: Any) -> nn.Module:
        """Return a convolution; the options are those of `torch.nn.Conv2d`."""
        return self.drawn(blank(nn.Conv2d, n_in, n_out, kernel, **options), kernel**2 * n_in, gain)

    def doubling(self, n_in: int, n_out: int, gain: float) -> nn.Module:
        """Return the transposed convolution with a 4 x 4 kernel that doubles height and width."""
        # An output pixel of a transposed convolution sees kernel^2 / stride^2 = 4 inputs a channel; nn.init's own fan
        # counts kernel^2 output channels instead.
        return self.drawn(blank(nn.ConvTranspose2d, n_in, n_out, 4, stride=2, padding=1), 4 * n_in, gain)


@dataclasses.dataclass(frozen=True)
class Complex(Real):
    """Factory of complex layers; E|W|^2 takes the place of the variance.

    `init` may also be "independent", semi-unitary (arXiv:1705.09792). `imaginary`, the imaginary part of the data, is
    "zero" or "learned".
    """

    imaginary: str = "zero"

    domain: ClassVar[str] = "complex"
    parts: ClassVar[int] = 2

    def complex_drawn(self, layer: Any, fan_in: float, gain: float) -> nn.Module:
        """Draw a complex layer's weights with E|W|^2 = gain^2 / fan_in, or DCGAN's."""
        draw = complex_independent_ if self.init == "independent" else complex_normal_
        draw(layer.weight, _DCGAN**2 if self.init == "dcgan" else gain**2 / fan_in, self.rng)
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
        return layer

    def for_noise(self) -> "Complex":
        return dataclasses.replace(self, imaginary="zero")

    def enter(self, channels: int) -> nn.Module:
        if self.imaginary == "learned":
            return LearnedImaginary(channels, self.norm == "batch", self.rng)
        return Complexify()

    def leave(self) -> nn.Module:
        return Parts()

    def batch_norm(self, channels: int) -> list[nn.Module]:
        return [ComplexBatchNorm(channels)] if self.norm == "batch" else []

    def linear(self, n_in: int, n_out: int, gain: float = 1.0) -> nn.Module:
        return self.complex_drawn(_empty(ComplexLinear, n_in, n_out), n_in, gain)

    def conv(self, n_in: int, n_out: int, kernel: int, gain: float, **options: Any) -> nn.Module:
        return self.complex_drawn(_empty(ComplexConv2d, n_in, n_out, kernel, **options), kernel**2 * n_in, gain)

    def doubling(self, n_in: int, n_out: int, gain: float) -> nn.Module:
        layer = _empty(ComplexConvTranspose2d, n_in, n_out, 4, stride=2, padding=1)
        return self.complex_drawn(layer, 4 * n_in, gain)


def _empty(kind: Any, *args: Any, **options: Any) -> nn.Module:
    return kind(*args, device="meta", **options).to_empty(device="cpu")
