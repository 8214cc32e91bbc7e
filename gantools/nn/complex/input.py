"""Modules that turn real data into complex tensors, and complex tensors into real channels."""

import torch
from torch import Tensor, nn

from gantools.nn.complex.layers import parts
from gantools.nn.init import blank


class Complexify(nn.Module):
    """Take real numbers for complex ones with imaginary part zero."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.complex(x, torch.zeros_like(x))


class LearnedImaginary(nn.Module):
    r"""Add an imaginary part learned from the real data (B, C, ...): $x + i f(x)$ (arXiv:1705.09792, section 3.7).

    f is a residual block of the paper's code, twice batch norm, ReLU, and a convolution over channels (1 x 1), the same
    at every place; `norm=False` leaves the batch norms out, for a discriminator without statistics of the batch.
    """

    def __init__(self, channels: int, norm: bool = True, rng: torch.Generator | None = None):
        super().__init__()
        layers: list[nn.Module] = []
        for _ in range(2):
            conv = blank(nn.Conv1d, channels, channels, 1)
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu", generator=rng)
            layers += [*([nn.BatchNorm1d(channels)] if norm else []), nn.ReLU(), conv]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return torch.complex(x, self.layers(x.flatten(2) if x.dim() > 2 else x.unsqueeze(2)).reshape(x.shape))


class Parts(nn.Module):
    """Give a complex tensor (B, C, ...) as real channels (B, 2 C, ...): real parts first, then imaginary ones."""

    def forward(self, z: Tensor) -> Tensor:
        return torch.cat(parts(z).unbind(-1), 1)
