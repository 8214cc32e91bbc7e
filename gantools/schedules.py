"""Schedules: settings that depend on the number of updates made, and are constant in a linearisation.

A learning rate, a decay of a base rule, or a weight such as gamma may be a schedule wherever it may be a number. It is
a pure function of the number of updates made so far, so a resumed run goes on where it was.
"""

import dataclasses
import math
from typing import Any, Protocol

from gantools.argument_kinds import public
from gantools.errors import GantoolsError
from gantools.registry import Registry, setting


class Schedule(Protocol):
    """A number as a function of the updates made so far."""

    start: float
    end: float

    def at(self, count: int) -> float:
        """Return the value for the update that follows `count` updates."""
        ...


Scheduled = float | Schedule

SCHEDULES: Registry[Any] = Registry("schedule")


def value_at(value: Scheduled, count: int) -> float:
    """Return a setting's value after `count` updates: the number itself, or its schedule's value.

    A `count` of a step that is being recorded, to be compiled, has the schedule asked anew at every later step.
    """
    if isinstance(value, (int, float)):
        return value
    return value.at(count) if isinstance(count, int) else count.deferred(value.at)


def extremes(value: Scheduled, name: str) -> tuple[float, float]:
    """Return the least and the largest value that a setting can take, for its validation."""
    if isinstance(value, (int, float)):
        return value, value
    if not hasattr(value, "at"):
        raise GantoolsError(
            f"{name} is {value!r}: pass a positive number, or a schedule such as Cosine(2e-4, 5e-5, 5000)."
        )
    return min(value.start, value.end), max(value.start, value.end)


@dataclasses.dataclass(frozen=True)
class _Ramp:
    start: float = setting(1.0, "value at the start, once warm")
    end: float = setting(0.0, "value after the last of the steps, and from then on")
    steps: int = setting(1000, "updates from start to end")
    warmup: int = setting(0, "updates of a linear rise from 0 to the start, before the steps")

    def __post_init__(self) -> None:
        if self.steps < 1 or self.warmup < 0:
            raise GantoolsError(
                f"A schedule has steps = {self.steps} and warmup = {self.warmup}: pass at least 1 and 0."
            )
        if not (math.isfinite(self.start) and math.isfinite(self.end)):
            raise GantoolsError(f"A schedule from {self.start} to {self.end}: pass two finite numbers.")

    def at(self, count: int) -> float:
        """Return the value for the update that follows `count` updates."""
        if count < self.warmup:
            return self.start * (count + 1) / (self.warmup + 1)
        return self.between(min(1.0, (count - self.warmup) / self.steps))

    def between(self, done: float) -> float:
        """Return the value when this fraction of the steps is done."""
        raise NotImplementedError


@SCHEDULES.register("linear")
@dataclasses.dataclass(frozen=True)
class Linear(_Ramp):
    """Go from start to end along a line."""

    def between(self, done: float) -> float:
        return self.start + (self.end - self.start) * done


@SCHEDULES.register("cosine")
@dataclasses.dataclass(frozen=True)
class Cosine(_Ramp):
    r"""Go from start to end along half a cosine (arXiv:1608.03983), as R3GAN does with rate, beta_2 and gamma.

    >>> schedule = gt.schedules.Cosine(1.0, 0.0, 100)
    >>> schedule.at(0), schedule.at(50), schedule.at(100)
    (1.0, 0.5, 0.0)
    """

    def between(self, done: float) -> float:
        return self.end + (self.start - self.end) * (1 + math.cos(math.pi * done)) / 2


@SCHEDULES.register("exponential")
@dataclasses.dataclass(frozen=True)
class Exponential(_Ramp):
    """Go from start to end by the same factor at each step; both must be positive."""

    end: float = setting(0.01, "value after the last of the steps, and from then on; above 0")

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.start > 0 and self.end > 0):
            raise GantoolsError(f"An exponential schedule from {self.start} to {self.end}: both must be above 0.")

    def between(self, done: float) -> float:
        return self.start * (self.end / self.start) ** done


public(globals(), ("Linear", "Cosine", "Exponential"))
