"""An entry of the zoo: how a game is trained, what ails it, how its health is measured, what cures it."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from zoo.measures import Measure

GAMES = Path(__file__).parent / "games"


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
    """

    name: str
    target: str
    flags: str
    measure: Measure
    causes: tuple[str, ...] = ()
    cure: Cure | None = None
    changes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    after: bool = False

    def path(self, function: str | None = None) -> str:
        """Return FILE.py:FUNCTION as it is typed, of a changed game where a function is given."""
        file, _, own = self.target.partition(":")
        return f"{GAMES / file}:{function or own}"
