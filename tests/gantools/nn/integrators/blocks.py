"""Right-hand sides and reversible chains of a seed."""

import torch
from torch import nn

from gantools.nn.integrators.reversible import RevBlock, RevSequence
from tests.draws import seeded

F64 = torch.float64


def layers(d=4, width=6, seed=0):
    """A smooth right-hand side."""
    module = nn.Sequential(nn.Linear(d, width), nn.Tanh(), nn.Linear(width, d)).double()
    rng = seeded(seed)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(0.5 * torch.randn(p.shape, generator=rng, dtype=F64))
    return module


def chain(depth, recompute=True, half=4, dtype=F64, step=0.5):
    blocks = [RevBlock(layers(half, seed=2 * i), layers(half, seed=2 * i + 1), step) for i in range(depth)]
    return RevSequence(*blocks, recompute=recompute).to(dtype)
