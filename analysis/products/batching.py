"""Products with a block of vectors: all together or one by one, whichever is faster."""

import time
import warnings
from collections.abc import Callable

import torch
from torch import Tensor

BLOCK = 64


UNMEASURED = 16  # rows multiplied together where neither memory nor time has been measured


class Batching:
    """The decision whether to compute a block of products together or one by one, measured on its first two parts.

    Together pays in dense layers where calls cost more than arithmetic, not in every convolution. The decision changes
    the rounding; where nothing may be measured, a few go together wherever PyTorch can do that.

    Args:
        measure: whether a clock may decide.

    Attributes:
        works: whether PyTorch can compute these products together.
    """

    def __init__(self, measure: bool = True) -> None:
        self._measure = measure
        self._alone = self._together = float("inf")
        self._blocks = 0
        self.works = True

    @property
    def pays(self) -> bool:
        """Whether blocks go together from now on."""
        return self.works and self._together < self._alone

    def apply(self, one: Callable[[Tensor], Tensor], many: Callable[[Tensor], Tensor], u: Tensor) -> Tensor:
        """Return the products (n, k) with the columns of u, from `one` for rows (n,) or `many` for blocks (k, n)."""
        rows, parts = u.T.contiguous(), []
        while len(rows):
            if self.works and not self._measure and len(rows) > 1:
                part, rows = rows[:UNMEASURED], rows[UNMEASURED:]
                parts.append(self._together_or_alone(one, many, part))
            elif self.works and self._blocks < 2 and len(rows) > 3:
                # Few at first: a convolution's block of 64 might not even fit.
                part, rows = rows[:8], rows[8:]
                parts.append(self._learn(one, many, part))
            elif self.pays and len(rows) > 1:
                part, rows = rows[:BLOCK], rows[BLOCK:]
                parts.append(many(part))
            else:
                parts.append(torch.stack([one(row) for row in rows]))
                break
        return (parts[0] if len(parts) == 1 else torch.cat(parts)).T

    def _together_or_alone(
        self, one: Callable[[Tensor], Tensor], many: Callable[[Tensor], Tensor], rows: Tensor
    ) -> Tensor:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # torch warns where it would loop over the block behind the scenes
                return many(rows)
        except (RuntimeError, Warning):
            self.works = False
            return torch.stack([one(row) for row in rows])

    def _learn(self, one: Callable[[Tensor], Tensor], many: Callable[[Tensor], Tensor], rows: Tensor) -> Tensor:
        self._blocks += 1
        first, alone = timed(lambda: one(rows[0]), rows.device)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # torch warns where it would loop over the block behind the scenes
                rest, together = timed(lambda: many(rows[1:]), rows.device)
        except (RuntimeError, Warning):
            self.works = False
            return torch.stack([first, *(one(row) for row in rows[1:])])
        self._alone = min(self._alone, alone)
        self._together = min(self._together, together / (len(rows) - 1))
        return torch.cat([first[None], rest])


def timed(work: Callable[[], Tensor], device: torch.device) -> tuple[Tensor, float]:
    """Return the result of some work on a device, and the seconds it took."""

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    wait()
    start = time.perf_counter()
    result = work()
    wait()
    return result, time.perf_counter() - start
