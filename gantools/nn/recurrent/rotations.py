r"""Products of layers of plane rotations: EUNN's unitary maps, and real orthogonal ones."""

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

from gantools.errors import GantoolsError
from gantools.nn.recurrent.base import cast, uniform
from gantools.nn.recurrent.maps import StateMap

Style = Literal["tunable", "fft"]


class RotationProduct(StateMap):
    r"""Apply $W = D F_L \cdots F_2 F_1$, each F a layer of rotations of pairs of units (EUNN, arXiv:1612.05231).

    $$\begin{pmatrix} e^{i\phi}\cos\theta & -e^{i\phi}\sin\theta \\ \sin\theta & \cos\theta \end{pmatrix}$$

    "tunable": layers pair (0, 1)(2, 3)... and (1, 2)(3, 4)... in turn; `capacity` L = n reaches all of U(n) with n^2
    reals, less reaches a part of it. "fft": log2 n layers that pair units n/2, n/4, ..., 1 apart, n log2 n + n reals.
    Real: $\phi = 0$ and no $D = \mathrm{diag}(e^{i\omega})$, so W is orthogonal of determinant 1. Angles start uniform
    in ±pi.

    For the loop over time the layers are multiplied out once, to a matrix (n, n); with `factored=True` every step
    applies them one after another: O(nL) numbers, for n too large for a matrix.

    Raises:
        GantoolsError: for a capacity outside 1..n, an unknown style, and "fft" where n is not a power of two.
    """

    partner: Tensor
    diagonal_slot: Tensor
    other_slot: Tensor

    def __init__(
        self,
        size: int,
        capacity: int = 2,
        style: Style = "tunable",
        is_complex: bool = True,
        factored: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        rng: torch.Generator | None = None,
    ):
        super().__init__(size)
        self.is_complex, self.factored = is_complex, factored
        pairs = _pairs(size, capacity, style)
        self._lay_out(pairs)
        count = sum(map(len, pairs))
        self.theta = nn.Parameter(uniform((count,), math.pi, rng))
        self.phi = nn.Parameter(uniform((count,), math.pi, rng)) if is_complex else None
        self.omega = nn.Parameter(uniform((size,), math.pi, rng)) if is_complex else None
        cast(self, device, dtype)

    def _lay_out(self, pairs: list[list[tuple[int, int]]]) -> None:
        """Register each unit's partner in every layer, and the positions of its two factors in `_coefficients`."""
        count = sum(map(len, pairs))
        partner = torch.arange(self.size).repeat(len(pairs), 1)
        # Slots: count turned cosines, count cosines, a one; count turned sines (negative), count sines, a zero.
        diagonal, other = torch.full_like(partner, 2 * count), torch.full_like(partner, 2 * count)
        rotation = 0
        for layer, here in enumerate(pairs):
            for p, q in here:
                partner[layer, p], partner[layer, q] = q, p
                diagonal[layer, p], diagonal[layer, q] = rotation, count + rotation
                other[layer, p], other[layer, q] = rotation, count + rotation
                rotation += 1
        self.register_buffer("partner", partner)
        self.register_buffer("diagonal_slot", diagonal)
        self.register_buffer("other_slot", other)

    def _coefficients(self) -> tuple[Tensor, Tensor]:
        """Return the factors of each unit and of its partner in every layer, both (L, n)."""
        c, s = self.theta.cos(), self.theta.sin()
        turned_c, turned_s = c, s
        if self.phi is not None:
            turn = torch.complex(self.phi.cos(), self.phi.sin())
            turned_c, turned_s, c, s = turn * c, turn * s, c.to(turn.dtype), s.to(turn.dtype)
        diagonal = torch.cat([turned_c, c, c.new_ones(1)])[self.diagonal_slot]
        other = torch.cat([-turned_s, s, s.new_zeros(1)])[self.other_slot]
        if self.omega is not None:
            phases = torch.complex(self.omega.cos(), self.omega.sin())
            diagonal = torch.cat([diagonal[:-1], diagonal[-1:] * phases])
            other = torch.cat([other[:-1], other[-1:] * phases])
        return diagonal, other

    def _layers(self, h: Tensor, coefficients: tuple[Tensor, Tensor]) -> Tensor:
        for diagonal, other, partner in zip(*coefficients, self.partner, strict=True):
            h = h * diagonal + h[:, partner] * other
        return h

    def constants(self) -> Any:
        return self._coefficients() if self.factored else self.matrix().T

    def apply_to(self, h: Tensor, constants: Any) -> Tensor:
        return self._layers(h, constants) if self.factored else h @ constants

    def forward(self, h: Tensor) -> Tensor:
        return self._layers(h.reshape(-1, self.size), self._coefficients()).view(h.shape)


def _pairs(n: int, capacity: int, style: str) -> list[list[tuple[int, int]]]:
    """Return the pairs of units that each layer rotates."""
    if style == "fft":
        if n < 2 or n & (n - 1):
            raise GantoolsError(f'The style "fft" needs a power of two, not {n} units: pass that, or style="tunable".')
        layers = []
        for distance in (n >> k for k in range(1, n.bit_length())):
            layers.append([(p, p + distance) for p in range(n) if not p & distance])
        return layers
    if style != "tunable":
        raise GantoolsError(f'Unknown style {style!r}: pass "tunable" or "fft".')
    if not 1 <= capacity <= n or n < 2:
        raise GantoolsError(
            f"capacity = {capacity} for {n} units: pass a number of layers from 1 to {n}, of 2 or more."
        )
    return [[(p, p + 1) for p in range(layer % 2, n - 1, 2)] for layer in range(capacity)]
