"""Dropout and pooling of complex numbers, both parts of a number treated alike."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gantools.nn.activations import require_complex
from gantools.nn.complex.layers import parts


def _ones(z: Tensor) -> Tensor:
    return torch.ones(z.shape, dtype=z.real.dtype, device=z.device)


class ComplexDropout(nn.Dropout):
    """`torch.nn.Dropout` of complex numbers: drops a number, both parts at once, or scales it by 1 / (1 - p).

    Raises:
        GantoolsError: for real numbers, when it is called.
    """

    def forward(self, input: Tensor) -> Tensor:
        require_complex(self, input)
        return input * F.dropout(_ones(input), self.p, self.training) if self.training else input


class ComplexDropout2d(nn.Dropout2d):
    """`torch.nn.Dropout2d` of complex numbers: drops whole channels (B, C, H, W).

    Raises:
        GantoolsError: for real numbers, when it is called.
    """

    def forward(self, input: Tensor) -> Tensor:
        require_complex(self, input)
        return input * F.dropout2d(_ones(input), self.p, self.training) if self.training else input


class _MaxPool:
    def _pool(self, z: Tensor, pool: Any, axes: int) -> Tensor:
        require_complex(self, z)  # type: ignore[arg-type]
        with torch.no_grad():
            squared = parts(z).square().sum(-1)
            options = (getattr(self, n) for n in ("kernel_size", "stride", "padding", "dilation", "ceil_mode"))
            _, indices = pool(squared, *options, return_indices=True)
        return z.flatten(-axes).gather(-1, indices.flatten(-axes)).reshape(indices.shape)


class ComplexMaxPool1d(_MaxPool, nn.MaxPool1d):
    """`torch.nn.MaxPool1d` by modulus: the number with the largest modulus of each window, phase and all.

    Raises:
        GantoolsError: for real numbers, when it is called.
    """

    def forward(self, input: Tensor) -> Tensor:
        return self._pool(input, F.max_pool1d, 1)


class ComplexMaxPool2d(_MaxPool, nn.MaxPool2d):
    """`torch.nn.MaxPool2d` by modulus: the number with the largest modulus of each window, phase and all.

    Raises:
        GantoolsError: for real numbers, when it is called.
    """

    def forward(self, input: Tensor) -> Tensor:
        return self._pool(input, F.max_pool2d, 2)


class ComplexAvgPool2d(nn.AvgPool2d):
    """`torch.nn.AvgPool2d` of complex numbers: the mean of each window, of both parts.

    Raises:
        GantoolsError: for real numbers, when it is called.
    """

    def forward(self, input: Tensor) -> Tensor:
        require_complex(self, input)
        x, y = parts(input).unbind(-1)
        return torch.complex(super().forward(x), super().forward(y))
