"""How many bytes a kept graph holds, known before it is made, and how many are free."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import get_unwrapped, is_functorch_wrapped_tensor

from gantools.described import in_bytes
from gantools.errors import GantoolsWarning

# Bytes of the graph of v -> J^T v beside those of the field's, relative to these: 0.8 to 1.8 in MLPs, convolutions with
# and without batch norm, attention, an LSTM and a GAN with penalties (`tests/analysis/products/test_memory.py`).
SECOND = 2.0


def graph_bytes(output: Tensor, besides: Tensor) -> int:
    """Return the bytes of the tensors that a graph keeps, each memory once, without that of `besides`."""
    storages = {besides.untyped_storage().data_ptr(): 0}
    seen: set[Any] = set()
    ahead = [output.grad_fn]
    while ahead:
        step = ahead.pop()
        if step is None or step in seen:
            continue
        seen.add(step)
        ahead += [before for before, _ in step.next_functions]
        for kept in _kept(step):
            with suppress(RuntimeError):  # one without memory: a zero tangent
                storage = kept.untyped_storage()
                storages.setdefault(storage.data_ptr(), storage.nbytes())
    return sum(storages.values())


def _kept(step: Any) -> Iterator[Tensor]:
    for name in _names(type(step)):
        with suppress(RuntimeError):  # one that was freed, or written over
            value = getattr(step, name)
            for x in value if isinstance(value, (tuple, list)) else (value,):
                yield from _parts(x) if isinstance(x, Tensor) else ()


def _parts(x: Tensor) -> tuple[Tensor, ...]:
    """Return the tensors that hold a tensor's numbers: a sparse one has several, others are wrapped."""
    while is_functorch_wrapped_tensor(x):
        x = get_unwrapped(x)
    if x.layout is torch.sparse_coo:
        return x._indices(), x._values()
    if x.layout in (torch.sparse_csr, torch.sparse_bsr):
        return x.crow_indices(), x.col_indices(), x.values()
    if x.layout in (torch.sparse_csc, torch.sparse_bsc):
        return x.ccol_indices(), x.row_indices(), x.values()
    return (x,)


@functools.cache
def _names(kind: type) -> tuple[str, ...]:
    return tuple(name for name in dir(kind) if name.startswith("_saved_") or name == "saved_tensors")


def free_bytes(device: torch.device) -> int | None:
    """Return the bytes that are free on a device, those of this process's cache included; None where nobody says."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return torch.cuda.mem_get_info(device)[0] + unused
    if device.type != "cpu":
        return None
    with suppress(OSError, ValueError, StopIteration):  # Linux says it, others do not
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return 1024 * int(next(line for line in lines if line.startswith("MemAvailable")).split()[1])
    return None


class Room:
    """Whether second graphs of similar functions have room in memory; found once, before the first is made."""

    def __init__(self) -> None:
        self.found: bool | None = None

    def has(self, output: Tensor, point: Tensor) -> bool:
        """Return whether there is room for the second graph over that of `output`; where there is none it is told."""
        if self.found is None:
            free = free_bytes(point.device)
            needed = int(SECOND * graph_bytes(output, point)) if free is not None else 0
            self.found = free is None or needed <= free
            if not self.found:
                warnings.warn(
                    f"Products J u by reverse mode would keep a second graph of about {in_bytes(needed)}, and "
                    f"{in_bytes(free or 0)} are free: each evaluates the field once more instead, by dual numbers. "
                    "Smaller batches in a list need less.",
                    GantoolsWarning,
                    stacklevel=4,
                )
        return self.found
