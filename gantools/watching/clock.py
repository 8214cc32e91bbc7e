"""The time that looks take of a run's time, and how much the next one may compute."""

import dataclasses
import time
from collections.abc import Callable

from gantools.errors import GantoolsError
from gantools.watching.look import Effort


@dataclasses.dataclass
class Clock:
    """A budget of time for looks, as a share of the run's.

    The first look is always taken, with few products; a later one once it fits, with as many as fit.

    Args:
        budget: share of the run's time, within (0, 1]; None for no bound.
        now: the clock.

    Attributes:
        spent: seconds that looks have taken.
        looks: how many were taken.
        skipped: how many were due but did not fit.
    """

    budget: float | None
    now: Callable[[], float] = time.perf_counter
    spent: float = 0.0
    looks: int = 0
    skipped: int = 0
    _last: float = 0.0  # seconds of the last look
    _product: float = 0.0  # seconds a product, all else of a look included

    def __post_init__(self) -> None:
        if self.budget is not None and not 0 < self.budget <= 1:
            raise GantoolsError(f"budget = {self.budget} is no share: pass a number within (0, 1], or None.")
        self.start = self.now()

    @property
    def share(self) -> float:
        """The share of the time since the start that looks have taken."""
        return self.spent / max(self.now() - self.start, 1e-9)

    def effort(self, wanted: Effort) -> Effort | None:
        """Return what a look may compute now, at most what is wanted; None if it has to wait."""
        if self.budget is None:
            return wanted
        least = 3 * wanted.k
        if not self.looks:
            return dataclasses.replace(wanted, products=min(wanted.products, 2 * least))
        left = self.budget * (self.now() - self.start) - self.spent
        # Three searches share what is left. A look that needed less than its bound will not need more now.
        products = int(left / max(self._product, 1e-9) / 3)
        if products < least and left < self._last:
            self.skipped += 1
            return None
        return dataclasses.replace(wanted, products=max(min(wanted.products, products), least))

    def took(self, seconds: float, products: int) -> None:
        """Note the duration of a look and its number of products."""
        self.spent, self.looks, self._last = self.spent + seconds, self.looks + 1, seconds
        self._product = seconds / max(products, 1)
