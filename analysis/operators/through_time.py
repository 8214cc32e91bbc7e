"""The Jacobian of a recurrent net's last state by its first: growth, decay and rotation through time."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gantools.analysis.operators.jacobian import DifferentiatedOperator
from gantools.analysis.products import autograd as engines
from gantools.errors import GantoolsError


def recurrent_jacobian(cell: nn.Module, input: Tensor, state: Any = None) -> DifferentiatedOperator:
    r"""Return $\partial s_T / \partial s_0$, the Jacobian of a cell's last state by its first, along one sequence.

    Its singular values say how gradients through time grow and shrink; its eigenvalues, of one step repeated, whether
    the state contracts. A unitary cell has all of them on the unit circle as long as its nonlinearity lets everything
    pass. Of an LSTM the state joins h and c; `slices` tells the parts. A map, and a snapshot: later steps of an
    optimizer change nothing.

    Args:
        cell: a cell of `gantools.nn`, or a `torch.nn.RNN`, `GRU` or `LSTM`, without dropout.
        input: one sequence (T, input_size).
        state: s_0, as the cell takes it for a sequence without a batch; by default the state after the first step, and
            the Jacobian is over the other T - 1.

    Raises:
        GantoolsError: for an input of another shape, and a single step without a state.
    """
    if input.dim() != 2:
        raise GantoolsError(f"The input has shape {tuple(input.shape)}: pass one sequence, (T, input_size).")
    if state is None:
        if len(input) < 2:
            raise GantoolsError("One step has no state before it: pass two steps or more, or a state.")
        with torch.no_grad():
            _, state = cell(input[:1])
        input = input[1:]
    parts = state if isinstance(state, tuple) else (state,)
    shapes, sizes = [p.shape for p in parts], [p.numel() for p in parts]
    point = torch.cat([p.detach().reshape(-1) for p in parts])
    tensors = {k: t.detach().clone() for k, t in (*cell.named_parameters(), *cell.named_buffers())}
    steps = input.detach().clone()

    def function(flat: Tensor) -> Tensor:
        pieces = [p.view(shape) for p, shape in zip(flat.split(sizes), shapes, strict=True)]
        given = tuple(pieces) if isinstance(state, tuple) else pieces[0]
        with torch.backends.cudnn.flags(enabled=False):  # cuDNN's recurrent kernels have one derivative only
            _, last = functional_call(cell, tensors, (steps, given))
        return torch.cat([p.reshape(-1) for p in (last if isinstance(last, tuple) else (last,))])

    names = ("h", "c") if len(parts) == 2 else ("h",)
    slices, offset = {}, 0
    for name, size in zip(names, sizes, strict=True):
        slices[name] = slice(offset, offset + size)
        offset += size
    products = engines.ReverseProducts(function, point)
    operator = DifferentiatedOperator(products, "reverse", slices, point, kind="map")
    operator.what = "Jacobian of a state through time"
    return operator
