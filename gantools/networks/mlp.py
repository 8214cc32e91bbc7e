"""Multilayer perceptrons: for points in the plane, vectors and tiny images."""

import dataclasses
import math
from collections.abc import Sequence
from types import MappingProxyType

import torch
from torch import Tensor, nn

from gantools.networks.base import NETWORKS, Network, Shape, bounded
from gantools.nn.activations import activation as make_activation
from gantools.nn.init import blank
from gantools.registry import setting


def perceptron(sizes: Sequence[int], activation: str, rng: torch.Generator | None = None) -> list[nn.Module]:
    """Return linear layers from each size to the next with activations between them; Xavier uniform, biases zero."""
    layers: list[nn.Module] = []
    for n_in, n_out in zip(sizes, sizes[1:], strict=False):
        linear = blank(nn.Linear, n_in, n_out)
        nn.init.xavier_uniform_(linear.weight, generator=rng)
        layers += [linear, make_activation(activation, n_out, "real", rng)]
    return layers[:-1]


class MLP(nn.Module):
    """Map (B, *in_shape) to (B, *out_shape) through `depth` hidden layers of `width` units; `out_shape=()` gives (B,).

    Weights are Xavier uniform with biases at zero, TensorFlow's default and so that of The Numerics of GANs; PyTorch's
    own default draws weights about 1.7 times smaller. `rng` draws them (the global generator where it is None).
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        depth: int,
        width: int,
        activation: str,
        output: nn.Module | None = None,
        rng: torch.Generator | None = None,
    ):
        super().__init__()
        self.out_shape = out_shape
        sizes = [math.prod(in_shape), *[width] * depth, math.prod(out_shape)]
        self.layers = nn.Sequential(*perceptron(sizes, activation, rng), *([] if output is None else [output]))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(1)).reshape(-1, *self.out_shape)


@NETWORKS.register("mlp")
@dataclasses.dataclass(frozen=True)
class Mlp(Network):
    """Fully connected networks; the defaults are those of The Numerics of GANs (arXiv:1705.10461) for ring8.

    Images end in tanh, as their data lie in [-1, 1]; vectors are unbounded.
    """

    depth: int = setting(4, "hidden layers of each player")
    width: int = setting(16, "units of a hidden layer")

    name = "mlp"
    least = MappingProxyType({"width": 1, "depth": 0})

    def generator(self, latent_size: int, data_shape: Shape, activation: str, rng: torch.Generator | None) -> nn.Module:
        return MLP((latent_size,), data_shape, self.depth, self.width, activation, bounded(data_shape), rng)

    def discriminator(self, data_shape: Shape, activation: str, rng: torch.Generator | None) -> nn.Module:
        return MLP(data_shape, (), self.depth, self.width, activation, None, rng)
