"""Random numbers of tests, from generators with a seed."""

import torch
from torch import Tensor

from gantools.regularizers import draw as draw_for


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def draw(*shape: int, seed: int = 1, dtype: torch.dtype = torch.float64) -> Tensor:
    """Return normal numbers of this shape."""
    return torch.randn(shape, generator=seeded(seed), dtype=dtype)


def drawn(regularizers, batch, seed: int = 0):
    """Return the batch with what regularizers draw for it."""
    return draw_for(regularizers, batch, seeded(seed))
