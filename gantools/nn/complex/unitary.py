"""Unitary linear maps by the matrix exponential."""

from typing import Any

import torch
from torch import Tensor, nn

from gantools.nn.activations import require_complex
from gantools.nn.complex.layers import as_complex, real_dtype
from gantools.nn.init import haar


class UnitaryLinear(nn.Module):
    r"""Multiply by a unitary matrix, and add a bias: $U z + b$, $U = \exp(A)\, U_0$ with $A^H = -A$.

    Of the real `weight` (n, n), the part below the diagonal makes A's real, antisymmetric part, and the rest makes its
    imaginary, symmetric one: n^2 numbers for the n^2 dimensions of U(n), which they cover whole. U_0, a buffer
    (n, n, 2), is drawn from the uniform (Haar) distribution, and `weight` starts at 0.
    (`torch.nn.utils.parametrizations.orthogonal` takes the same map of 2 n^2 numbers, half of which move nothing: each
    would be an eigenvalue 0 of every Jacobian.)

    Raises:
        GantoolsError: for real numbers, when it is called.
    """

    base: Tensor

    def __init__(
        self,
        features: int,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        rng: torch.Generator | None = None,
    ):
        super().__init__()
        self.features = features
        options: dict[str, Any] = {"device": device, "dtype": real_dtype(dtype)}
        self.weight = nn.Parameter(torch.zeros(features, features, **options))
        self.bias = nn.Parameter(torch.zeros(features, 2, **options)) if bias else None
        self.register_buffer("base", torch.view_as_real(haar_unitary(features, rng)).to(**options))

    def matrix(self) -> Tensor:
        """Return U, complex (n, n)."""
        below, above = self.weight.tril(-1), self.weight.triu()
        return torch.matrix_exp(torch.complex(below - below.T, above + above.T)) @ as_complex(self.base)

    def forward(self, z: Tensor) -> Tensor:
        require_complex(self, z)
        return nn.functional.linear(z, self.matrix(), None if self.bias is None else as_complex(self.bias))

    def extra_repr(self) -> str:
        return f"features={self.features}, bias={self.bias is not None}"


def haar_unitary(n: int, rng: torch.Generator | None) -> Tensor:
    """Return a uniformly distributed unitary matrix (n, n), complex128."""
    return haar(torch.view_as_complex(torch.randn(n, n, 2, generator=rng, dtype=torch.float64)))
