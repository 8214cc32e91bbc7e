"""Spectral normalization of complex layers."""

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import register_parametrization

from gantools.errors import GantoolsError
from gantools.nn.complex.layers import as_complex


class _ComplexSpectralNorm(nn.Module):
    """Divide a stored weight by the largest singular value of the complex matrix that it stands for.

    `n_power_iterations` is the name by which analysis finds power iterations. The vectors are replaced and not written
    into, so that their derivatives by the weight can be followed.
    """

    left: Tensor
    right: Tensor

    def __init__(
        self, weight: Tensor, n_power_iterations: int, transposed: bool, eps: float, rng: torch.Generator | None
    ):
        super().__init__()
        self.n_power_iterations, self.transposed, self.eps = n_power_iterations, transposed, eps
        matrix = self._matrix(weight.detach())
        for name, size in (("left", matrix.shape[0]), ("right", matrix.shape[1])):
            draw = torch.randn(size, 2, generator=rng, dtype=weight.dtype).to(weight.device)
            self.register_buffer(name, draw / draw.norm())
        self._iterate(matrix, 15)

    def _matrix(self, stored: Tensor) -> Tensor:
        weight = as_complex(stored)
        return (weight.transpose(0, 1) if self.transposed else weight).flatten(1)

    @torch.no_grad()
    def _iterate(self, matrix: Tensor, times: int) -> None:
        for _ in range(times):
            self.left = self._image(matrix, self.right)
            self.right = self._image(matrix.mH, self.left)

    def _image(self, matrix: Tensor, vector: Tensor) -> Tensor:
        image = matrix @ as_complex(vector)
        return torch.view_as_real(image / image.norm().clamp_min(self.eps))

    def forward(self, stored: Tensor) -> Tensor:
        matrix = self._matrix(stored)
        if self.training:
            self._iterate(matrix.detach(), self.n_power_iterations)
        left, right = as_complex(self.left), as_complex(self.right)
        return stored / (left.conj() @ matrix @ right).real

    def right_inverse(self, stored: Tensor) -> Tensor:
        return stored


def complex_spectral_norm(
    module: nn.Module,
    name: str = "weight",
    n_power_iterations: int = 1,
    eps: float = 1e-12,
    rng: torch.Generator | None = None,
) -> nn.Module:
    r"""Parametrize a complex layer's weight as $W / \sigma_{max}(W)$, and return the layer (arXiv:1802.05957).

    The singular value is that of the complex matrix (out, in * kernel), by power iterations in training mode, as in
    `torch.nn.utils.parametrizations.spectral_norm`, which would take the stored real and imaginary parts for separate
    inputs. `rng` draws the first vectors.

    Raises:
        GantoolsError: for a module that has no complex parameter of this name.
    """
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor) or weight.dim() < 3 or weight.shape[-1] != 2 or not hasattr(module, "transposed"):
        raise GantoolsError(
            f"{type(module).__name__} has no complex {name!r}: for real layers use "
            "torch.nn.utils.parametrizations.spectral_norm."
        )
    transposed = bool(module.transposed)
    register_parametrization(module, name, _ComplexSpectralNorm(weight, n_power_iterations, transposed, eps, rng))
    return module
