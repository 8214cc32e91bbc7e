"""Whether a compiled step is the step as it is, up to rounding."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

from gantools.games.plain_field import sizes
from gantools.random_vectors import normal_entries

NOISE = 10.0  # two ways to a number that is rounding itself differ by so many of its moves
NEAR = 3  # points within rounding at which the step is looked at, where the two differ

Outcome = Mapping[str, Tensor]


def disagreement(got: Outcome, expected: Outcome, w: Tensor, near: Callable[[Tensor], Outcome]) -> str:
    """Return what of a step differs by more than rounding, by its name; empty where nothing does.

    An adaptive rule makes steps as long as any other of gradients that are rounding alone (a bias before a
    normalization). So what differs may differ as much as it does between points that differ by rounding.

    Args:
        got: what the compiled step made: vectors and numbers by name.
        expected: what the step as it is made of the same.
        w: (n,), where both start.
        near: takes the step as it is from another point (n,).
    """
    apart = {name: float((got[name] - expected[name]).double().norm()) for name in expected}
    tolerance = torch.finfo(w.dtype).eps
    least = 4 * tolerance * float(w.norm())  # of the end of a step less its start
    wrong = [
        name
        for name, value in expected.items()
        if not apart[name] <= tolerance**0.45 * float(value.double().norm()) + (least if value.shape == w.shape else 0)
    ]
    if not wrong:
        return ""
    moves = dict.fromkeys(wrong, 0.0)
    for there in map(near, _points(w)):
        for name in wrong:
            moves[name] = max(moves[name], float((there[name] - expected[name]).double().norm()))
    return next((name for name in wrong if not apart[name] <= NOISE * moves[name]), "")


def _points(w: Tensor) -> Iterator[Tensor]:
    size, epsilon = sizes(w), torch.finfo(w.dtype).eps
    for seed in range(1, NEAR + 1):
        yield w + 4 * epsilon * size * normal_entries(seed, 0, w.numel(), w.dtype, w.device)
