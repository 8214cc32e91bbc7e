"""Orthogonal linear maps by the matrix exponential."""

import torch
from torch import Tensor, nn

from gantools.nn.init import haar


class OrthogonalLinear(nn.Module):
    r"""Multiply by an orthogonal matrix, and add a bias: $Q x + b$, $Q = \exp(A)\, Q_0$ with $A^{\mathsf T} = -A$.

    `weight` (n (n - 1) / 2,) fills A below its diagonal, row by row: as many numbers as O(n) has dimensions. Q_0, a
    buffer (n, n), is drawn from the uniform (Haar) distribution, with determinant 1 or -1, which the exponential
    keeps, and `weight` starts at 0. The real counterpart of `UnitaryLinear`.
    (`torch.nn.utils.parametrizations.orthogonal` takes the same map of n^2 numbers, half of which move nothing: each
    would be an eigenvalue 0 of every Jacobian.)
    """

    base: Tensor
    places: Tensor

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
        numbers = features * (features - 1) // 2
        self.weight = nn.Parameter(torch.zeros(numbers, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(features, device=device, dtype=dtype)) if bias else None
        self.register_buffer("base", haar_orthogonal(features, rng).to(self.weight))
        # Where each entry below the diagonal is found in `weight`; all others take the zero that is appended to it.
        places = torch.full((features, features), numbers)
        row, column = torch.tril_indices(features, features, -1)
        places[row, column] = torch.arange(numbers)
        self.register_buffer("places", places.to(self.weight.device), persistent=False)

    def matrix(self) -> Tensor:
        """Return Q, (n, n)."""
        below = torch.cat([self.weight, self.weight.new_zeros(1)])[self.places]
        return torch.matrix_exp(below - below.T) @ self.base

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.linear(x, self.matrix(), self.bias)

    def extra_repr(self) -> str:
        return f"features={self.features}, bias={self.bias is not None}"


def haar_orthogonal(n: int, rng: torch.Generator | None) -> Tensor:
    """Return a uniformly distributed orthogonal matrix (n, n), float64."""
    return haar(torch.randn(n, n, generator=rng, dtype=torch.float64))
