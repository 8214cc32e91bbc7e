"""What an advice makes of the flags of a training, and the outcome of one entry and seed: named, cured, false alarm."""

import dataclasses
import shlex
from collections.abc import Callable, Sequence
from typing import Any

from zoo.entry import Entry
from zoo.training import QUIET, trained

from gantools.cli.flags import parse_train
from gantools.data.random_state import seed_global_generators
from gantools.errors import GantoolsError
from gantools.runs.experiment import build

Diagnose = Callable[[Any, Any, Any], Any]


def examined(entry: Entry, seed: int, diagnose: Diagnose) -> Any:
    """Return the diagnosis of an entry as it stands before training, with the optimizer of its flags."""
    config = parse_train([entry.path(), *shlex.split(entry.flags), *QUIET, "--seed", str(seed)]).config
    seed_global_generators(seed)
    experiment = build(config)
    return diagnose(experiment.game, experiment.batches, experiment.optimizer)


def _groups(flags: Sequence[str]) -> dict[str, list[str]]:
    """Return the words that follow each flag, by flag."""
    groups: dict[str, list[str]] = {}
    for word in flags:
        # A negative number is a value.
        if word.startswith("--"):
            name, equals, value = word.partition("=")
            groups[name] = [value] if equals else []
        else:
            groups[list(groups)[-1]].append(word)
    return groups


def with_advice(flags: Sequence[str], advice: Sequence[str]) -> list[str]:
    """Return the flags with those of an advice: a flag given twice has its new value, as where a user edits the line.

    Settings of a method, a base rule or a regularizer that the advice replaces go with it; the rate stays.
    """
    own, new = _groups(flags), _groups(advice)
    for axis in ("--optimizer", "--optimizer.base", "--regularizer"):
        if axis in new and new[axis] != own.get(axis):
            kept = ("--optimizer.lr", "--optimizer.base") if axis == "--optimizer" else ()
            own = {
                name: words for name, words in own.items() if not name.startswith(f"{axis}.") or name.startswith(kept)
            }
    return [word for name, words in (own | new).items() for word in (name, *words)]


def outcome(entry: Entry, seed: int, diagnose: Diagnose) -> dict[str, Any]:
    """Train, diagnose, apply the first advice as typed, and train again.

    Returns:
        "sick", "value", "found" (causes, first the most harmful), "evidence", "named" (the first cause is acceptable,
        or nothing was found where nothing should be), "named among" (any is), "advice", "cured" and its "value after".
    """
    before = trained(entry, seed)
    diagnosis = examined(entry, seed, diagnose)
    found = [finding.cause for finding in diagnosis.findings]
    result: dict[str, Any] = {
        "sick": not before.well, "value": before.value, "error": before.error, "found": found,
        "evidence": [finding.evidence for finding in diagnosis.findings],
        "named": found[0] in entry.causes if found else not entry.causes,
        "named among": any(cause in entry.causes for cause in found) if found else not entry.causes,
        "advice": "", "cured": False, "value after": None,
    }  # fmt: skip
    first = diagnosis.findings[0] if found else None
    if entry.cure is not None and first is not None and first.advice:
        result |= _treated(entry, seed, first.cause, first.advice[0])
    return result


def _treated(entry: Entry, seed: int, cause: str, advice: Any) -> dict[str, Any]:
    """Return what the first advice does: its flags, or the changed game that the entry has for this cause."""
    if advice.flags:
        shown = " ".join(advice.flags)
        flags, function = with_advice(shlex.split(entry.flags), advice.flags), None
    elif cause in entry.changes:
        shown, flags, function = advice.line, shlex.split(entry.flags), entry.changes[cause]
    else:
        return {"advice": advice.line}
    try:
        health = trained(entry, seed, flags, function)
    except (GantoolsError, SystemExit) as error:
        return {"advice": shown, "error after": f"cannot be typed: {error}"}
    return {"advice": shown, "cured": health.well, "value after": health.value, "error after": health.error}


@dataclasses.dataclass(frozen=True)
class Verified:
    """An entry and a seed without a diagnosis: sick (or well) as it should be, and well after its known cure."""

    sick: bool
    cured: bool | None
    value: float
    after: float | None


def verified(entry: Entry, seed: int) -> Verified:
    """Train the entry as it is, and with its known cure."""
    before = trained(entry, seed)
    if entry.cure is None:
        return Verified(not before.well, None, before.value, None)
    cure = entry.cure
    after = trained(entry, seed, None if cure.flags is None else shlex.split(cure.flags), cure.function)
    return Verified(not before.well, after.well, before.value, after.value)
