"""Multilayer perceptrons of complex numbers, with free or with unitary hidden layers."""

import dataclasses
import math
from types import MappingProxyType
from typing import Literal

import torch
from torch import Tensor, nn

from gantools.errors import GantoolsError
from gantools.networks.base import NETWORKS, Network, Shape, bounded
from gantools.nn.activations import activation as make_activation
from gantools.nn.complex.init import complex_glorot_
from gantools.nn.complex.input import Complexify, LearnedImaginary, Parts
from gantools.nn.complex.layers import ComplexLinear
from gantools.nn.complex.unitary import UnitaryLinear, haar_unitary
from gantools.nn.init import blank
from gantools.registry import setting


class ComplexMLP(nn.Module):
    """Map real (B, *in_shape) to real (B, *out_shape) through hidden layers of complex units, as many as in `widths`.

    The last layer is a real one of all real and imaginary parts. Weights have Glorot's variance, biases are zero; with
    `unitary` the maps between hidden layers, which must then have one width, are unitary matrices, and with
    `init="unitary"` they begin as the same unitary matrices and are free. The input's imaginary part is 0, or learned
    (without batch norm) with `imaginary="learned"`.
    """

    def __init__(
        self,
        in_shape: tuple[int, ...],
        out_shape: tuple[int, ...],
        widths: tuple[int, ...],
        activation: str,
        output: nn.Module | None = None,
        unitary: bool = False,
        imaginary: str = "zero",
        rng: torch.Generator | None = None,
        init: str = "variance",
    ):
        super().__init__()
        if not widths or ((unitary or init == "unitary") and len(set(widths)) > 1):
            raise GantoolsError("Complex networks need a hidden layer, and unitary ones hidden layers of one width.")
        self.out_shape = out_shape
        n_in = math.prod(in_shape)
        layers: list[nn.Module] = [
            LearnedImaginary(n_in, norm=False, rng=rng) if imaginary == "learned" else Complexify()
        ]
        for depth, width in enumerate(widths):
            if depth and unitary:
                layers.append(UnitaryLinear(width, rng=rng))
            else:
                linear = ComplexLinear(n_in, width, device="meta").to_empty(device="cpu")
                if depth and init == "unitary":
                    linear.weight.data.copy_(torch.view_as_real(haar_unitary(width, rng)))
                else:
                    complex_glorot_(linear.weight, rng)
                nn.init.zeros_(linear.bias)  # type: ignore[arg-type]
                layers.append(linear)
            layers.append(make_activation(activation, width, "complex", rng))
            n_in = width
        head = blank(nn.Linear, 2 * n_in, math.prod(out_shape))
        nn.init.xavier_uniform_(head.weight, generator=rng)
        self.layers = nn.Sequential(*layers, Parts(), head, *([] if output is None else [output]))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(1)).reshape(-1, *self.out_shape)


@NETWORKS.register("complex_mlp")
@dataclasses.dataclass(frozen=True)
class ComplexMlp(Network):
    """Fully connected networks with complex hidden layers; latents, samples and scores are real.

    Images end in tanh, as their data lie in [-1, 1]; vectors are unbounded.
    """

    depth: int = setting(4, "hidden layers of each player")
    width: int = setting(16, "complex units of a hidden layer")
    imaginary: Literal["zero", "learned"] = setting("zero", "imaginary part of the discriminator's input")
    init: Literal["variance", "unitary"] = setting(
        "variance", "weights between hidden layers: Glorot's variance, or unitary at the start"
    )

    name = "complex_mlp"
    default_activation = "crelu"
    least = MappingProxyType({"width": 1, "depth": 1})
    unitary = False

    def generator(self, latent_size: int, data_shape: Shape, activation: str, rng: torch.Generator | None) -> nn.Module:
        output = bounded(data_shape)
        return self._player((latent_size,), data_shape, activation, output, "zero", rng)

    def discriminator(self, data_shape: Shape, activation: str, rng: torch.Generator | None) -> nn.Module:
        return self._player(data_shape, (), activation, None, self.imaginary, rng)

    def _player(
        self,
        inputs: Shape,
        outputs: Shape,
        activation: str,
        output: nn.Module | None,
        imaginary: str,
        rng: torch.Generator | None,
    ) -> nn.Module:
        return ComplexMLP(inputs, outputs, self.widths, activation, output, self.unitary, imaginary, rng, self.init)

    @property
    def widths(self) -> tuple[int, ...]:
        """Units of each hidden layer."""
        return (self.width,) * self.depth


@NETWORKS.register("unitary_mlp")
@dataclasses.dataclass(frozen=True)
class UnitaryMlp(ComplexMlp):
    """The complex_mlp with unitary matrices between hidden layers, exponentials of skew-Hermitian ones."""

    name = "unitary_mlp"
    unitary = True
