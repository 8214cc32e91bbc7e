"""Which batches a diagnosis looks at: the first ones, and later ones whose numbers stand out."""

import time
from collections.abc import Iterable
from itertools import islice
from typing import Any

import torch
from torch import Tensor

from gantools.batches import tensors

MOST, LATER = 32, 4  # batches that are looked at, and how many of them may be later ones
SECONDS = 3.0  # of reading later ones
FAR = 3.0  # ratio of a tensor's largest modulus to that in the median batch, or its inverse, that stands out


def chosen(batches: Iterable[Any]) -> dict[int, Any]:
    """Return batches by their number, from 0: the first ones, and up to 4 later ones that stand out, 32 in all.

    What stands out are numbers that are not finite, and a largest modulus of a tensor far from that of the first
    batches. Later batches are read for three seconds.
    """
    numbered, end = enumerate(batches), time.monotonic() + SECONDS
    first = dict(islice(numbered, MOST))
    if len(first) < MOST:
        return first
    usual = usual_sizes(first.values())
    if usual is None:
        return first
    odd: dict[int, tuple[float, Any]] = {}
    for number, batch in numbered:
        if (far := distance(sizes(batch), usual)) > FAR:
            odd[number] = far, batch
            odd = dict(sorted(odd.items(), key=lambda pair: -pair[1][0])[:LATER])
        if time.monotonic() > end:
            break
    return dict(islice(first.items(), MOST - len(odd))) | {number: odd[number][1] for number in sorted(odd)}


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
