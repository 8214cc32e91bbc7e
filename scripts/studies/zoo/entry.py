"""An entry of the zoo: how a game is trained, what ails it, how its health is measured, what cures it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from zoo.measures import Measure

GAMES = Path(__file__).parent / "games"
ADAM = "--optimizer {} --optimizer.base adam --optimizer.base.betas {} 0.99 --optimizer.lr {} --steps {}"
SGD = "--optimizer {} --optimizer.base sgd --optimizer.lr {} --steps {}"
MOMENTUM = "--optimizer {} --optimizer.base momentum --optimizer.base.beta 0.9 --optimizer.lr {} --steps {}"
RMSPROP = "--optimizer {} --optimizer.base rmsprop --optimizer.lr {} --steps {}"
PENALTY = " --regularizer r1 --regularizer.gamma 1"


@dataclasses.dataclass(frozen=True)
class Cure:
    """A known cure: flags that are typed in place of the entry's own, and the function of the changed game, if any."""

    flags: str | None = None
    function: str | None = None


@dataclasses.dataclass(frozen=True)
class Entry:
    """One game of the zoo.

    Attributes:
        name: of the entry.
        target: FILE.py:FUNCTION in the folder of games.
        flags: of `gantools train`, which make it sick or well.
        measure: its health, after training.
        causes: acceptable names of what ails it; empty where a diagnosis must find nothing.
        cure: one that is known to work; the diagnosis does not see it. None for a healthy game.
        changes: functions of changed games in the same file, by the cause whose advice without flags names the change.
        after: whether it was written after the diagnosis was finished, by somebody who had not seen its rules.
        second: whether it was written when the rules had been mended for the first set of these: of the second set.
    """

    name: str
    target: str
    flags: str
    measure: Measure
    causes: tuple[str, ...] = ()
    cure: Cure | None = None
    changes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    after: bool = False
    second: bool = False

    def path(self, function: str | None = None) -> str:
        """Return FILE.py:FUNCTION as it is typed, of a changed game where a function is given."""
        file, _, own = self.target.partition(":")
        return f"{GAMES / file}:{function or own}"


def adam(rate: str, steps: int = 1500, method: str = "alternating", beta: float = 0) -> str:
    """Return the flags of steps with Adam, of alternating ones and without momentum by default."""
    return ADAM.format(method, f"{beta:g}", rate, steps)


def entry(file: str, name: str, flags: str, measure: Measure, causes: str, cure: Cure, **changes: str) -> Entry:
    """Return the entry of the sick game FILE.py:NAME with its acceptable causes, separated by spaces."""
    return Entry(name, f"{file}.py:{name}", flags, measure, tuple(causes.split()), cure, changes)
