"""Settings of an optimizer that differ between the copies that it steps together."""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor

from gantools.errors import GantoolsError
from gantools.runs.config import Choice
from gantools.schedules import Scheduled, value_at
from gantools.trainers.optimizer import GameOptimizer

# Only what multiplies a player's part of the vector can be another number in each copy.
OF_EACH = {"lr": None, "gamma": ("consensus",)}


@dataclasses.dataclass(frozen=True)
class OfEach:
    """A number of each copy (S,), which multiplies a player's part of the vector of all copies (n,).

    It may also be divided by a number that all copies share, as Adam divides its rate. It can do nothing else, so that
    a formula which uses the number otherwise fails rather than mixing the copies.
    """

    values: Tensor

    def __mul__(self, part: Tensor) -> Tensor:
        rows = part.view(len(self.values), -1)
        return (self.values.to(part)[:, None] * rows).reshape(-1)

    def __truediv__(self, number: float) -> "OfEach":
        if not isinstance(number, int | float):
            return NotImplemented
        return OfEach(self.values / number)


@dataclasses.dataclass(frozen=True)
class ScheduledOfEach:
    """A setting of each copy, a number or a schedule."""

    settings: Sequence[Scheduled]

    def at(self, count: int) -> OfEach:
        """Return the settings' values after `count` updates."""
        return OfEach(torch.tensor([value_at(setting, count) for setting in self.settings], dtype=torch.float64))


def differing(choices: Sequence[Choice]) -> set[str]:
    """Return the settings in which the optimizers of the copies differ.

    Raises:
        GantoolsError: for those that cannot differ between copies that are stepped together.
    """
    names = {name for choice in choices for name in choice.settings}
    found = {n for n in names if any(c.settings.get(n) != choices[0].settings.get(n) for c in choices)}
    for name in sorted(found):
        methods = OF_EACH.get(name, ())
        if any(c.name != choices[0].name for c in choices) or (methods is not None and choices[0].name not in methods):
            raise GantoolsError(f"The runs differ in the {name} of {choices[0].name}, so they go on one after another.")
    return found


def use_settings_of_each(optimizer: GameOptimizer, own: Sequence[GameOptimizer], names: set[str]) -> None:
    """Let an optimizer of all copies step each of them by the settings of its own optimizer."""
    if "lr" in names:
        optimizer.rates = {p: ScheduledOfEach([one.rates[p] for one in own]) for p in optimizer.rates}  # type: ignore[misc]
    for name in names - {"lr"}:
        setattr(optimizer, name, ScheduledOfEach([getattr(one, name) for one in own]))
