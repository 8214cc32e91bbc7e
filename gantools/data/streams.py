"""The batches of a run in their order, so that a stopped run goes on with the batch that it would have seen next."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from gantools.batches import each_batch, is_batch, map_tensors, widened
from gantools.data.random_state import random_state, random_state_kept, set_random_state
from gantools.data.seeds import derive_seed, latent
from gantools.data.sources import Source
from gantools.errors import GantoolsError
from gantools.regularizers.base import Regularizer

_END = object()


class GanBatches:
    """The batches {"real", "latent"} of a GAN: number i is a pure function of the seed and i.

    With them come the random numbers that its regularizers draw, and, where one of them follows a schedule, the number
    of updates made before, "step". Indexing gives any batch; iterating gives one epoch of a finite data set, ten
    batches of an endless one. `wide` makes the same numbers float64.
    """

    def __init__(
        self,
        source: Source,
        batch_size: int,
        latent_size: int,
        seed: int,
        device: torch.device | str = "cpu",
        regularizers: Sequence[Regularizer] = (),
        wide: bool = False,
    ):
        if source.size is not None and batch_size > source.size:
            raise GantoolsError(
                f"The batch size {batch_size} exceeds the {source.size} samples of {source.name}: pass a --batch-size "
                f"of at most {source.size}."
            )
        self.source, self.batch_size, self.latent_size = source, batch_size, latent_size
        self.seed, self.device, self.regularizers = seed, torch.device(device), tuple(regularizers)
        self.wide = wide
        self._step: int | None = None

    def __len__(self) -> int:
        return 10 if self.source.size is None else -(-self.source.size // self.batch_size)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return self.numbered(index, index if self._step is None else self._step)

    def numbered(self, index: int, step: int) -> dict[str, Tensor]:
        """Return batch number `index` for the update that follows `step` updates."""
        if index < 0:
            raise IndexError("batches are numbered from 0")
        batch = {
            "real": self.source.batch(index, self.batch_size, self.seed),
            "latent": latent(index, self.batch_size, self.latent_size, self.seed),
        }
        batch |= self._drawn(batch, index)
        batch = placed(batch, self.device, self.wide)
        if any(regularizer.scheduled for regularizer in self.regularizers):
            batch["step"] = torch.tensor(step)  # on the CPU, where schedules are: reading it does not wait for a GPU
        return batch

    def _drawn(self, batch: dict[str, Tensor], index: int) -> dict[str, Tensor]:
        drawn: dict[str, Tensor] = {}
        for regularizer in self.regularizers:
            # A stream for each, so that what one draws does not depend on the others.
            seed = derive_seed(self.seed, type(regularizer).__name__, index)
            drawn |= regularizer.draw(batch, torch.Generator().manual_seed(seed))
        return drawn

    def standing_at(self, step: int) -> "GanBatches":
        """Return the same batches with every schedule fixed at its value after `step` updates."""
        same = copy.copy(self)
        same._step = step
        return same

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return (self[index] for index in range(len(self)))


class OwnBatches:
    """A user's batches on a device, the same in every pass: shuffling and augmentation draw the same numbers again."""

    def __init__(self, batches: Any, device: torch.device, wide: bool = False):
        self.batches, self.device, self.wide = batches, device, wide
        self._start = random_state(batches)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        state, iterator = self._start, None
        while True:
            # Batch by batch, so that code which draws numbers between them keeps its own state.
            with random_state_kept(self.batches):
                set_random_state(state, self.batches)
                iterator = iter(self.batches) if iterator is None else iterator
                batch = next(iterator, _END)
                state = random_state(self.batches)
            if batch is _END:
                return
            yield placed(batch, self.device, self.wide)


def placed(batch: Any, device: torch.device, wide: bool) -> Any:
    """Return a batch on a device, and in float64 where `wide`."""
    return map_tensors(lambda x: x.to(device), widened(batch) if wide else batch)


def repeatable(batches: Any, device: torch.device, wide: bool = False) -> Any:
    """Return one batch or several on a device, so that walking over them again gives the same; `wide`: in float64.

    Raises:
        GantoolsError: for an iterator, which can be walked over only once, and for an empty list.
    """
    if is_batch(batches):
        return placed(batches, device, wide)
    if isinstance(each_batch(batches), list):
        return [placed(batch, device, wide) for batch in batches]
    return OwnBatches(batches, device, wide)


class IndexedStream:
    """Stream of batches that can be indexed; its position is one number."""

    def __init__(self, batches: GanBatches):
        self.batches = batches
        self._next = 0

    def take(self, count: int) -> tuple[Any, ...]:
        """Return the next `count` batches, those of one update."""
        first, self._next = self._next, self._next + count
        return tuple(self.batches.numbered(i, step=first // count) for i in range(first, first + count))

    def state_dict(self) -> dict[str, Any]:
        """Return the position."""
        return {"next": self._next}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go to a saved position."""
        self._next = int(saved["next"])


class IteratedStream:
    """Endless stream of a user's batches, shuffled or not.

    A shuffled loader draws its order from the random state at the start of an epoch. That state is kept, so that the
    order can be drawn again and the batches already seen are passed over.
    """

    def __init__(self, batches: Any, device: torch.device | str = "cpu", wide: bool = False):
        self.batches = batches
        self.device, self.wide = torch.device(device), wide
        self._epochs = each_batch(batches)
        self._iterator: Iterator[Any] | None = None
        self._start: dict[str, Any] = {}
        self._seen = 0

    def take(self, count: int) -> tuple[Any, ...]:
        """Return the next `count` batches, on the device."""
        return tuple(placed(self._next(), self.device, self.wide) for _ in range(count))

    def _next(self) -> Any:
        if is_batch(self.batches):
            return self.batches
        for _ in range(2):
            if self._iterator is None:
                self._start, self._seen = random_state(self.batches), 0
                self._iterator = iter(self._epochs)
            try:
                batch = next(self._iterator)
            except StopIteration:
                if not self._seen:
                    break
                self._iterator = None
                continue
            self._seen += 1
            return batch
        raise GantoolsError("There are no batches to train on: the iterable was empty.")

    def state_dict(self) -> dict[str, Any]:
        """Return the position: the random state at the start of the epoch, and how many of its batches were seen."""
        return {"start": self._start if self._seen else random_state(self.batches), "seen": self._seen}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Go to a saved position; the global random state is left as it was."""
        self._iterator = None
        with random_state_kept():
            set_random_state(saved["start"], self.batches)
            self._iterator = iter(self._epochs) if saved["seen"] else None
            for seen in range(saved["seen"]):
                if self._iterator is None or next(self._iterator, _END) is _END:
                    raise GantoolsError(
                        f"There are {seen} batches now, and the run had seen {saved['seen']} of an epoch when it "
                        "stopped: resume it with the data that it began with."
                    )
        self._start, self._seen = saved["start"], saved["seen"]
