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
from gantools.nn.orthogonal import OrthogonalLinear
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
    own default draws weights about 1.7 times smaller. `rng` draws them (the global generator where it is None). With
    `orthogonal` the maps between hidden layers are orthogonal matrices.
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
        orthogonal: bool = False,
    ):
        super().__init__()
        self.out_shape = out_shape
        sizes = [math.prod(in_shape), *[width] * depth, math.prod(out_shape)]
        layers = perceptron(sizes, activation, rng)
        if orthogonal:  # linear layers alternate with activations; the first and the last change the width
            layers[2:-1:2] = [OrthogonalLinear(width, rng=rng) for _ in layers[2:-1:2]]
        self.layers = nn.Sequential(*layers, *([] if output is None else [output]))

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
    orthogonal = False

    def generator(self, latent_size: int, data_shape: Shape, activation: str, rng: torch.Generator | None) -> nn.Module:
        output = bounded(data_shape)
        return MLP((latent_size,), data_shape, self.depth, self.width, activation, output, rng, self.orthogonal)

    def discriminator(self, data_shape: Shape, activation: str, rng: torch.Generator | None) -> nn.Module:
        return MLP(data_shape, (), self.depth, self.width, activation, None, rng, self.orthogonal)


@NETWORKS.register("orthogonal_mlp")
@dataclasses.dataclass(frozen=True)
class OrthogonalMlp(Mlp):
    """The mlp with orthogonal matrices between hidden layers, exponentials of antisymmetric ones."""

    name = "orthogonal_mlp"
    orthogonal = True
