"""Associative memories under load: a task for recurrent nets, memories of random keys, and their theory."""

import functools
import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional as F

from gantools.nn.recurrent.holographic import random_keys, random_permutations, recall, store

BROKEN = 0.9  # a memory breaks at the number of pairs where its accuracy falls below this


class LoadedRecall:
    """Store N pairs with keys all different, and recall the values of some keys; N is uniform in 1..`most`.

    Each sequence has `most` writing steps, the first most - N of them blank, and then the queries. An input joins the
    key, the value and a mark of queries; targets are (B, queries), of the last steps. Without memory the loss is
    ln(values).

    Args:
        most: the largest number of pairs, and the number of keys.
        values: the number of values.
        queries: keys asked for, each drawn from those written.
    """

    def __init__(self, most: int, values: int = 4, queries: int = 2):
        self.most, self.values, self.queries = most, values, queries
        self.input_size, self.output_size = most + values + 1, values

    @property
    def baseline(self) -> float:
        """Least loss without memory."""
        return math.log(self.values)

    def batch(self, size: int, rng: torch.Generator, pairs: int | None = None) -> dict[str, Tensor]:
        """Return `size` sequences, all with so many pairs where `pairs` is given."""
        if pairs is None:
            number = torch.randint(1, self.most + 1, (size, 1), generator=rng)
        else:
            number = torch.full((size, 1), pairs)
        keys = torch.rand(size, self.most, generator=rng).argsort(1)
        values = torch.randint(self.values, (size, self.most), generator=rng)
        written = (torch.arange(self.most) >= self.most - number)[..., None]
        # The place of what is asked for, counted from the last writing step.
        asked = self.most - 1 - (torch.rand(size, self.queries, generator=rng) * number).long()
        pair = torch.cat([F.one_hot(keys, self.most), F.one_hot(values, self.values)], -1) * written
        query = F.pad(F.one_hot(keys.gather(1, asked), self.most), (0, self.values))
        mark = torch.zeros(size, self.most + self.queries, 1)
        mark[:, self.most :] = 1
        shown = torch.cat([torch.cat([pair, query], 1).to(mark.dtype), mark], -1)
        return {"input": shown, "target": values.gather(1, asked)}

    def loss(self, outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Return the mean cross-entropy of the answers."""
        return F.cross_entropy(outputs[:, -self.queries :].flatten(0, 1), batch["target"].flatten())

    def accuracy(self, outputs: Tensor, batch: dict[str, Tensor]) -> Tensor:
        """Return the fraction of values that are recalled."""
        return (outputs[:, -self.queries :].argmax(-1) == batch["target"]).float().mean()


def holographic(units: int, copies: int, pairs: int, items: int, trials: int, rng: torch.Generator) -> float:
    """Return the fraction of values that a memory recalls, each named as the nearest of all `items`.

    Keys and items have random phases and modulus 1; a memory holds `pairs` of them, values drawn with replacement.
    """
    right = 0.0
    for _ in range(trials):
        keys, book = (random_keys(n, units, rng=rng, dtype=torch.complex128) for n in (pairs, items))
        chosen = torch.randint(items, (pairs,), generator=rng)
        orders = random_permutations(copies, units, rng)
        found = recall(store(keys, book[chosen], orders)[:, None], keys, orders)
        # Of items of equal norm the nearest is that of the largest product.
        named = (found @ book.mH).real.argmax(1)
        right += float((named == chosen).double().mean()) / trials
    return right


def theory(units: int, copies: int, pairs: int, items: int, sums: bool = True) -> float:
    r"""Return the accuracy that normal noise gives with n units, M items and N pairs in S copies.

    The product with the right item is normal with mean n and variance $n \sigma^2 / 2$, that with each other one has
    mean 0 and variance $n (1 + \sigma^2) / 2$. A pair adds 1 / S to $\sigma^2$, but 1 to that of the item it holds: the
    product with an item sums over all units, and no permutation changes a sum. So on average
    $\sigma^2 = (N - 1) ((1 - 1/M) / S + 1/M)$. With the products taken as independent.
    Without `sums` that is forgotten, and $\sigma^2 = (N - 1) / S$. The accuracy is
    $\int \phi(z)\, \Phi\big((n + z \sqrt{n \sigma^2 / 2}) / \sqrt{n (1 + \sigma^2) / 2}\big)^{M - 1} dz$.
    """
    same = 1 / items if sums else 0.0
    variance = (pairs - 1) * ((1 - same) / copies + same)
    nodes, weights = np.polynomial.hermite_e.hermegauss(80)
    threshold = (units + nodes * math.sqrt(units * variance / 2)) / math.sqrt(units * (1 + variance) / 2)
    return float((weights * stats.norm.cdf(threshold) ** (items - 1)).sum() / weights.sum())


def most_frequent(pairs: int, values: int) -> float:
    r"""Return the accuracy of whoever associates nothing, and answers the value that was written most often.

    The expected largest of the counts of `pairs` uniform values, over `pairs`; the counts are all at most m with
    probability $N!\, V^{-N} [x^N] \big(\sum_{k \le m} x^k / k!\big)^V$.
    """
    expected = float(pairs)
    for m in range(pairs):
        series = np.array([1 / math.factorial(k) for k in range(m + 1)])
        power = functools.reduce(np.convolve, [series] * values)
        if len(power) > pairs:
            expected -= math.factorial(pairs) / values**pairs * float(power[pairs])
    return expected / pairs


def breaks(loads: Sequence[int], accuracies: Sequence[float], level: float = BROKEN) -> float:
    """Return the number of pairs at which the accuracy falls below a level, linear between the loads.

    The largest load where it never does, and 0 where it is below from the first one on.
    """
    if accuracies[0] < level:
        return 0.0
    points = zip(loads, accuracies, strict=True)
    for (before, high), (after, low) in itertools.pairwise(points):
        if low < level:
            return before + (after - before) * (high - level) / (high - low)
    return float(loads[-1])
