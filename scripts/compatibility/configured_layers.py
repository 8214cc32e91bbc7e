"""Small models of one kind of layer each, (N, T, C) to (N, 3), that configurations wrap."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

N, T, C = 4, 5, 8  # samples, length of a sequence, channels


class Read(nn.Module):
    """A layer, a mean over the sequence, and a linear output."""

    def __init__(self, layer: nn.Module, width: int = C, first: bool = False):
        super().__init__()
        self.layer, self.read, self.first = layer, nn.Linear(width, 3), first

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer(x)
        if self.first:
            y = y[0]
        return self.read(y.mean(1))


class FirstOf(nn.Module):
    """The first output of a recurrent layer."""

    def __init__(self, layer: nn.Module):
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)[0]


class SelfAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.attention = nn.MultiheadAttention(C, 2, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=False)[0]


class Causal(nn.Module):
    """Scaled dot-product attention with a causal mask."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(C, 3 * C)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).view(x.shape[0], x.shape[1], 2, 12).transpose(1, 2).chunk(3, -1)
        return F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)


class Embedded(nn.Module):
    """Reads its inputs as indices."""

    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(5, C)

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(self.table((x[:, :, 0].abs() * 2).long().clamp(0, 4)))


class Channels(nn.Module):
    """A layer of channels first."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.transpose(1, 2)).transpose(1, 2)


class Complex(nn.Module):
    """A complex weight; the output is a modulus."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(C, C, dtype=torch.cfloat) / C)

    def forward(self, x: Tensor) -> Tensor:
        z = x.to(self.weight.dtype) @ self.weight
        return torch.view_as_real(z).square().sum(-1)


def transformer(**options: Any) -> nn.Module:
    return nn.TransformerEncoderLayer(C, 2, 12, dropout=0.0, batch_first=True, **options)


LAYERS: dict[str, Callable[[], nn.Module]] = {
    "linear, tanh": lambda: Read(nn.Sequential(nn.Linear(C, C), nn.Tanh())),
    "convolution, batch norm": lambda: Read(Channels(nn.Conv1d(C, C, 3, padding=1), nn.BatchNorm1d(C), nn.SiLU())),
    "layer norm, GELU": lambda: Read(nn.Sequential(nn.LayerNorm(C), nn.Linear(C, C), nn.GELU())),
    "group norm, SiLU": lambda: Read(Channels(nn.GroupNorm(2, C), nn.Conv1d(C, C, 1), nn.SiLU())),
    "hard swish, max pool": lambda: Read(Channels(nn.Conv1d(C, C, 3), nn.Hardswish(), nn.MaxPool1d(2))),
    "embedding": lambda: Read(Embedded()),
    "LSTM": lambda: Read(FirstOf(nn.LSTM(C, C, batch_first=True))),
    "GRU": lambda: Read(FirstOf(nn.GRU(C, C, batch_first=True))),
    "attention": lambda: Read(SelfAttention()),
    "causal attention": lambda: Read(Causal()),
    "transformer layer": lambda: Read(transformer()),
    "transformer layer, norm first": lambda: Read(transformer(norm_first=True, activation="gelu")),
    "spectral norm": lambda: Read(nn.Sequential(spectral_norm(nn.Linear(C, C)), nn.Tanh())),
    "weight norm": lambda: Read(nn.Sequential(weight_norm(nn.Linear(C, C)), nn.Tanh())),
    "complex": lambda: Read(Complex()),
    "dropout at rest": lambda: Read(nn.Sequential(nn.Linear(C, C), nn.Dropout(0.5), nn.Tanh())),
}
ATTENTION = ("attention", "causal attention", "transformer layer", "transformer layer, norm first")
