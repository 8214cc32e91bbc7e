"""Numbers of updates in a step that is recorded: what is made of them is put in anew at every step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import torch
from torch import Tensor

Rule = Callable[[Mapping[str, int]], float]


class NotCompilableError(RuntimeError):
    """A step that cannot be one compiled graph; the message says why, as a clause."""


class Numbers:
    """The numbers that a step makes of counts, in the order in which it asks for them: bias corrections, schedules.

    Args:
        counts: the present ones, by name, to compute the numbers themselves of.
        given: (m,), the numbers as they will be put into the graph; None to compute them and learn how it is done.

    Attributes:
        rules: how each is computed of the counts.
    """

    def __init__(self, counts: Mapping[str, int], given: Tensor | None = None):
        self._counts, self._given = counts, given
        self.rules: list[Rule] = []

    def take(self, rule: Rule) -> Tensor:
        """Return the next number as a scalar tensor: what is made of it is made of it at every step."""
        self.rules.append(rule)
        if self._given is None:
            return torch.tensor(rule(self._counts), dtype=torch.float64)
        return self._given[len(self.rules) - 1]


class Count:
    """A number of updates as a step may use it: add to it, take a power, ask a schedule; all else it refuses."""

    def __init__(self, name: str, numbers: Numbers, more: int = 0):
        self._name, self._numbers, self.more = name, numbers, more

    def deferred(self, rule: Callable[[int], float]) -> Tensor:
        """Return what a rule makes of the number."""
        name, more = self._name, self.more
        return self._numbers.take(lambda counts: rule(counts[name] + more))

    def __add__(self, more: int) -> Count:
        return Count(self._name, self._numbers, self.more + more)

    __radd__ = __add__

    def __sub__(self, less: int) -> Count:
        return self + -less

    def __rpow__(self, base: Any) -> Any:
        if isinstance(base, (int, float)):
            return self.deferred(lambda count: base**count)
        return base ** self.deferred(float)

    def _refused(self, *_: Any) -> NoReturn:
        raise NotCompilableError("its course depends on the number of updates made")

    __bool__ = __int__ = __float__ = __index__ = __lt__ = __le__ = __gt__ = __ge__ = _refused
    __eq__ = __ne__ = __mod__ = __floordiv__ = _refused
    __hash__ = None  # type: ignore[assignment]
