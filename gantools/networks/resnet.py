r"""Residual networks after Deep Complex Networks (Trabelsi et al., arXiv:1705.09792), real and complex.

Blocks act before they convolve: norm, activation, 3x3 convolution, twice, added to the input. Between stages the first
convolution of such a branch and a 1x1 convolution of the input both have stride 2, and their outputs stand side by
side: channels double. Generators run the other way, each stage doubling the size and halving the channels.
"""

import dataclasses
import math
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor, nn

from gantools.errors import GantoolsError
from gantools.networks.algebra import Complex, Real
from gantools.networks.base import NETWORKS, Network, Shape
from gantools.networks.dcgan import Plan
from gantools.nn.init import blank
from gantools.registry import setting


class Double(nn.Module):
    """Double height and width by repeating each pixel; any dtype."""

    def forward(self, x: Tensor) -> Tensor:
        return x.repeat_interleave(2, -2).repeat_interleave(2, -1)


def _branch(
    numbers: Real, activation: str, n_in: int, n_out: int, scale: float, stride: int = 1, doubles: bool = False
) -> nn.Sequential:
    """Return norm, activation and convolution, twice. Without norms the convolutions have biases."""
    gain, bias = numbers.gain(activation), numbers.norm == "none"
    first = numbers.conv(n_in, n_out, 3, gain, stride=stride, padding=1, bias=bias)
    second = numbers.conv(n_out, n_out, 3, gain * scale, padding=1, bias=bias)
    return nn.Sequential(
        *numbers.batch_norm(n_in), numbers.activation(activation, n_in), *([Double()] if doubles else []), first,
        *numbers.batch_norm(n_out), numbers.activation(activation, n_out), second,
    )  # fmt: skip


class Residual(nn.Module):
    """Add a branch to its input, or to a shortcut of it."""

    def __init__(self, branch: nn.Module, shortcut: nn.Module | None = None):
        super().__init__()
        self.branch, self.shortcut = branch, shortcut or nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.branch(x)


class Concatenated(nn.Module):
    """Join a projection of the input and a branch, both at half the size, along the channels."""

    def __init__(self, branch: nn.Module, projection: nn.Module):
        super().__init__()
        self.branch, self.projection = branch, projection

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.projection(x), self.branch(x)], 1)


class _Residuals(nn.Module):
    """Map images (B, C, H, W) to (B, num_outputs): the stem, the stages, the mean over pixels, a real linear layer."""

    def __init__(
        self, in_channels: int, num_outputs: int, filters: int, blocks: int, stages: int, activation: str, numbers: Real
    ):
        super().__init__()
        if min(in_channels, num_outputs, filters, blocks, stages) < 1:
            raise GantoolsError("A residual network needs at least one channel, output, filter, block and stage.")
        bias = numbers.norm == "none"
        layers: list[nn.Module] = [numbers.enter(in_channels)]
        layers.append(numbers.conv(in_channels, filters, 3, 1.0, padding=1, bias=bias))
        layers += [*numbers.batch_norm(filters), numbers.activation(activation, filters)]
        counts = [blocks] + [blocks - 1] * (stages - 1)
        # Without norms each block would add as much variance as there is; so they add a share of it each.
        scale = 1.0 if numbers.norm == "batch" else 1 / math.sqrt(max(sum(counts), 1))
        n = filters
        for stage, count in enumerate(counts):
            if stage:
                projection = numbers.conv(n, n, 1, 1.0, stride=2, bias=bias)
                layers.append(Concatenated(_branch(numbers, activation, n, n, 1.0, stride=2), projection))
                n = 2 * n
            layers += [Residual(_branch(numbers, activation, n, n, scale)) for _ in range(count)]
        self.features = nn.Sequential(*layers)
        self.leave = numbers.leave()
        self.head = numbers.drawn(blank(nn.Linear, numbers.parts * n, num_outputs), n, 1.0)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.leave(self.features(images).mean((-2, -1))))


