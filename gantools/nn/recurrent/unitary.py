r"""Recurrent cells whose state is carried by a unitary map: uRNN, full capacity, EUNN, KRU; and the gated GORU."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gantools.nn.complex.activations import apply_modrelu
from gantools.nn.complex.unitary import UnitaryLinear
from gantools.nn.recurrent.base import Recurrent, State, cast, glorot, stacked, uniform, unstacked
from gantools.nn.recurrent.maps import FactoredUnitary, KroneckerMap, StateMap
from gantools.nn.recurrent.rotations import RotationProduct, Style

Device = torch.device | str | None


class UnitaryRecurrent(Recurrent):
    r"""Step $h_t = \mathrm{modReLU}(W h_{t-1} + V x_t;\ b)$, W a norm-preserving map of the state (arXiv:1511.06464).

    $|\partial h_T / \partial h_t|$ neither vanishes nor explodes as long as modReLU passes everything: with b = 0,
    where it starts, it is the identity. h_0 is learned, with E|h_0|^2 = 1 at the start; V is Glorot uniform.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        recurrent: StateMap,
        batch_first: bool,
        device: Device,
        dtype: torch.dtype | None,
        rng: torch.Generator | None,
    ):
        super().__init__(input_size, hidden_size, batch_first)
        self.recurrent = recurrent
        self.weight = nn.Parameter(self._input_weight(glorot(self.output_size, input_size, rng)))
        self.bias = nn.Parameter(torch.zeros(hidden_size, dtype=torch.float64))
        h0 = uniform((self.output_size,), (3 / self.output_size) ** 0.5, rng)
        self.h0 = nn.Parameter(self._input_weight(h0[:, None])[:, 0])
        cast(self, device, dtype)

    def _input_weight(self, rows: Tensor) -> Tensor:
        """Return a matrix, real parts first, as pairs (hidden_size, input_size, 2); as it is where the cell is real."""
        return torch.stack(rows.chunk(2), -1) if self.recurrent.is_complex else rows

    @property
    def output_size(self) -> int:
        return 2 * self.hidden_size if self.recurrent.is_complex else self.hidden_size

    def constants(self) -> Any:
        return self.recurrent.constants()

    def drive(self, x: Tensor) -> Tensor:
        if not self.recurrent.is_complex:
            return F.linear(x, self.weight)
        return torch.complex(F.linear(x, self.weight[..., 0]), F.linear(x, self.weight[..., 1]))

    def step(self, driven: Tensor, state: State, constants: Any) -> State:
        return (apply_modrelu(self.recurrent.apply_to(state[0], constants) + driven, self.bias),)

    def initial(self, batch: int) -> State:
        h0 = torch.complex(self.h0[:, 0], self.h0[:, 1]) if self.recurrent.is_complex else self.h0
        return (h0.expand(batch, -1),)

    def enter(self, given: Tensor) -> State:
        return (unstacked(given[0]) if self.recurrent.is_complex else given[0],)

    def leave(self, state: State) -> Tensor:
        return stacked(state[0])[None]

    def show(self, outputs: Tensor) -> Tensor:
        return stacked(outputs)


class URNN(UnitaryRecurrent):
    r"""Unitary evolution RNN with $W = D_3 R_2 F^{-1} D_2 \Pi R_1 F D_1$, 7n reals (arXiv:1511.06464).

    See `UnitaryRecurrent` for the step and `FactoredUnitary` for W. The authors train it with RMSprop at 1e-3, decay
    0.9, without gradient clipping. Calls and shapes are those of `torch.nn.RNN`, with outputs of 2 hidden_size reals;
    `rng` draws the weights (the global generator without it).

    Raises:
        GantoolsError: for sizes below 1, and, when it is called, an input or a state of another shape.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        batch_first: bool = False,
        device: Device = None,
        dtype: torch.dtype | None = None,
        rng: torch.Generator | None = None,
    ):
        recurrent = FactoredUnitary(hidden_size, dtype=torch.float64, rng=rng)
        super().__init__(input_size, hidden_size, recurrent, batch_first, device, dtype, rng)


class _Exponential(StateMap):
    """A whole unitary matrix, from `UnitaryLinear`."""

    def __init__(self, size: int, rng: torch.Generator | None):
        super().__init__(size)
        self.linear = UnitaryLinear(size, bias=False, dtype=torch.float64, rng=rng)

    def constants(self) -> Tensor:
        return self.linear.matrix().T

    def apply_to(self, h: Tensor, constants: Tensor) -> Tensor:
        return h @ constants


class FullUnitaryRNN(UnitaryRecurrent):
    r"""Unitary RNN of full capacity: W is any matrix of U(n), $\exp(A)\,U_0$ with $A^H = -A$, n^2 reals.

    Wisdom et al. (arXiv:1611.00035) show that 7n reals cannot reach all of U(n) for n > 7, and step along the group by
    Cayley transforms. Here A is free and the exponential exact, so any optimizer and any spectrum applies, and W can
    cross the eigenvalue -1, where Cayley transforms stall. The exponential is taken once for a sequence.

    Raises:
        GantoolsError: for sizes below 1, and, when it is called, an input or a state of another shape.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        batch_first: bool = False,
        device: Device = None,
        dtype: torch.dtype | None = None,
        rng: torch.Generator | None = None,
    ):
        super().__init__(input_size, hidden_size, _Exponential(hidden_size, rng), batch_first, device, dtype, rng)


