"""Products that are replaced by a recording once that pays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from gantools.analysis.products.batching import timed
from gantools.errors import GantoolsError

# A recording is tried where the products ahead will take longer than this, in seconds, and than so much for each
# operation of the graph: tracing takes 7 to 28 ms for each, whatever the size of the tensors (6.6 s for a small
# ShuffleNet, whose whole Hessian takes 5), and saves a fifth to a half of what follows.
PATIENCE, PATIENCE_EACH = 5.0, 0.06
_MEASURED = 3  # products of a kind that are timed; more would keep a GPU waiting for its own clock


class PatientProducts:
    """Given products, replaced by a recording where the products ahead take long and it is faster.

    As many products are expected as have been announced (`prepare`), or else as many again as have been made.

    Args:
        products: what multiplies at first, and the transpose for good.
        make_replay: makes the recording; it may raise GantoolsError or RuntimeError.
        operations: how many the function to be recorded has.
    """

    def __init__(self, products: Any, make_replay: Callable[[], Any], operations: int = 0):
        self._patience = max(PATIENCE, PATIENCE_EACH * operations)
        self._products = products
        self._make_replay = make_replay
        self._replay: Any = None
        self._tried = False
        self._made = self._announced = 0  # columns
        self._seconds = {True: [], False: []}  # of a column in a block, and of a vector alone

    def prepare(self, columns: int) -> None:
        """Expect products with so many vectors from now on."""
        self._announced = self._made + columns

    def product(self, u: Tensor) -> Tensor:
        """Return J u."""
        if self._replay is not None:
            return self._replay.product(u)
        if self._tried:
            return self._products.product(u)
        block, width = u.dim() == 2, 1 if u.dim() == 1 else u.shape[1]
        seconds = self._seconds[block]
        if len(seconds) < _MEASURED:
            result, time = timed(lambda: self._products.product(u), u.device)
            seconds.append(time / width)
        else:
            result = self._products.product(u)
        self._made += width
        ahead = max(self._announced - self._made, self._made)
        if len(seconds) > 1 and min(seconds) * ahead > self._patience:
            self._tried = True
            self._try(u[:, :8] if block else u)
        return result

    def transposed(self, u: Tensor) -> Tensor:
        """Return J^T u."""
        return self._products.transposed(u)

    def _try(self, u: Tensor) -> None:
        try:
            replay = self._make_replay()
            # The first two blocks are learnt from, and not typical.
            ours = min(timed(lambda: replay.product(u), u.device)[1] for _ in range(3))
        except (GantoolsError, RuntimeError):
            return
        if ours < 0.8 * timed(lambda: self._products.product(u), u.device)[1]:
            self._replay = replay
