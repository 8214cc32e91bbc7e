"""Claims about the diagnosis of trainings, each with the outcomes of the zoo of sick games."""

import json
from collections.abc import Sequence
from pathlib import Path

from harness.intervals import fraction
from zoo import classical, fresh, healthy, second, tables, threads
from zoo.entry import Entry

from claims import FAILS, HOLDS, OPEN, Row

PAGE = "sick_games"
AT_FIRST = {"first": fresh, "second": second}


def diagnosis(out: Path) -> list[Row]:
    """Return what is named and cured in the zoo, and at first sight, as far as outcomes are in a folder."""
    known, rows = outcomes(out / f"{PAGE}.json"), []
    sick, well = [*threads.ENTRIES, *classical.ENTRIES], healthy.ENTRIES
    if known and all(entry.name in known for entry in [*sick, *well]):
        named, cured = (tables.counted(sick, known, column) for column in ("named", "cured"))
        runs = [bool(one.get("found")) for entry in well for one in known[entry.name].values()]
        claim = "A diagnosis names what ails at least 18 of 22 sick games, its first advice cures 16, and no alarm is "
        claim += "false on ten healthy ones"
        text = f"named {named}, cured {cured} of {len(sick)}, each in more than half of its seeds; false alarms in "
        text += f"{sum(runs)} of {len(runs)} healthy runs (made and mended with these games in view)"
        verdict = HOLDS if named >= 18 and cured >= 16 and not any(runs) else FAILS
        rows.append(Row(claim, "ours", text, len(known[sick[0].name]), verdict, PAGE))
    for which, games in AT_FIRST.items():
        seen = outcomes(out / f"{PAGE}-{which}.json")
        if seen:
            rows.append(at_first_sight(which, games.ENTRIES, games.HEALTHY, seen))
    return rows


def at_first_sight(which: str, sick: Sequence[Entry], well: Sequence[Entry], seen: tables.Outcomes) -> Row:
    """Return what was named of games by somebody who had not seen the rules, before these were mended for them."""
    named, cured = (tables.counted(sick, seen, column) for column in ("named", "cured"))
    alarms = sum(any(one.get("found") for one in seen[entry.name].values()) for entry in well)
    share = fraction(named, len(sick))
    text = f"named {named} of {len(sick)}, {share}, cured {cured}; false alarms on {alarms} of {len(well)} healthy ones"
    verdict = HOLDS if share.low > 0.5 else FAILS if share.high < 0.5 else OPEN
    claim = "A diagnosis names what ails more than half of the sick games of somebody who had not seen its rules, at "
    return Row(f"{claim}first sight ({which} set)", "ours", text, len(seen[sick[0].name]), verdict, PAGE)


def outcomes(path: Path) -> tables.Outcomes:
    """Return outcomes by entry and seed; none where there is no file."""
    found: tables.Outcomes = json.loads(path.read_text()) if path.exists() else {}
    return found
