r"""Associative LSTM: a memory of superposed complex pairs of key and value, in redundant copies."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gantools.errors import GantoolsError
from gantools.nn.complex.activations import modulus
from gantools.nn.recurrent.base import Recurrent, State, cast, glorot, stacked, unstacked
from gantools.nn.recurrent.holographic import random_permutations, rearranged


class AssociativeLSTM(Recurrent):
    r"""LSTM whose cell is a holographic memory (Danihelka et al., ICML 2016, arXiv:1602.03032).

    With N = hidden_size reals, so N/2 complex units, and $\mathrm{bound}(z) = z / \max(1, |z|)$:

    $$\begin{aligned}
    \hat g_f, \hat g_i, \hat g_o, \hat r_i, \hat r_o &= W_x x_t + W_h h_{t-1} + b, \qquad
        \hat u = W_{xu} x_t + W_{hu} h_{t-1} + b_u \\
    c_{s,t} &= g_f \odot c_{s,t-1} + (P_s r_i) \circledast (g_i \odot u) \qquad s = 1, \dots, S \\
    h_t &= g_o \odot \mathrm{bound}\Big(\tfrac1S \sum_s (P_s r_o) \circledast c_{s,t}\Big)
    \end{aligned}$$

    with g = sigmoid of the gates, which are real; r and u bounded; $\circledast$ the complex product; P_s fixed random
    permutations of the keys. The read key r_o is learned as it is: no conjugate is taken. The number of parameters does
    not depend on the number S of copies, but the state grows with it: compare at equal state, too.

    Calls and shapes are those of `torch.nn.LSTM`, with a state (h, c) of shapes (1, B, N) and (S, B, N). Weights are
    Glorot uniform, biases and the first state 0.

    Args:
        input_size: as in `torch.nn.LSTM`.
        hidden_size: N, an even number.
        copies: S.
        value_sees_state: whether the value u has its term $W_{hu} h_{t-1}$.
        batch_first: as in `torch.nn.LSTM`.
        device: as in `torch.nn.LSTM`.
        dtype: as in `torch.nn.LSTM`.
        rng: draws the weights and the permutations (the global generator without it).

    Raises:
        GantoolsError: for sizes below 1, an odd hidden_size, copies below 1, and, when it is called, an input or a
            state of another shape.
    """

    permutations: Tensor

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        copies: int = 1,
        value_sees_state: bool = True,
        batch_first: bool = False,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        rng: torch.Generator | None = None,
    ):
        super().__init__(input_size, hidden_size, batch_first)
        if hidden_size % 2 or copies < 1:
            raise GantoolsError(
                f"hidden_size = {hidden_size} and copies = {copies}: pass an even number of units and copies >= 1."
            )
        self.copies = copies
        units = hidden_size // 2
        # Three real gates, two complex keys, one complex value.
        rows = (3 + 4 + 2) * units
        self.weight = nn.Parameter(glorot(rows, input_size, rng))
        self.state_weight = nn.Parameter(glorot(rows if value_sees_state else 7 * units, hidden_size, rng))
        self.bias = nn.Parameter(torch.zeros(rows, dtype=torch.float64))
        self.register_buffer("permutations", random_permutations(copies, units, rng))
        cast(self, device, dtype)

    def constants(self) -> Tensor:
        return self.state_weight.T

    def drive(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)

    def step(self, driven: Tensor, state: State, constants: Any) -> State:
        (h, c), units = state, self.hidden_size // 2
        recurrent = stacked(h) @ constants
        if recurrent.shape[-1] < driven.shape[-1]:
            recurrent = F.pad(recurrent, (0, driven.shape[-1] - recurrent.shape[-1]))
        total = driven + recurrent
        g_f, g_i, g_o = total[:, : 3 * units].sigmoid().chunk(3, -1)
        numbers = bound(unstacked(total[:, 3 * units :].view(-1, 3, 2 * units)))
        write, read = rearranged(numbers[:, :2], self.permutations).unbind(2)
        c = g_f * c + write * (g_i * numbers[:, 2])
        h = g_o * bound((read * c).mean(0))
        return h, c

    def initial(self, batch: int) -> State:
        dtype = self.bias.dtype.to_complex()
        h = self.bias.new_zeros(batch, self.hidden_size // 2, dtype=dtype)
        return h, h.expand(self.copies, -1, -1)

    def enter(self, given: tuple[Tensor, Tensor]) -> State:
        h, c = given
        return unstacked(h[0]), unstacked(c)

    def leave(self, state: State) -> tuple[Tensor, Tensor]:
        h, c = state
        return stacked(h)[None], stacked(c)

    def show(self, outputs: Tensor) -> Tensor:
        return stacked(outputs)

    def state_shapes(self, batch: int) -> Sequence[tuple[int, ...]]:
        return [(1, batch, self.hidden_size), (self.copies, batch, self.hidden_size)]

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, copies={self.copies}"


def bound(z: Tensor) -> Tensor:
    r"""Return $z / \max(1, |z|)$: complex numbers outside the unit disk are brought to its edge."""
    return z / modulus(*torch.view_as_real(z).unbind(-1))[1].clamp(min=1)
