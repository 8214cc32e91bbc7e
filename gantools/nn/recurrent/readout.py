"""A recurrent cell with a linear map of its outputs."""

from typing import Any

import torch
from torch import Tensor, nn

from gantools.nn.init import blank


class SequenceModel(nn.Module):
    """Map sequences through a cell and then each of its outputs linearly: $o_t = U h_t + b$, complex h as reals.

    Args:
        cell: any cell of this package, or a `torch.nn.RNN`, `GRU` or `LSTM`.
        output_size: the length of an output.
        rng: draws U, Glorot uniform (the global generator without it); b starts at 0.
    """

    def __init__(self, cell: nn.Module, output_size: int, rng: torch.Generator | None = None):
        super().__init__()
        self.cell = cell
        like = next(cell.parameters())
        size: Any = getattr(cell, "output_size", None) or cell.hidden_size
        self.readout = blank(nn.Linear, size, output_size, device=like.device, dtype=like.dtype)
        nn.init.xavier_uniform_(self.readout.weight, generator=rng)

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(self.cell(x)[0])
