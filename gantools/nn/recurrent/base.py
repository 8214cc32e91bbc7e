"""Base class of the recurrent cells: the calls of `torch.nn.RNN`, packed sequences, and one loop over time."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from gantools.errors import GantoolsError

State = tuple[Tensor, ...]


class Recurrent(nn.Module):
    r"""Run a cell $h_t = f(h_{t-1}, x_t)$ over a sequence, with the calls and shapes of a one-layer `torch.nn.RNN`.

    Input (T, B, input_size), (B, T, input_size) with `batch_first`, (T, input_size) without a batch, or a
    `PackedSequence`. `cell(input, state=None)` returns the outputs, (T, B, output_size) or packed likewise, and the
    last state, (1, B, output_size). Complex states are shown as reals, their real parts before their imaginary ones:
    output_size = 2 hidden_size.

    Subclasses define the step; values that do not depend on time are computed once, before the loop.

    Raises:
        GantoolsError: for an input or a state of another shape, and an empty sequence.
    """

    def __init__(self, input_size: int, hidden_size: int, batch_first: bool = False):
        super().__init__()
        if input_size < 1 or hidden_size < 1:
            raise GantoolsError(f"input_size = {input_size}, hidden_size = {hidden_size}: both must be at least 1.")
        self.input_size, self.hidden_size, self.batch_first = input_size, hidden_size, batch_first

    # Defined by subclasses ------------------------------------------------------------------------------------------

    @property
    def output_size(self) -> int:
        """Number of reals in an output."""
        return self.hidden_size

    def constants(self) -> Any:
        """Return the values that all steps share, computed once for a sequence."""
        return None

    def drive(self, x: Tensor) -> Tensor:
        """Map the inputs (N, input_size) of all steps at once to the driving terms that `step` takes."""
        raise NotImplementedError

    def step(self, driven: Tensor, state: State, constants: Any) -> State:
        """Return the next state; its first tensor, (B, n), is the output."""
        raise NotImplementedError

    def initial(self, batch: int) -> State:
        """Return the state before the first step; the batch is each tensor's last axis but one."""
        raise NotImplementedError

    def enter(self, given: Any) -> State:
        """Turn the caller's state into the one that `step` takes."""
        return (given[0],)

    def leave(self, state: State) -> Any:
        """Turn the state of the last step into the caller's."""
        return state[0][None]

    def show(self, outputs: Tensor) -> Tensor:
        """Turn outputs (..., n) into the caller's, (..., output_size)."""
        return outputs

    def state_shapes(self, batch: int) -> Sequence[tuple[int, ...]]:
        """Return the shapes of the caller's state."""
        return [(1, batch, self.output_size)]

    # The loop --------------------------------------------------------------------------------------------------------

    def forward(self, input: Any, state: Any = None) -> tuple[Any, Any]:
        """Return the outputs of all steps and the last state."""
        if isinstance(input, PackedSequence):
            return self._packed(input, state)
        self._require_input(input)
        single = input.dim() == 2
        x = input[:, None] if single else input.transpose(0, 1) if self.batch_first else input
        steps, batch = x.shape[:2]
        given = _mapped(state, lambda s: s[:, None]) if single else state
        flat, last = self._run(x.reshape(-1, self.input_size), [batch] * steps, given)
        outputs = flat.view(steps, batch, -1)
        if single:
            return outputs[:, 0], _mapped(last, lambda s: s[:, 0])
        return outputs.transpose(0, 1) if self.batch_first else outputs, last

    def _packed(self, packed: PackedSequence, state: Any) -> tuple[PackedSequence, Any]:
        self._require_features(packed.data)
        order, back = packed.sorted_indices, packed.unsorted_indices
        given = state if order is None else _mapped(state, lambda s: s.index_select(1, order))
        flat, last = self._run(packed.data, packed.batch_sizes.tolist(), given)
        if back is not None:
            last = _mapped(last, lambda s: s.index_select(1, back))
        return PackedSequence(flat, packed.batch_sizes, order, back), last

    def _run(self, data: Tensor, sizes: list[int], given: Any) -> tuple[Tensor, Any]:
        """Return the outputs (N, output_size), step after step, and the last state of every sequence.

        `sizes` are the numbers of sequences that still run, which never grow: those that end are the last ones.
        """
        if given is None:
            state = self.initial(sizes[0])
        else:
            self._require_state(given, sizes[0])
            state = self.enter(given)
        constants = self.constants()
        outputs, ended = [], []
        for driven in self.drive(data).split(sizes):
            if len(driven) < state[0].shape[-2]:
                ended.append([s[..., len(driven) :, :] for s in state])
                state = tuple(s[..., : len(driven), :] for s in state)
            state = self.step(driven, state, constants)
            outputs.append(state[0])
        if ended:
            state = tuple(torch.cat(parts, -2) for parts in zip(state, *reversed(ended), strict=True))
        return self.show(torch.cat(outputs)), self.leave(state)

    def _require_input(self, input: Tensor) -> None:
        if input.dim() not in (2, 3):
            raise GantoolsError(
                f"The input has shape {tuple(input.shape)}: pass (T, B, {self.input_size}), with batch_first=True "
                f"(B, T, {self.input_size}), or (T, {self.input_size})."
            )
        self._require_features(input)

    def _require_features(self, input: Tensor) -> None:
        if input.shape[-1] != self.input_size:
            raise GantoolsError(f"The input has {input.shape[-1]} features, but input_size is {self.input_size}.")
        if not input.numel():
            raise GantoolsError(f"The input is empty (shape {tuple(input.shape)}): pass at least one step and sample.")

    def _require_state(self, given: Any, batch: int) -> None:
        wanted = self.state_shapes(batch)
        got = [tuple(s.shape) for s in (given if isinstance(given, tuple) else (given,))]
        if got != wanted:
            raise GantoolsError(f"The state has the shapes {got}: pass {wanted}, or none to start anew.")

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, batch_first={self.batch_first}"


def _mapped(state: Any, function: Any) -> Any:
    if state is None:
        return None
    return tuple(map(function, state)) if isinstance(state, tuple) else function(state)


def stacked(z: Tensor) -> Tensor:
    """Return complex (..., n) as reals (..., 2n), the real parts first."""
    return torch.cat([z.real, z.imag], -1) if z.is_complex() else z


def unstacked(x: Tensor) -> Tensor:
    """Return reals (..., 2n), the real parts first, as complex (..., n)."""
    return torch.complex(*x.chunk(2, -1))


def glorot(rows: int, columns: int, rng: torch.Generator | None) -> Tensor:
    """Return a matrix (rows, columns) with entries uniform in ±sqrt(6 / (rows + columns))."""
    return uniform((rows, columns), (6 / (rows + columns)) ** 0.5, rng)


def uniform(shape: Sequence[int], bound: float, rng: torch.Generator | None) -> Tensor:
    """Return a tensor with entries uniform in ±bound, in float64: modules are cast when they are complete."""
    return (2 * torch.rand(tuple(shape), generator=rng, dtype=torch.float64) - 1) * bound


def cast(module: nn.Module, device: torch.device | str | None, dtype: torch.dtype | None) -> None:
    """Bring a module that was drawn in float64 to a device and a dtype, by default torch's."""
    module.to(device=device, dtype=dtype or torch.get_default_dtype())
