"""Independent random streams derived from one seed."""

import hashlib

import numpy as np
import torch
from torch import Tensor


def _digest(parts: tuple[int | str, ...], size: int) -> int:
    # repr keeps 1 and "1" apart, and the tuple keeps ("a", "b") and ("ab",) apart; int() makes NumPy's integers plain.
    plain = tuple(part if isinstance(part, str) else int(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(repr(plain).encode(), digest_size=size).digest(), "little")


def derive_seed(*parts: int | str) -> int:
    """Return a 63-bit seed mixed from integers and strings: the same parts, the same seed, on every machine."""
    return _digest(parts, 8) >> 1


def random_stream(*parts: int | str) -> np.random.Generator:
    """Return an independent random generator for these integers and strings.

    NumPy's PCG64 takes 128 bits of seed. PyTorch's CPU generator keeps the low 32 bits of its seed, so that among the
    150 000 steps of a long run a few batches would be equal.
    """
    return np.random.Generator(np.random.PCG64(_digest(parts, 16)))


def latent(step: int, batch_size: int, size: int, seed: int, stream: str = "latent") -> Tensor:
    """Return latents (batch_size, size) from N(0, I), float32, a pure function of (seed, stream, step).

    Streams are independent of each other: one for training, others for metrics, sample sheets or a second batch.
    """
    values = random_stream(seed, stream, step).standard_normal((batch_size, size), dtype=np.float32)
    return torch.from_numpy(values)
