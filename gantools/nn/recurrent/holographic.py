r"""Holographic memory: pairs of complex vectors superposed in one trace, and read back with noise of a known size.

$$c = \sum_k r_k \circledast x_k, \qquad \hat x_k = \bar r_k \circledast c = x_k + \sum_{j \ne k} \bar r_k r_j x_j$$

(holographic reduced representations in polar form, arXiv:1602.03032.) Binding is the elementwise product: moduli
multiply, phases add. Keys of modulus 1 and random phase make the other items noise of mean zero. S copies, each with
its keys in another order, divide its variance by S.

All tensors are complex, with the units as last axis; axes in front are batch axes.
"""

import torch
from torch import Tensor


def random_keys(*shape: int, rng: torch.Generator | None = None, dtype: torch.dtype = torch.complex64) -> Tensor:
    """Return keys of modulus 1 with independent uniform phases."""
    phases = 2 * torch.pi * torch.rand(*shape, generator=rng, dtype=dtype.to_real())
    return torch.complex(phases.cos(), phases.sin())


def random_permutations(copies: int, units: int, rng: torch.Generator | None = None) -> Tensor:
    """Return an order of the units for each copy, (copies, units)."""
    return torch.stack([torch.randperm(units, generator=rng) for _ in range(copies)])


def rearranged(keys: Tensor, permutations: Tensor) -> Tensor:
    """Return keys (..., n) in the order of each copy, (S, ..., n)."""
    return keys[..., permutations].movedim(-2, 0)


def bind(keys: Tensor, values: Tensor) -> Tensor:
    """Return the bound pairs: the elementwise complex product."""
    return keys * values


def unbind(keys: Tensor, trace: Tensor) -> Tensor:
    """Return the values that a trace holds under keys of modulus 1, plus the noise of the other items."""
    return keys.conj() * trace


def superpose(pairs: Tensor, dim: int = 0) -> Tensor:
    """Return the trace of the bound pairs along an axis: their sum."""
    return pairs.sum(dim)


def store(keys: Tensor, values: Tensor, permutations: Tensor) -> Tensor:
    """Return the traces (S, ..., n) of items (N, ..., n): keys are permuted anew in each copy, values are not."""
    return superpose(bind(rearranged(keys, permutations), values), 1)


def recall(traces: Tensor, keys: Tensor, permutations: Tensor) -> Tensor:
    """Return the values under keys (..., n), averaged over the traces (S, ..., n) of all copies."""
    return unbind(rearranged(keys, permutations), traces).mean(0)


def noise_variance(items: int, power: float = 1.0, copies: int = 1) -> float:
    r"""Return the variance $(N - 1)\, E|x|^2 / S$ of a recalled unit, for N items and S copies."""
    return (items - 1) * power / copies