class EUNN(UnitaryRecurrent):
    """Unitary RNN whose map is a product of `capacity` layers of plane rotations (Jing et al., arXiv:1612.05231).

    See `RotationProduct` for the map and its arguments. `is_complex=False` makes the cell real: orthogonal map, outputs
    of hidden_size reals.

    Raises:
        GantoolsError: for sizes below 1, an unknown style, a capacity that the units do not have, and, when it is
            called, an input or a state of another shape.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        capacity: int = 2,
        style: Style = "tunable",
        is_complex: bool = True,
        factored: bool = False,
        batch_first: bool = False,
        device: Device = None,
        dtype: torch.dtype | None = None,
        rng: torch.Generator | None = None,
    ):
        recurrent = RotationProduct(hidden_size, capacity, style, is_complex, factored, dtype=torch.float64, rng=rng)
        super().__init__(input_size, hidden_size, recurrent, batch_first, device, dtype, rng)


class KRU(UnitaryRecurrent):
    r"""Kronecker recurrent unit: W is a Kronecker product of small complex factors (Jose et al., arXiv:1705.10142).

    Factors 2 x 2 make 8 log2 n recurrent reals. Add `cell.penalty()`, times a factor, to the loss: the soft unitary
    constraint $\sum_f \|W_f^H W_f - I\|_F^2$. See `KroneckerMap`.

    Raises:
        GantoolsError: for sizes below 1, factors whose product is not hidden_size, and, when it is called, an input or
            a state of another shape.
    """

    recurrent: KroneckerMap

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        factors: Sequence[int] | None = None,
        batch_first: bool = False,
        device: Device = None,
        dtype: torch.dtype | None = None,
        rng: torch.Generator | None = None,
    ):
        recurrent = KroneckerMap(hidden_size, factors, dtype=torch.float64, rng=rng)
        super().__init__(input_size, hidden_size, recurrent, batch_first, device, dtype, rng)

    def penalty(self) -> Tensor:
        """Return the distance of the factors from the unitary group, squared; zero at the start."""
        return self.recurrent.penalty()


class GORU(Recurrent):
    r"""Gated orthogonal recurrent unit (Jing et al., arXiv:1706.02761): a GRU whose candidate is carried orthogonally.

    $$\begin{aligned}
    r, z &= \sigma(W_{r,z} h + U_{r,z} x + b_{r,z}) \\
    c &= \mathrm{modReLU}(U_c x + r \odot (Q h);\ b_c) \\
    h' &= z \odot h + (1 - z) \odot c
    \end{aligned}$$

    Q is a real `RotationProduct`. As in the authors' code, weights start uniform in ±0.01, b_r = 2 and b_c = 0.01;
    b_z starts at 0 here and h_0 is 0. It can forget, which a uRNN cannot; its gradients decay like a gated net's.

    Raises:
        GantoolsError: for sizes below 1, an unknown style, a capacity that the units do not have, and, when it is
            called, an input or a state of another shape.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        capacity: int = 2,
        style: Style = "tunable",
        factored: bool = False,
        batch_first: bool = False,
        device: Device = None,
        dtype: torch.dtype | None = None,
        rng: torch.Generator | None = None,
    ):
        super().__init__(input_size, hidden_size, batch_first)
        self.recurrent = RotationProduct(hidden_size, capacity, style, False, factored, dtype=torch.float64, rng=rng)
        self.weight = nn.Parameter(uniform((3 * hidden_size, input_size), 0.01, rng))
        self.gate_weight = nn.Parameter(uniform((2 * hidden_size, hidden_size), 0.01, rng))
        starts = torch.tensor([2.0, 0.0], dtype=torch.float64)
        self.gate_bias = nn.Parameter(starts.repeat_interleave(hidden_size))
        self.bias = nn.Parameter(torch.full((hidden_size,), 0.01, dtype=torch.float64))
        cast(self, device, dtype)

    def constants(self) -> Any:
        return self.gate_weight.T, self.recurrent.constants()

    def drive(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, F.pad(self.gate_bias, (0, self.hidden_size)))

    def step(self, driven: Tensor, state: State, constants: Any) -> State:
        (h,), (gate_weight, carried), n = state, constants, self.hidden_size
        r, z = torch.addmm(driven[:, : 2 * n], h, gate_weight).sigmoid().chunk(2, -1)
        c = apply_modrelu(driven[:, 2 * n :] + r * self.recurrent.apply_to(h, carried), self.bias)
        return (c + z * (h - c),)

    def initial(self, batch: int) -> State:
        return (self.bias.new_zeros(batch, self.hidden_size),)
