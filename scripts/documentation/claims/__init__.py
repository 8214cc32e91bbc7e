"""A row of the table of claims, and the rules that make verdicts of numbers."""

import dataclasses
import math
from pathlib import Path

from harness import study
from harness.intervals import LEVEL, Estimate

HOLDS, FAILS, OPEN = "holds", "does not hold", "open"


@dataclasses.dataclass(frozen=True)
class Row:
    """A claim and what became of it.

    Attributes:
        claim: in words.
        source: its paper, or "ours".
        found: our numbers, with intervals.
        seeds: how many.
        verdict: `HOLDS`, `FAILS` or `OPEN`.
        page: the name of the study's page.
    """

    claim: str
    source: str
    found: str
    seeds: int
    verdict: str
    page: str


def read(form: study.Study, its_page: study.Page, out: Path) -> study.Results:
    """Return the stored results of a study, with all comparisons of its page."""
    return its_page.adjusted(study.stored(form, out))


def ordered(lower: Estimate, higher: Estimate) -> str:
    """Return whether one mean lies below another: their intervals are apart, the other way round, or overlap."""
    return HOLDS if lower.high < higher.low else FAILS if lower.low > higher.high else OPEN


def compared(results: study.Results, cell: str, baseline: str, column: str, wanted: int) -> tuple[str, str]:
    """Return a paired difference as text, and whether it is seen with the wanted sign."""
    found = results.contrast(cell, baseline, column)
    if not results.seen(cell, baseline, column):
        if math.isnan(found.detectable):
            return f"{found}, the same with every seed", OPEN
        if found.p < LEVEL:
            return f"{found}, not seen after adjustment; alone it would be", OPEN
        return f"{found}, not seen (one of {found.detectable:.2g} would be, alone)", OPEN
    return str(found), HOLDS if found.mean * wanted > 0 else FAILS


def within(results: study.Results, cell: str, baseline: str, column: str, margin: float) -> tuple[str, str]:
    """Return a paired difference as text, and whether two cells are alike up to a margin.

    They are where the interval of the difference, alone, lies within the margin; they are not where it lies outside
    and the difference is seen after the adjustment of its page.
    """
    found = results.contrast(cell, baseline, column)
    if abs(found.mean) + found.half <= margin:
        return str(found), HOLDS
    if abs(found.mean) - found.half <= margin:
        return str(found), OPEN
    if results.seen(cell, baseline, column):
        return str(found), FAILS
    return f"{found}, not seen after adjustment", OPEN


def more_than_half(part: Estimate) -> str:
    """Return whether a fraction of runs is above one half: its exact interval is above, below, or holds it."""
    return HOLDS if part.low > 0.5 else FAILS if part.high < 0.5 else OPEN
