"""How PyTorch rounds: in whole float32, and in one order of summation, where an analysis would be misled otherwise."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch


@contextmanager
def whole_float32(device: torch.device) -> Iterator[None]:
    """Multiply with all 24 bits of float32 in this block; PyTorch's convolutions on a GPU keep 11 of them (TF32).

    Their products with a Jacobian are off by a thousandth of the largest eigenvalue, which hides the small ones.
    What the user has chosen, by PyTorch's older or newer switches, comes back afterwards.

    Args:
        device: where the products are made; only a GPU has TF32.
    """
    with ExitStack() as stack:
        if device.type == "cuda":
            matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
            _switch(stack, torch.get_float32_matmul_precision, torch.set_float32_matmul_precision, "highest")
            _switch(stack, partial(getattr, cudnn, "allow_tf32"), partial(setattr, cudnn, "allow_tf32"), False)
            for operation in (matmul, cudnn.conv, cudnn.rnn):
                if operation.fp32_precision == "tf32":
                    name = "fp32_precision"
                    _switch(stack, partial(getattr, operation, name), partial(setattr, operation, name), "ieee")
        yield


@contextmanager
def sums_in_order() -> Iterator[None]:
    """Let PyTorch take the kernels that repeat to the last bit, where it has them."""
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of kernels that have no other
        torch.use_deterministic_algorithms(True, warn_only=True)
        try:
            yield
        finally:
            torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def _switch(stack: ExitStack, read: Callable[[], Any], write: Callable[[Any], None], value: Any) -> None:
    """Write a value until the stack ends, unless PyTorch refuses to read the present one beside its newer switches."""
    try:
        present = read()
    except RuntimeError:
        return
    if present != value:
        stack.callback(write, present)
        write(value)
