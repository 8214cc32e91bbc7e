"""An ordinary loader of samples and labels as the batches of a GAN."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from gantools.batches import is_batch
from gantools.data.seeds import derive_seed
from gantools.errors import GantoolsError

Latent = int | tuple[int, ...] | Callable[[int, torch.Generator], Tensor]


class LoaderBatches:
    """The batches {"real", "latent"} (and "label") of a loader that gives samples, or tuples of samples and labels.

    Walking over them twice draws the same latents, batch by batch; with a loader that does not shuffle, the same
    batches. See `batches` for the arguments.
    """

    def __init__(self, loader: Any, latent: Latent, labels: bool, seed: int, device: torch.device | str | None):
        self.loader, self.latent, self.labels, self.seed, self.device = loader, latent, labels, seed, device

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        for number, item in enumerate(self.loader):
            rng = torch.Generator().manual_seed(derive_seed(self.seed, "latents", number))
            yield self._batch(item, rng)

    def _batch(self, item: Any, rng: torch.Generator) -> dict[str, Tensor]:
        real, label = _parts(item)
        batch = {"real": real, "latent": self._latents(len(real), rng).to(real.device)}
        if self.labels:
            if label is None:
                raise GantoolsError("The loader gives no labels: pass labels=False, or a loader of (samples, labels).")
            batch["label"] = label
        return batch if self.device is None else {name: x.to(self.device) for name, x in batch.items()}

    def _latents(self, n: int, rng: torch.Generator) -> Tensor:
        if callable(self.latent):
            return self.latent(n, rng)
        shape = (self.latent,) if isinstance(self.latent, int) else self.latent
        return torch.randn(n, *shape, generator=rng)


def _parts(item: Any) -> tuple[Tensor, Tensor | None]:
    """Return samples and labels of what a loader gave."""
    values: Any = list(item.values()) if isinstance(item, Mapping) else item
    if isinstance(values, Tensor):
        return values, None
    if not isinstance(values, (list, tuple)) or not values or not isinstance(values[0], Tensor):
        raise GantoolsError(
            f"The loader gives a {type(item).__name__}: it has to give samples as a tensor, or (samples, labels)."
        )
    first, *rest = values
    return first, rest[0] if rest and isinstance(rest[0], Tensor) else None


def batches(
    loader: Any, latent: Latent, labels: bool = False, seed: int = 0, device: torch.device | str | None = None
) -> LoaderBatches:
    """Return an ordinary loader as the batches of a GAN, for training, analysis and `FILE.py:FUNCTION`.

    Args:
        loader: a DataLoader of samples or of (samples, labels), or a list of such tuples; it is walked over again and
            again, once for each product of an analysis over all of it.
        latent: the size of a latent, or its shape, drawn from a standard normal distribution; or a function of the
            number of samples and a generator that draws them.
        labels: whether labels go into the batches, for conditional players.
        seed: of the latents.
        device: that the batches are put on; as the loader gives them by default.

    Raises:
        GantoolsError: for an iterator or a single batch.

    >>> loader = torch.utils.data.DataLoader(torch.randn(10, 3), batch_size=5)
    >>> first, second = gt.batches(loader, latent=2)
    >>> first["real"].shape, first["latent"].shape
    (torch.Size([5, 3]), torch.Size([5, 2]))
    """
    if isinstance(loader, Iterator) or is_batch(loader):
        raise GantoolsError(
            f"A {type(loader).__name__} is no loader that can be walked over again: pass the DataLoader, or a list of "
            "batches."
        )
    return LoaderBatches(loader, latent, labels, seed, device)
