"""Tables of the zoo in Markdown: what was named, cured and raised falsely, misses included."""

import math
import platform
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from harness.study_results import markdown
from zoo.entry import Entry

import gantools as gt

Kinds = Mapping[str, Sequence[Entry]]
Outcomes = Mapping[str, Mapping[int, Mapping[str, Any]]]


def heading(text: str, seeds: Sequence[int], left_out: Sequence[str]) -> str:
    """Return the head of the page: what is measured and how, seeds, versions, and entries that were not run."""
    versions = f"gantools {gt.__version__}, PyTorch {torch.__version__}, Python {platform.python_version()}"
    parts = ["# Sick games", text.strip(), f"Seeds {', '.join(map(str, seeds))}; {versions}."]
    if left_out:
        parts.append(f"Not run: {', '.join(left_out)}.")
    return "\n\n".join(parts)


def verification(kinds: Kinds, results: Outcomes) -> str:
    """Return, for each entry, in how many seeds it is sick, and well after its known cure."""
    rows = []
    for entry in (entry for entries in kinds.values() for entry in entries):
        found = list(results[entry.name].values())
        sick = sum(bool(r.get("sick")) for r in found)
        cured = "-" if entry.cure is None else f"{sum(bool(r.get('cured')) for r in found)}/{len(found)}"
        values = ", ".join(_number(r.get("value")) for r in found)
        after = ", ".join(_number(r.get("after")) for r in found) if entry.cure else "-"
        limit = f"{entry.measure.limit:g}"
        rows.append([entry.name, f"{sick}/{len(found)}", cured, entry.measure.text, limit, values, after])
    return markdown(["game", "sick", "well after cure", "measure", "limit", "before", "after"], rows)


def diagnosis(kinds: Kinds, results: Outcomes) -> str:
    """Return a table for each kind, the counts over entries, and every miss with what was found in its place."""
    parts = []
    for kind, entries in kinds.items():
        if entries:
            rows = [_row(entry, results[entry.name]) for entry in entries]
            head = ["game", "sick", "expected", "named", "among all", "cured", "found first", "first advice"]
            parts += [f"## {kind}", markdown(head, rows)]
    known = [entry for entries in kinds.values() for entry in entries]
    return "\n\n".join(
        [*parts, *_totals(known, results), _misses(sorted(known, key=lambda e: e.cure is None), results)]
    )


def first_sight(kinds: Kinds, results: Outcomes) -> str:
    """Return what was found of the entries written afterwards before any rule was mended for them."""
    known = [entry for entries in kinds.values() for entry in entries if entry.name in results]
    rows = [
        [entry.name, ", ".join(entry.causes) or "healthy", _word(one["named"]), ", ".join(one["found"]) or "nothing",
         _word(one["cured"]) if entry.cure else "-"]
        for entry in known for one in results[entry.name].values()
    ]  # fmt: skip
    table = markdown(["game", "expected", "named", "found", "cured"], rows)
    seeds = ", ".join(sorted({seed for one in results.values() for seed in one}))
    said = f"The games written afterwards, seed {seeds}, before any rule was mended for what was missed:"
    return "\n\n".join(["## At first sight", said, table, *_totals(known, results)])


def _word(yes: bool) -> str:
    return "yes" if yes else "no"


def _totals(known: Sequence[Entry], results: Outcomes) -> list[str]:
    parts, sets = [], [(False, False, ""), (True, False, "written afterwards"), (True, True, "of the second set")]
    for after, second, title in sets:
        sick = [e for e in known if e.cure and (e.after, e.second) == (after, second)]
        if sick:
            head = f"Of the {len(sick)} sick games {title}" if after else "Sick games"
            parts.append(f"{head}: {_counts(sick, results)}")
    for after, second, title in sets:
        healthy = [e for e in known if not e.cure and (e.after, e.second) == (after, second)]
        runs = [r for e in healthy for r in results[e.name].values()]
        if runs:
            alarms = sum(bool(r.get("found")) for r in runs)
            parts.append(f"False alarms{f' in those {title}' if title else ''}: {alarms} of {len(runs)} healthy runs.")
    return parts


def _row(entry: Entry, found: Mapping[int, Mapping[str, Any]]) -> list[str]:
    results = list(found.values())

    def count(column: str) -> str:
        return f"{sum(bool(r.get(column)) for r in results)}/{len(results)}"

    def commonest(values: list[str]) -> str:
        (value, times), *_ = Counter(values).most_common(1)
        return f"{value} ({times})".replace("|", "\\|")

    first = commonest([(r.get("found") or ["nothing"])[0] for r in results])
    advice = commonest([r.get("advice") or "none" for r in results])
    expected = ", ".join(entry.causes) or "healthy"
    cured = count("cured") if entry.cure else "-"
    return [entry.name, count("sick"), expected, count("named"), count("named among"), cured, first, advice]


def _counts(entries: Sequence[Entry], results: Outcomes) -> str:
    def most(column: str) -> int:
        """Count the entries for which it holds in more than half of the seeds."""
        return sum(
            2 * sum(bool(r.get(column)) for r in results[e.name].values()) > len(results[e.name]) for e in entries
        )

    total = len(entries)
    return (
        f"named rightly {most('named')} of {total}, among all findings {most('named among')}, cured by the first "
        f"advice {most('cured')}; each in more than half of its seeds."
    )


def _misses(entries: Sequence[Entry], results: Outcomes) -> str:
    lines = ["## Misses", ""]
    for entry in entries:
        for seed, r in results[entry.name].items():
            if "failed" in r:
                lines.append(f"- {entry.name}, seed {seed}: {r['failed']}")
                continue
            faults = [] if r["named"] else [f"found {', '.join(r['found']) or 'nothing'}"]
            if entry.cure and not r["cured"]:
                faults.append(f"not cured by {r['advice'] or 'no advice'} ({_number(r.get('value after'))})")
            if bool(entry.cure) != r["sick"]:
                faults.append("the game was well" if entry.cure else "the game was sick")
            if faults:
                expected = " or ".join(entry.causes) or "nothing"
                lines.append(f"- {entry.name}, seed {seed}: expected {expected}; {'; '.join(faults)}")
    return "\n".join(lines if len(lines) > 2 else [*lines, "None."])


def _number(value: float | None) -> str:
    if value is None:
        return "-"
    return f"{value:.2g}" if math.isfinite(value) else "inf"
