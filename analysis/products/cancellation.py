"""Whether products lose their digits in the precision of a game: where numbers cancel, rounding is all that is left."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, Any

import torch

from gantools.analysis.products.autograd import Function, ReverseProducts, probe
from gantools.batches import first_samples
from gantools.errors import GantoolsWarning
from gantools.games.plain_field import SAMPLES

if TYPE_CHECKING:
    from gantools.analysis.operators.snapshot import Snapshot

LOST = 0.05  # error of a product, relative to it, that is told
ZERO = 1e-9  # of the norm of the field: smaller products may be none
LESS = 0.1  # of the norm of the field that was judged last: a field so much smaller is judged again


def tell_of_cancellation(there: Snapshot, batch: Any, reverse: ReverseProducts) -> None:
    """Warn where J^T u in the game's precision is far from J^T u in float64; on a few samples first, then on the batch.

    The gradient of a cross entropy is the difference of a softmax and its target, of which float32 keeps no digit where
    a trained model is sure. A game is judged at first, and again when its field has shrunk.

    Args:
        there: the game at the point.
        batch: one batch.
        reverse: products of the field on it, in the game's precision.
    """
    game, size = there.game, float(reverse.value.norm())
    if game.dtype == torch.float64 or not size < LESS * game.judged_size:
        return
    try:
        few = first_samples(batch, SAMPLES)
        error = _error(ReverseProducts(there.field(few), reverse.point), there.wide_field(few))
        if error > LOST:
            error = _error(reverse, there.wide_field(batch))
    except Exception:  # a loss that takes whole batches only, or tensors of its own precision; no memory for float64
        return
    if not error > LOST:
        game.judged_size = size
        return
    by = f"{error:.0%} of" if error < 10 else "many times"
    warnings.warn(
        f"In {str(game.dtype).removeprefix('torch.')} a product with this Jacobian is off by {by} what it is in "
        "float64: at these parameters numbers cancel, as behind a softmax that is sure of every sample. Analyse the "
        "model in float64: model.double() and its batch, or run.double().",
        GantoolsWarning,
        stacklevel=5,
    )


def _error(narrow: ReverseProducts, wide: Function) -> float:
    """Return the error of a product, relative to the same in float64; 0 where that is zero to rounding, or infinite."""
    u = probe(narrow.point)
    exact = ReverseProducts(wide, narrow.point.double()).transposed(u.double())
    error, size = float((narrow.transposed(u).double() - exact).norm()), float(exact.norm())
    return error / size if ZERO * float(narrow.value.norm()) < size < math.inf else 0.0
