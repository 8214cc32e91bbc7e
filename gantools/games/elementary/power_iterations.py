r"""Spectral normalisation, whose singular vectors are moved by power iterations in each forward pass of training.

$$v' = \frac{W^\top u}{\|W^\top u\|}, \qquad u' = \frac{W v'}{\|W v'\|}, \qquad \sigma = u'^\top W v'$$

No gradient follows the vectors, but they are functions of the weight: the field changes with them. PyTorch writes them
into buffers, through which no graph leads; here they become new tensors. Both spellings of PyTorch are found by their
`n_power_iterations`, and gantools' own.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import _SpectralNorm
from torch.nn.utils.spectral_norm import SpectralNorm


def power_iterations(module: nn.Module) -> list[tuple[Any, str]]:
    """Find what moves singular vectors in a forward pass, and how their names begin: parametrizations, older hooks."""
    found: list[tuple[Any, str]] = []
    for name, m in module.named_modules():
        dot = f"{name}." if name else ""
        candidates = [(m, f"{dot}_"), *((hook, f"{dot}{hook.name}_") for hook in _hooks(m))]
        found += [(c, start) for c, start in candidates if hasattr(c, "n_power_iterations")]
    return found


def _hooks(module: nn.Module) -> list[Any]:
    return [hook for hook in module._forward_pre_hooks.values() if hasattr(hook, "name")]


def power_iteration_buffers(module: nn.Module) -> set[str]:
    """Return the names of the buffers that hold singular vectors."""
    return {start + side for _, start in power_iterations(module) for side in "uv"}


def moves_vectors(module: nn.Module) -> bool:
    """Return whether a forward pass moves singular vectors: of layers in training mode."""
    return any(
        m.training and (hasattr(m, "n_power_iterations") or any(hasattr(h, "n_power_iterations") for h in _hooks(m)))
        for m in module.modules()
    )


@contextmanager
def power_iterations_frozen(module: nn.Module) -> Iterator[None]:
    """Hold the singular vectors of spectral normalisation still."""
    found = [owner for owner, _ in power_iterations(module)]
    counts = [c.n_power_iterations for c in found]
    try:
        for c in found:
            c.n_power_iterations = 0
        yield
    finally:
        for c, count in zip(found, counts, strict=True):
            c.n_power_iterations = count


@contextmanager
def power_iterations_followed(module: nn.Module, stopped: Callable[[Tensor], Tensor]) -> Iterator[None]:
    """Make the moved vectors new tensors, with a graph from the weight that `stopped` hides from inner gradients."""
    overridden: list[tuple[Any, str]] = []
    try:
        for owner, _ in power_iterations(module):
            for kind, name, replacement in _REPLACEMENTS:
                if isinstance(owner, kind) and name not in vars(owner):
                    object.__setattr__(owner, name, partial(replacement, owner, stopped))
                    overridden.append((owner, name))
        yield
    finally:
        for owner, name in overridden:
            object.__delattr__(owner, name)


def _normalized(matrix: Tensor, vector: Tensor, eps: float, stopped: Callable[[Tensor], Tensor]) -> Tensor:
    with torch.enable_grad():
        return stopped(F.normalize(torch.mv(matrix, vector), dim=0, eps=eps))


def _power_method(owner: Any, stopped: Callable[[Tensor], Tensor], matrix: Tensor, times: int) -> None:
    """Do what the method of PyTorch's parametrization does."""
    for _ in range(times):
        owner._u = _normalized(matrix, owner._v, owner.eps, stopped)
        owner._v = _normalized(matrix.mH, owner._u, owner.eps, stopped)


def _compute_weight(owner: Any, stopped: Callable[[Tensor], Tensor], module: Any, do_power_iteration: bool) -> Tensor:
    """Do what the method of PyTorch's hook does."""
    weight = getattr(module, f"{owner.name}_orig")
    u, v = (getattr(module, f"{owner.name}_{side}") for side in "uv")
    matrix = owner.reshape_weight_to_matrix(weight)
    for _ in range(owner.n_power_iterations if do_power_iteration else 0):
        v = _normalized(matrix.t(), u, owner.eps, stopped)
        u = _normalized(matrix, v, owner.eps, stopped)
    setattr(module, f"{owner.name}_u", u)
    setattr(module, f"{owner.name}_v", v)
    return weight / torch.dot(u, torch.mv(matrix, v))


_REPLACEMENTS: tuple[tuple[type, str, Callable[..., Any]], ...] = (
    (_SpectralNorm, "_power_method", _power_method),
    (SpectralNorm, "compute_weight", _compute_weight),
)
