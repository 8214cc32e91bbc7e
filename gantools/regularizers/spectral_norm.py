"""Spectral normalisation: every layer of the discriminator has Lipschitz constant 1."""

import dataclasses
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.utils import parametrizations, parametrize

from gantools.errors import GantoolsError
from gantools.registry import setting
from gantools.regularizers.base import REGULARIZERS, Regularizer

STARTING_ITERATIONS = 100


@REGULARIZERS.register("spectral_norm")
@dataclasses.dataclass(frozen=True)
class SpectralNorm(Regularizer):
    r"""Divide each layer's weight by its largest singular value (SN-GAN, Miyato et al. 2018, arXiv:1802.05957).

    $$\bar W = W / \sigma(W), \qquad \sigma(W) = u^{\mathsf T} W v$$

    A convolution's weight counts as a matrix with a row for each output channel, as in the paper. The vectors $u$ and
    $v$ are buffers, which each forward pass in training mode moves by power iterations; derivatives see them as
    constants, and in analysis they stand still.

    `gantools.gan` puts `torch.nn.utils.parametrizations.spectral_norm` on every linear and convolutional layer *of the
    discriminator that it is given*, in place; layers that have it are left as they are. The weights are then the
    parameters `parametrizations.weight.original`; `torch.nn.utils.parametrize.remove_parametrizations(layer, "weight")`
    makes the normalised weight a plain one. No random numbers are drawn, so equal weights give equal games.
    """

    iterations: int = setting(1, "power iterations in each forward pass of training")

    def __post_init__(self) -> None:
        if self.iterations < 1:
            raise GantoolsError(f"iterations = {self.iterations}: pass at least one power iteration.")

    def prepare(self, generator: nn.Module, discriminator: nn.Module) -> None:
        layers = {n: m for n, m in discriminator.named_modules() if isinstance(m, (nn.Linear, _ConvNd))}
        if not layers:
            raise GantoolsError(
                "SpectralNorm finds no linear or convolutional layer in the discriminator: normalise its own layers "
                "with torch.nn.utils.parametrizations.spectral_norm."
            )
        for name, layer in layers.items():
            if not _has_spectral_norm(layer):
                self._normalise(layer, name)

    def _normalise(self, layer: nn.Module, name: str) -> None:
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        if not weight.any():
            raise GantoolsError(
                f"The weight of the discriminator's layer {name!r} is zero, and has no direction to normalise: start "
                "it with another weight, or leave spectral_norm out."
            )
        # torch draws its first vectors from the global generator.
        with torch.random.fork_rng([weight.device] if weight.is_cuda else []):
            parametrizations.spectral_norm(layer, n_power_iterations=self.iterations)
        added: Any = layer.parametrizations["weight"][-1]  # type: ignore[index]
        matrix = weight.detach().movedim(added.dim, 0).flatten(1)
        source = torch.Generator().manual_seed(0)
        v = torch.randn(matrix.shape[1], generator=source, dtype=torch.float64).to(matrix)
        u = matrix @ v
        for _ in range(STARTING_ITERATIONS):
            u = nn.functional.normalize(matrix @ v, dim=0)
            v = nn.functional.normalize(matrix.T @ u, dim=0)
        added._u.copy_(u)
        added._v.copy_(v)


def _has_spectral_norm(layer: nn.Module) -> bool:
    """Return whether a layer has spectral normalisation, as a parametrization or as the older hook."""
    present = list(layer._forward_pre_hooks.values())
    if parametrize.is_parametrized(layer, "weight"):
        present += list(layer.parametrizations["weight"])  # type: ignore[index]
    return any(hasattr(one, "n_power_iterations") for one in present)