class ResNet(_Residuals):
    """Real residual network (B, C, H, W) to (B, num_outputs), the counterpart of `ComplexResNet`.

    `blocks` in the first of three stages, one fewer in each of the others besides the change of stage. The paper has
    (filters, blocks) = (18, 14), (14, 23) and (16, 18), about 1.7 million parameters each.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_outputs: int = 10,
        filters: int = 18,
        blocks: int = 14,
        stages: int = 3,
        activation: str = "relu",
        norm: str = "batch",
        rng: torch.Generator | None = None,
    ):
        super().__init__(in_channels, num_outputs, filters, blocks, stages, activation, Real("variance", norm, rng))


class ComplexResNet(_Residuals):
    """Deep Complex Network (arXiv:1705.09792): real images (B, C, H, W) to real (B, num_outputs).

    `blocks` in the first of three stages, one fewer in each of the others besides the change of stage; the stem learns
    the imaginary part of the input. The paper's "wide and shallow", "deep and narrow" and the one in between have
    (filters, blocks) = (12, 16), (10, 23) and (11, 19), about 1.7 million real parameters each. Weights are
    semi-unitary with He's variance, as in the paper's code.
    """

    def __init__(
        self,
        in_channels: int = 3,
        num_outputs: int = 10,
        filters: int = 12,
        blocks: int = 16,
        stages: int = 3,
        activation: str = "crelu",
        norm: str = "batch",
        imaginary: str = "learned",
        init: str = "independent",
        rng: torch.Generator | None = None,
    ):
        numbers = Complex(init, norm, rng, imaginary)
        super().__init__(in_channels, num_outputs, filters, blocks, stages, activation, numbers)


class Generator(nn.Module):
    """Map latents (B, z) to images (B, C, H, W): a linear layer, stages of residual blocks that double, and tanh."""

    def __init__(self, plan: Plan, latent_size: int, blocks: int, activation: str, numbers: Real):
        super().__init__()
        halvings, n = len(plan.widths), plan.widths[0] * 2 ** len(plan.widths)
        self.grid = (n, *plan.base)
        self.enter = numbers.enter(latent_size)
        self.linear = numbers.linear(latent_size, math.prod(self.grid))
        counts = [blocks - 1] * halvings + [blocks]
        scale = 1.0 if numbers.norm == "batch" else 1 / math.sqrt(max(sum(counts), 1))
        bias = numbers.norm == "none"
        layers: list[nn.Module] = []
        for stage, count in enumerate(counts):
            if stage:
                shortcut = nn.Sequential(Double(), numbers.conv(n, n // 2, 1, 1.0, bias=bias))
                branch = _branch(numbers, activation, n, n // 2, scale, doubles=True)
                layers.append(Residual(branch, shortcut))
                n //= 2
            layers += [Residual(_branch(numbers, activation, n, n, scale)) for _ in range(count)]
        layers += [*numbers.batch_norm(n), numbers.activation(activation, n), numbers.leave()]
        pixels = blank(nn.Conv2d, numbers.parts * n, plan.channels, 3, padding=1)
        layers.append(numbers.drawn(pixels, 9 * n, numbers.gain(activation)))
        self.layers = nn.Sequential(*layers, nn.Tanh())

    def forward(self, latent: Tensor) -> Tensor:
        return self.layers(self.linear(self.enter(latent)).reshape(-1, *self.grid))


class Discriminator(nn.Module):
    """Map images (B, C, H, W) to scores (B,)."""

    def __init__(self, plan: Plan, blocks: int, activation: str, numbers: Real):
        super().__init__()
        stages = len(plan.widths) + 1
        self.scores = _Residuals(plan.channels, 1, plan.widths[0], blocks, stages, activation, numbers)

    def forward(self, images: Tensor) -> Tensor:
        return self.scores(images).squeeze(1)


@NETWORKS.register("resnet")
@dataclasses.dataclass(frozen=True)
class Resnet(Network):
    """Residual blocks before and after each halving or doubling; the real counterpart of complex_resnet.

    Images whose sides are divisible by 4. Without norms the blocks' shares of the variance add up to one.
    """

    width: int = setting(8, "channels at full image size; they double at each halving")
    blocks: int = setting(2, "residual blocks at full image size; one fewer at each other size")
    norm: Literal["none", "batch"] = setting("none", "normalisation of hidden layers")

    name = "resnet"
    # Not relu: gradients from the discriminator reach the generator through every unit.
    default_activation = "leaky_relu"
    least = MappingProxyType({"width": 1, "blocks": 1})

    def numbers(self, rng: torch.Generator | None) -> Real:
        """Return the factory of the players' layers."""
        return Real("variance", self.norm, rng)

    def generator(self, latent_size: int, data_shape: Shape, activation: str, rng: torch.Generator | None) -> nn.Module:
        plan = Plan.of(data_shape, self.width, self.name)
        return Generator(plan, latent_size, self.blocks, activation, self.numbers(rng).for_noise())

    def discriminator(self, data_shape: Shape, activation: str, rng: torch.Generator | None) -> nn.Module:
        plan = Plan.of(data_shape, self.width, self.name)
        return Discriminator(plan, self.blocks, activation, self.numbers(rng))


@NETWORKS.register("complex_resnet")
@dataclasses.dataclass(frozen=True)
class ComplexResnet(Resnet):
    """Deep Complex Networks (arXiv:1705.09792) as discriminator, mirrored as generator; latents and pixels are real."""

    width: int = setting(6, "complex channels at full image size; they double at each halving")
    blocks: int = setting(2, "residual blocks at full image size; one fewer at each other size")
    norm: Literal["none", "batch"] = setting("none", "normalisation of hidden layers, by 2 x 2 whitening")
    init: Literal["variance", "independent"] = setting("variance", "weights: independent, or semi-unitary as the paper")
    imaginary: Literal["zero", "learned"] = setting("zero", "imaginary part of the discriminator's input")

    name = "complex_resnet"
    default_activation = "crelu"

    def numbers(self, rng: torch.Generator | None) -> Complex:
        return Complex(self.init, self.norm, rng, self.imaginary)
