"""What a product must be: central differences, in float64, of the plain gradient on the user's own module.

Nothing of gantools and no second derivative of autograd is used. Parts of a model that turn to float32 by themselves
(the norms of most language models) stay in float64, so that differences do not drown in rounding.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.overrides import TorchFunctionMode

from compatibility.entries import Entry

STEPS = (3e-3, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6)  # relative to the size of the parameters
CLEAR = 1e-3  # noise of differences, relative to a product, up to which they can tell


class InFloat64(TorchFunctionMode):
    """Within this block, what would be computed in half or single precision is computed in double."""

    NARROW = (torch.float32, torch.float16, torch.bfloat16)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.Tensor.float, torch.Tensor.half, torch.Tensor.bfloat16):
            func = torch.Tensor.double

        def wide(x: Any) -> Any:
            return torch.float64 if isinstance(x, torch.dtype) and x in self.NARROW else x

        return func(*map(wide, args), **{key: wide(value) for key, value in (kwargs or {}).items()})


@contextmanager
def in_float64() -> Iterator[None]:
    """Compute in float64 within this block."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with InFloat64(), torch.autocast("cpu", enabled=False):
            yield
    finally:
        torch.set_default_dtype(before)


class Oracle:
    """The plain gradient of a model's loss in float64, and its differences.

    Args:
        entry: built anew, so that nothing is shared with what gantools is given.
    """

    def __init__(self, entry: Entry):
        self.net, self.loss, self.batch = entry.build(torch.float64, plain=True)
        self.parameters = [p for p in dict.fromkeys(self.net.parameters()) if p.requires_grad]
        self.base = [p.detach().clone() for p in self.parameters]
        self.buffers = {name: b.detach().clone() for name, b in self.net.named_buffers()}

    @property
    def size(self) -> int:
        """The number n of real parameters."""
        return sum(real(p).numel() for p in self.parameters)

    def direction(self, seed: int = 0) -> Tensor:
        """Return a random vector (n,) whose entries are as large as the parameters."""
        w = torch.cat([real(p).reshape(-1) for p in self.base])
        size = w.abs() + w.abs().mean() + 0.05
        return size * torch.randn(len(w), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    def gradient(self, shift: Tensor | float = 0.0) -> Tensor:
        """Return the plain gradient (n,) at the parameters shifted by a vector (n,)."""
        offset = 0
        for p, value in zip(self.parameters, self.base, strict=True):
            moved = value.clone()
            if isinstance(shift, Tensor):
                view = real(moved)
                view.add_(shift[offset : offset + view.numel()].view_as(view))
                offset += view.numel()
            p.data = moved
        with torch.no_grad():
            for name, buffer in self.net.named_buffers():
                if name in self.buffers:
                    buffer.copy_(self.buffers[name])
        with in_float64(), torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
            loss = self.loss(self.net, self.batch)
            found = torch.autograd.grad(loss, self.parameters, allow_unused=True)
        pieces = (torch.zeros_like(p) if g is None else g for p, g in zip(self.parameters, found, strict=True))
        dense = (g.to_dense() if g.is_sparse else g for g in pieces)
        return torch.cat([real(g.detach().resolve_conj()).reshape(-1) for g in dense])

    def repeats(self) -> bool:
        """Return whether the gradient is the same each time."""
        first, again = self.gradient(), self.gradient()
        return bool((first - again).norm() <= 1e-9 * first.norm())

    def product(self, u: Tensor) -> tuple[Tensor, float]:
        """Return J u (n,) by the differences of fourth order that agree best, and their relative noise."""
        best, before = (torch.zeros_like(u), float("inf")), None
        for h in STEPS:
            near, far = (
                self.gradient(h * u) - self.gradient(-h * u),
                self.gradient(2 * h * u) - self.gradient(-2 * h * u),
            )
            found = (8 * near - far) / (12 * h)
            if before is not None:
                noise = float((found - before).norm() / found.norm().clamp_min(1e-300))
                best = min(best, (found, noise), key=lambda pair: pair[1])
                if noise < 1e-8:
                    break
            before = found
        return best

    def eigenvalues(self, h: float = 1e-4) -> np.ndarray:
        """Return the eigenvalues (n,) of the symmetric part of J, column by column; noise about 1e-7 of the largest."""
        columns = []
        for i in range(self.size):
            u = torch.zeros(self.size, dtype=torch.float64)
            u[i] = h
            columns.append((self.gradient(u) - self.gradient(-u)) / (2 * h))
        dense = torch.stack(columns)
        return torch.linalg.eigvalsh((dense + dense.T) / 2).numpy()


def real(x: Tensor) -> Tensor:
    """Return the tensor itself, or the real view (..., 2) of a complex one."""
    return torch.view_as_real(x) if x.is_complex() else x
