r"""Normal random vectors drawn from a counter, on the device that they are for.

Entry i of the vector with key s is a function of (s, i) alone: the SplitMix64 hash (Steele, Lea and Flood, OOPSLA 2014)
of the counter, then Box and Muller's transformation. So every device draws the same vector to rounding, no vector
travels from the host, and a process that holds a range of the entries draws its own range without communication.
"""

import math

import torch
from torch import Tensor

_AT_ONCE = 2**22  # pairs of entries drawn together: bounds the memory of their integers to some 200 MiB


def _signed(constant: int) -> int:
    return constant - 2**64 if constant >= 2**63 else constant


_STEP = _signed(0x9E3779B97F4A7C15)
_ROUNDS = ((30, _signed(0xBF58476D1CE4E5B9)), (27, _signed(0x94D049BB133111EB)), (31, 1))


def random_key(generator: torch.Generator) -> int:
    """Draw a key in [0, 2^63) from a generator."""
    return int(torch.empty((), dtype=torch.int64, device=generator.device).random_(generator=generator))


def normal_entries(key: int, start: int, stop: int, dtype: torch.dtype, device: torch.device | str) -> Tensor:
    """Return entries `start` to `stop` (exclusive) of the unlimited standard normal vector with a key."""
    first, last = start // 2, (stop + 1) // 2
    parts = [_pairs(key, a, min(a + _AT_ONCE, last), dtype, device) for a in range(first, last, _AT_ONCE)]
    whole = parts[0] if len(parts) == 1 else torch.cat(parts) if parts else torch.empty(0, dtype=dtype, device=device)
    return whole[start - 2 * first : stop - 2 * first]


def normal_vector(n: int, dtype: torch.dtype, device: torch.device | str, generator: torch.Generator) -> Tensor:
    """Return a standard normal vector (n,) whose key is drawn from a generator."""
    return normal_entries(random_key(generator), 0, n, dtype, device)


def normal_columns(
    n: int, k: int, dtype: torch.dtype, device: torch.device | str, generator: torch.Generator
) -> Tensor:
    """Return k standard normal columns (n, k)."""
    return torch.stack([normal_vector(n, dtype, device, generator) for _ in range(k)], dim=1)


def _pairs(key: int, first: int, last: int, dtype: torch.dtype, device: torch.device | str) -> Tensor:
    """Return the entries of the pairs `first` to `last` (exclusive)."""
    bits = torch.arange(first + 1, last + 1, dtype=torch.int64, device=device).mul_(_STEP).add_(key)
    for shift, factor in _ROUNDS:
        # An arithmetic shift copies the sign: what it shifts in is masked away.
        bits ^= (bits >> shift).bitwise_and_((1 << (64 - shift)) - 1)
        bits *= factor
    # Half precisions are rounded from float32; in float32 itself float64 would cost twice as much.
    work = torch.float64 if dtype == torch.float64 else torch.float32
    angle = (bits & 0xFFFFFFFF).to(work).mul_(2 * math.pi * 2.0**-32)
    radius = (bits.bitwise_right_shift_(32) & 0xFFFFFFFF).to(work).add_(0.5).mul_(2.0**-32).log_().mul_(-2.0).sqrt_()
    pairs = torch.empty(last - first, 2, dtype=work, device=device)
    torch.mul(radius, angle.cos(), out=pairs[:, 0])
    torch.mul(radius, angle.sin_(), out=pairs[:, 1])
    return pairs.to(dtype).flatten()
