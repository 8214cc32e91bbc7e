"""The axes of one run's pictures: they hold all eigenvalues so far, so that from step to step only these move."""

import math
from typing import Any

import numpy as np

DECADES = 5  # of a logarithmic axis, on either side of zero
LARGEST = 1e300  # with room for limits beyond it


class Frame:
    """Limits and scale for the spectra of one run and tag, from the largest seen so far.

    Limits are 1, 2 or 5 times a power of ten and the threshold of the logarithm is a power of ten: most steps leave
    them as they were. The scale is linear until sizes of more than one decade were seen, then symmetric-logarithmic
    for good.
    """

    def __init__(self) -> None:
        self._low = self._high = self._height = 0.0
        self._large, self._small = 0.0, math.inf
        self.count = 1

    def include(self, values: Any, neutral: float | None = None) -> "Frame":
        """Take the eigenvalues (k,) of a step into account; those within `neutral` of 0 say nothing of the scale."""
        values = np.asarray(values)
        neutral = neutral_size(values) if neutral is None else neutral
        values = values[np.abs(values) <= LARGEST]  # and none that is not finite
        sizes = np.abs(values)
        sizes = sizes[sizes > neutral]
        self.count = max(self.count, len(values))
        if len(values):
            self._low = min(self._low, float(values.real.min()))
            self._high = max(self._high, float(values.real.max()))
            self._height = max(self._height, float(np.abs(values.imag).max()))
        if len(sizes):
            self._large = max(self._large, float(sizes.max()))
            # The smallest twentieth may fall into the linear part around zero.
            self._small = min(self._small, float(np.quantile(sizes, 0.05)))
        return self

    @property
    def threshold(self) -> float:
        """The size below which the scale is linear; 0 where it is linear everywhere."""
        if not self._large > 10 * self._small:
            return 0.0
        return 10.0 ** math.floor(math.log10(max(self._small, self._large * 10.0**-DECADES)))

    @property
    def real(self) -> tuple[float, float]:
        """Limits of the real axis; 0 is inside."""
        low, high = -_rounded_up(-self._low), _rounded_up(self._high)
        least = self.threshold or 0.2 * max(-low, high) or 1.0
        return min(low, -least), max(high, least)

    @property
    def imaginary(self) -> tuple[float, float]:
        """Limits of the imaginary axis, symmetric."""
        height = _rounded_up(self._height) or 10 * self.threshold or max(self.real)
        return -height, height


def neutral_size(values: np.ndarray) -> float:
    """Return the size up to which eigenvalues count as neutral by default: 1e-7 of the largest finite one."""
    sizes = np.abs(values)
    return 1e-7 * float(sizes[np.isfinite(sizes)].max(initial=1e-30))


def _rounded_up(size: float) -> float:
    """Return the smallest of 1, 2, 5 times a power of ten that leaves a margin above a size; 0 for 0 and below."""
    if not size > 0:
        return 0.0
    power = 10.0 ** math.floor(math.log10(size))
    return next(factor * power for factor in (1, 2, 5, 10, 20) if factor * power >= 1.05 * size)
