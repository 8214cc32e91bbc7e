"""Which batches a diagnosis looks at: the first ones, and later ones whose numbers stand out."""

import time
from collections.abc import Iterable
from itertools import islice
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gantools.batches import tensors

MOST, LATER = 32, 4  # batches that are looked at, and how many of them may be later ones
SECONDS = 3.0  # of reading later ones
ROWS, FEATURES, ORDERED = 8, 64, 12  # of a batch, of a tensor, and batches, from which their order is judged
FAR = 3.0  # ratio of a tensor's largest modulus to that in the median batch, or its inverse, that stands out


class Chosen(NamedTuple):
    """The batches to look at by their number, from 0, and how much consecutive ones of all that were read are alike."""

    batches: dict[int, Any]
    order: float


def chosen(batches: Iterable[Any]) -> Chosen:
    """Return the first batches, and up to 4 later ones that stand out, 32 in all, with `order` of all that were read.

    What stands out are numbers that are not finite, and a largest modulus of a tensor far from that of the first
    batches. Later batches are read for three seconds.
    """
    numbered, end = enumerate(batches), time.monotonic() + SECONDS
    first = dict(islice(numbered, MOST))
    found = [means(batch) for batch in first.values()]
    usual = usual_sizes(first.values()) if len(first) == MOST else None
    if usual is None:
        return Chosen(first, order(found))
    odd: dict[int, tuple[float, Any]] = {}
    for number, batch in numbered:
        found.append(means(batch))
        if (far := distance(sizes(batch), usual)) > FAR:
            odd[number] = far, batch
            odd = dict(sorted(odd.items(), key=lambda pair: -pair[1][0])[:LATER])
        if time.monotonic() > end:
            break
    kept = dict(islice(first.items(), MOST - len(odd))) | {number: odd[number][1] for number in sorted(odd)}
    return Chosen(kept, order(found))


def means(batch: Any) -> Tensor:
    """Return means over the rows of a batch's dense floating tensors, and their squared errors, (2, F) float64.

    Of tensors with fewer than 8 rows there are none; of those with many features, about 64.
    """
    found = []
    for x in tensors(batch):
        if x.is_floating_point() and x.layout == torch.strided and x.dim() > 0 and len(x) >= ROWS and x.numel():
            rows = x.detach().flatten(1) if x.dim() > 1 else x.detach()[:, None]
            rows = rows[:, :: max(1, rows.shape[1] // FEATURES)].double().cpu()
            found.append(torch.stack([rows.mean(0), rows.var(0) / len(rows)]))
    return torch.cat(found, 1) if found else torch.zeros(2, 0, dtype=torch.float64)


def order(found: list[Tensor]) -> float:
    """Return how much more the means (2, F) of batches vary than those of shuffled rows, if consecutive ones are alike.

    That is the largest ratio of variances among features of which a batch's mean tells the next one's (correlation
    above 1/2); 1 where no feature does, or where there are few batches.
    """
    if len(found) < ORDERED or len({one.shape for one in found}) > 1 or not found[0].shape[1]:
        return 1.0
    mean, squared = torch.stack(found).unbind(1)
    centred = mean - mean.mean(0)
    variance, error = centred.square().mean(0), squared.mean(0)
    follows = (centred[1:] * centred[:-1]).mean(0) > variance / 2
    told = follows & (error > 0) & mean.isfinite().all(0)
    return float((variance / error)[told].max()) if bool(told.any()) else 1.0


def usual_sizes(batches: Iterable[Any]) -> Tensor | None:
    """Return the median over batches of `sizes`, (tensors,); None where they have no numbers, or are not alike."""
    rows = [sizes(batch) for batch in batches]
    if not len(rows[0]) or any(len(row) != len(rows[0]) for row in rows):
        return None
    return torch.stack(rows).median(0).values


def sizes(batch: Any) -> Tensor:
    """Return the largest modulus in each dense floating tensor of a batch, (tensors,) float64."""
    dense = (x.detach() for x in tensors(batch) if x.is_floating_point() and x.layout == torch.strided and x.numel())
    found = [x.abs().max() for x in dense]
    return torch.stack([x.double().cpu() for x in found]) if found else torch.zeros(0, dtype=torch.float64)


def distance(sizes: Tensor, usual: Tensor) -> float:
    """Return the largest factor between sizes and the usual ones, infinite for sizes that are not finite."""
    if sizes.shape != usual.shape:
        return 1.0
    factors = torch.maximum(sizes / usual, usual / sizes).where(sizes != usual, 1.0)
    return float(factors.nan_to_num(float("inf")).max())
