"""A user's batches with what regularizers draw for them."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from gantools.batches import is_batch
from gantools.data.seeds import derive_seed
from gantools.regularizers.base import Regularizer, draw


class DrawnBatches:
    """Batches with the random numbers of regularizers in each; batch number i always has the same ones."""

    def __init__(self, batches: Any, regularizers: Sequence[Regularizer], seed: int):
        self.batches, self.regularizers, self.seed = batches, regularizers, seed
        # Generators of a loader are looked for under these names, so that their state is kept with a run.
        for name in ("generator", "sampler", "batch_sampler", "dataset"):
            setattr(self, name, getattr(batches, name, None))

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for number, batch in enumerate(self.batches):
            yield _drawn(batch, self.regularizers, self.seed, number)


def _drawn(batch: Any, regularizers: Sequence[Regularizer], seed: int, number: int) -> dict[str, Any]:
    return draw(regularizers, batch, torch.Generator().manual_seed(derive_seed(seed, "regularizers", number)))


def with_draws(batches: Any, regularizers: Sequence[Regularizer], seed: int) -> Any:
    """Return one batch or several with what these regularizers draw; as they are where none draws anything."""
    drawing = [r for r in regularizers if type(r).draw is not Regularizer.draw]
    if not drawing:
        return batches
    return _drawn(batches, drawing, seed, 0) if is_batch(batches) else DrawnBatches(batches, drawing, seed)
