r"""Unitary maps of $\mathbb{C}^n$ that cost less than a matrix: factored as in the uRNN, and Kronecker products.

Every map has `constants()`, computed from its parameters once for a whole sequence; `apply_to(h, constants)`, the map
itself on rows h (B, n); `matrix()`, the explicit matrix (n, n); and `map(h)` for a single use.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gantools.errors import GantoolsError
from gantools.nn.complex.layers import as_complex
from gantools.nn.complex.unitary import haar_unitary
from gantools.nn.recurrent.base import cast, uniform


class StateMap(nn.Module):
    """Linear map of the state of a recurrent cell: `constants()` once for a sequence, then `apply_to` at each step."""

    is_complex = True

    def __init__(self, size: int):
        super().__init__()
        self.size = size

    def constants(self) -> Any:
        """Return the values that `apply_to` needs, computed once for a whole sequence."""
        raise NotImplementedError

    def apply_to(self, h: Tensor, constants: Any) -> Tensor:
        """Return the image of each row of h (B, n)."""
        raise NotImplementedError

    def forward(self, h: Tensor) -> Tensor:
        return self.apply_to(h.reshape(-1, self.size), self.constants()).view(h.shape)

    def matrix(self) -> Tensor:
        """Return the explicit matrix (n, n)."""
        like = next(self.parameters())
        eye = torch.eye(self.size, dtype=like.dtype.to_complex() if self.is_complex else like.dtype, device=like.device)
        return self(eye).T


class FactoredUnitary(StateMap):
    r"""Apply $W = D_3 R_2 F^{-1} D_2 \Pi R_1 F D_1$ (Arjovsky, Shah and Bengio, arXiv:1511.06464, eq. 6).

    $D = \mathrm{diag}(e^{i\theta})$, $R = I - 2 v v^H / \|v\|^2$, F the unitary Fourier transform, $\Pi$ a fixed random
    permutation: 7n reals, O(n log n) operations. (The authors' code reflects with $\bar v$ and turns by
    $e^{-i\theta}$: the same family.) Angles start uniform in ±pi, the coordinates of v in ±1.
    """

    permutation: Tensor

    def __init__(
        self,
        size: int,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        rng: torch.Generator | None = None,
    ):
        super().__init__(size)
        self.angles = nn.Parameter(uniform((3, size), math.pi, rng))
        self.vectors = nn.Parameter(uniform((2, size, 2), 1.0, rng))
        self.register_buffer("permutation", torch.randperm(size, generator=rng))
        cast(self, device, dtype)

    def constants(self) -> tuple[Tensor, ...]:
        v = as_complex(self.vectors / self.vectors.square().sum((1, 2), keepdim=True).sqrt())
        turns = torch.complex(self.angles.cos(), self.angles.sin())
        return *turns.unbind(), *v.unbind(), *(2 * v.conj()).resolve_conj().unsqueeze(-1).unbind()

    def apply_to(self, h: Tensor, constants: Any) -> Tensor:
        d1, d2, d3, v1, v2, c1, c2 = constants
        h = torch.fft.fft(h * d1, norm="ortho")
        h = h - (h @ c1) * v1
        h = torch.fft.ifft(h[:, self.permutation] * d2, norm="ortho")
        h = h - (h @ c2) * v2
        return h * d3


def kronecker_matvec(factors: Sequence[Tensor], x: Tensor) -> Tensor:
    r"""Return $(W_0 \otimes \dots \otimes W_{F-1})\, x$ for each row of x (..., N), without forming the product.

    Each factor (P_f, Q_f) acts on its own axis of x, seen as a tensor $Q_0 \times \dots \times Q_{F-1}$ (Jose, Cisse
    and Fleuret, arXiv:1705.10142): N sum P_f operations where the product would take N^2.
    """
    batch = x.shape[:-1]
    x = x.reshape(-1, *(factor.shape[1] for factor in factors))
    for factor in factors:
        # The axis in front is contracted and its image goes to the back; after all of them the order is restored.
        x = x.movedim(1, -1) @ factor.T
    return x.reshape(*batch, -1)


def factor_sizes(n: int, count: int | None = None) -> tuple[int, ...]:
    """Return the prime factors of n, the smallest merged until `count` remain."""
    sizes, p = [], 2
    while n > 1:
        while n % p == 0:
            sizes.append(p)
            n //= p
        p += 1
    while count is not None and len(sizes) > max(count, 1):
        sizes = sorted([sizes[0] * sizes[1], *sizes[2:]])
    return tuple(sizes) or (1,)


class KroneckerMap(StateMap):
    r"""Apply $W = W_0 \otimes \dots \otimes W_{F-1}$, small complex factors that start unitary (arXiv:1705.10142).

    W is unitary exactly where every factor is, up to scalars that multiply to modulus one. Factors 2 x 2 make
    8 log2 n reals. They are free to leave the unitary group; `penalty()` holds them near it. Complex, since real
    orthogonal factors of determinant 1 and -1 are not connected. They start uniformly (Haar) distributed.

    For the loop over time the factors are multiplied into two of about sqrt(n): two dense products a step instead of F
    thin ones.
    """

    def __init__(
        self,
        size: int,
        factors: Sequence[int] | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        rng: torch.Generator | None = None,
    ):
        super().__init__(size)
        self.sizes = factor_sizes(size) if factors is None else tuple(factors)
        if math.prod(self.sizes) != size or min(self.sizes) < 1:
            raise GantoolsError(f"factors = {self.sizes} multiply to {math.prod(self.sizes)}: make it {size}.")
        self.factors = nn.ParameterList(torch.view_as_real(haar_unitary(p, rng)) for p in self.sizes)
        # Cut where the two products are most nearly of one size.
        self._cut = min(range(len(self.sizes) + 1), key=lambda k: math.prod(self.sizes[:k]) + math.prod(self.sizes[k:]))

    def constants(self) -> list[Tensor]:
        factors = [as_complex(w) for w in self.factors]
        halves = [factors[: self._cut], factors[self._cut :]]
        *front, back = [functools.reduce(torch.kron, half) for half in halves if half]
        return [*front, back.T]

    def apply_to(self, h: Tensor, constants: Any) -> Tensor:
        if len(constants) == 1:
            return h @ constants[0]
        a, b = constants
        return (a @ h.view(-1, len(a), len(b)) @ b).flatten(1)

    def penalty(self) -> Tensor:
        r"""Return the soft constraint $\sum_f \|W_f^H W_f - I\|_F^2$, to be added to the loss times a factor."""
        total = torch.zeros((), dtype=self.factors[0].dtype, device=self.factors[0].device)
        for stored in self.factors:
            w = as_complex(stored)
            total = total + (w.mH @ w - torch.eye(len(w), dtype=w.dtype, device=w.device)).abs().square().sum()
        return total
