"""The memory of a Krylov basis: its allocation, and the state from which a search goes on."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.errors import GantoolsError

STORAGES = ("device", "host", "bfloat16")


def allocate_basis(rows: int, operator: LinearOperator, storage: str) -> Tensor:
    """Return an uninitialised tensor (rows, n) for what is held of vectors of an operator, in one of the `STORAGES`.

    Raises:
        GantoolsError: when it does not fit.
    """
    device = torch.device("cpu") if storage == "host" else operator.device
    dtype = torch.bfloat16 if storage == "bfloat16" else operator.dtype
    try:
        return torch.empty((rows, operator.space.held), dtype=dtype, device=device)
    except RuntimeError as error:  # also torch.OutOfMemoryError
        gigabytes = rows * operator.space.held * dtype.itemsize / 2**30
        elsewhere = ", keep the basis in main memory (storage='host')" if device.type != "cpu" else ""
        raise GantoolsError(
            f"A basis of {rows} vectors of {operator.space.held} numbers needs {gigabytes:.3g} GiB on {device}, more "
            f"than there is: lower basis= or k=, store it as bfloat16{elsewhere}, or take a player or a layer instead "
            "of the whole."
        ) from error


class BasisState(NamedTuple):
    """A state from which a basis can go on: its decomposition and its random numbers.

    Attributes:
        vectors: (length + width, n) rows, the basis and its continuation.
        projected: see `KrylovBasis`.
        scale: see `KrylovBasis`.
        generator: state of the random generator.
    """

    vectors: Tensor
    projected: Tensor
    scale: float
    generator: Tensor
