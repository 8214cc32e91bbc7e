"""Handwritten digits read one pixel at a time: the data set `mnist5k`, made smaller."""

import functools
import math
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from gantools.data.sources import make_source

PER_CLASS, TEST = 500, 100  # images of a digit, and those of them that are kept for the test


def images() -> tuple[Tensor, Tensor]:
    """Return the images (5000, 28, 28) in [0, 1] and the digits (5000,), sorted by digit."""
    source: Any = make_source("mnist5k")
    return (source.select(torch.arange(source.size))[:, 0] + 1) / 2, source.labels


class PixelDigits:
    """Name the digit of an image that is shown pixel after pixel, row by row; of each digit the last 100 are the test.

    Without the extra "mnist" the first batch raises `MissingDependencyError`.

    Args:
        side: pixels a side, a divisor of 28; each is the mean of a block.
    """

    input_size, output_size = 1, 10

    def __init__(self, side: int = 7):
        self.side = side

    @property
    def baseline(self) -> float:
        """Loss of the best answer that looks at nothing."""
        return math.log(10)

    @functools.cached_property
    def _parts(self) -> list[dict[str, Tensor]]:
        """The images to learn from, and the test."""
        shown, digits = images()
        small = F.avg_pool2d(shown[:, None], 28 // self.side).flatten(1)[..., None]
        kept = torch.arange(len(digits)) % PER_CLASS >= PER_CLASS - TEST
        return [{"input": small[part], "target": digits[part]} for part in (~kept, kept)]

    def batch(self, size: int, rng: torch.Generator) -> dict[str, Tensor]:
        """Return images (B, steps, 1) of the training part, drawn with replacement, and their digits (B,)."""
        part = self._parts[0]
        drawn = torch.randint(len(part["target"]), (size,), generator=rng)
        return {name: values[drawn] for name, values in part.items()}

    def held_out(self) -> dict[str, Tensor]:
        """Return the test."""
        return self._parts[1]

    def loss(self, outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Return the cross-entropy of the outputs of the last step."""
        return F.cross_entropy(outputs[:, -1], batch["target"])

    def accuracy(self, outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Return the fraction of digits that are named right."""
        return (outputs[:, -1].argmax(1) == batch["target"]).float().mean()
