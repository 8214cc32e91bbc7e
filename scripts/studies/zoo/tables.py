"""Tables of the zoo in Markdown: what was named, cured and raised falsely, misses included."""

import math
import platform
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from harness.intervals import fraction
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


def first_sight(kinds: Kinds, results: Outcomes, said: str) -> str:
    """Return what was found of games written afterwards before any rule was mended for them, under a sentence."""
    known = [entry for entries in kinds.values() for entry in entries if entry.name in results]
    rows = [[row[0], *row[2:4], *row[5:7]] for row in (_row(entry, results[entry.name]) for entry in known)]
    table = markdown(["game", "expected", "named", "cured", "found first"], rows)
    return "\n\n".join([said, table, *_totals(known, results, unseen=True)])


def _totals(known: Sequence[Entry], results: Outcomes, unseen: bool = False) -> list[str]:
    """Return the counts over entries; of games that were unseen when they were diagnosed, with intervals."""
    parts, sets = [], [(False, False, ""), (True, False, "written afterwards"), (True, True, "of the second set")]
    for after, second, title in sets:
        sick = [e for e in known if e.cure and (e.after, e.second) == (after, second)]
        if sick:
            head = f"Of the {len(sick)} sick games {title}" if after else "Sick games"
            parts.append(f"{head}: {_counts(sick, results, unseen)}")
    for after, second, title in sets:
        healthy = [e for e in known if not e.cure and (e.after, e.second) == (after, second)]
        alarms = [[bool(r.get("found")) for r in results[e.name].values()] for e in healthy]
        if healthy:
            head = f"False alarms{f' in those {title}' if title else ''}: {sum(map(sum, alarms))} of"
            games = _share(sum(map(any, alarms)), len(healthy), unseen)
            parts.append(f"{head} {sum(map(len, alarms))} healthy runs, of {games} games.")
    return parts


def _row(entry: Entry, found: Mapping[int, Mapping[str, Any]]) -> list[str]:
    results = list(found.values())

    def count(column: str) -> str:
        return f"{sum(bool(r.get(column)) for r in results)}/{len(results)}"

    def commonest(values: list[str]) -> str:
        (value, times), *_ = Counter(values).most_common(1)
        return f"{value} ({times})".replace("|", "\\|")

    first = commonest([(r.get("found") or ["failed" if "failed" in r else "nothing"])[0] for r in results])
    advice = commonest([re.split(r"[.,:;] ", r.get("advice") or "none")[0] for r in results])  # its first words
    expected = ", ".join(entry.causes) or "healthy"
    cured = count("cured") if entry.cure else "-"
    return [entry.name, count("sick"), expected, count("named"), count("named among"), cured, first, advice]


def counted(entries: Sequence[Entry], results: Outcomes, column: str) -> int:
    """Return for how many entries it holds in more than half of the seeds: "named", "named among" or "cured"."""
    return sum(2 * sum(bool(r.get(column)) for r in results[e.name].values()) > len(results[e.name]) for e in entries)


def _counts(entries: Sequence[Entry], results: Outcomes, unseen: bool) -> str:
    found = (counted(entries, results, column) for column in ("named", "named among", "cured"))
    named, among, cured = (_share(count, len(entries), unseen) for count in found)
    return (
        f"named rightly {named}, among all findings {among}, cured by the first advice {cured}; each in more than half "
        "of its seeds."
    )


def _share(count: int, total: int, unseen: bool) -> str:
    """Return how many of all; where they are a sample, with the exact 95 % interval of their share."""
    share = fraction(count, total)
    return f"{count} of {total}" + (f" [{share.low:.2f}, {share.high:.2f}]" if unseen else "")


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
