"""Page of a study: sections with a table, figures and paired differences each, and a verdict."""

import dataclasses
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
from harness import intervals, tuning
from harness.study_results import Cell, Comparison, Results
from matplotlib.figure import Figure

Draw = Callable[[Results], Figure | None]
PAIRED = """Differences seed by seed, mean and 95 % interval of each alone; bold where one is seen (paired t-test, 5 %
after Holm's adjustment for all {count} comparisons of this page):"""


@dataclasses.dataclass(frozen=True)
class Section:
    """Table of some cells and columns, with a text before it, and figures and comparisons after it.

    Attributes:
        text: Markdown; `{seeds}` becomes the number of seeds, and the name of a setting its values in the section's
            cells, "1000 and 2000" where they differ.
        columns: heading by column; by default those of the study.
        where: chooses cells by their settings; by default all.
        figures: caption and drawing function by the ending of the file's name.
        pairs: cells to be compared, each with its baseline; those that the quick form lacks are left out.
        compared: columns in which the pairs are compared.
    """

    text: str
    columns: Mapping[str, str] | None = None
    where: Callable[[Cell], bool] = lambda cell: True
    figures: Mapping[str, tuple[str, Draw]] = dataclasses.field(default_factory=dict)
    pairs: Sequence[tuple[str, str]] = ()
    compared: Sequence[str] = ()

    def part(self, results: Results) -> Results:
        """Return the cells and columns that the section shows."""
        cells = [name for name, cell in results.study.cells.items() if self.where(cell)]
        return results.part(cells, self.columns or results.study.columns)

    def present(self, part: Results) -> list[tuple[str, str]]:
        """Return the pairs of cells that a form of the study has."""
        return [pair for pair in self.pairs if set(pair) <= part.study.cells.keys()]

    def comparisons(self, results: Results) -> list[Comparison]:
        """Return what the section compares: a cell, its baseline and a column each."""
        return [(*pair, column) for pair in self.present(self.part(results)) for column in self.compared]

    def told(self, results: Results) -> list[str]:
        """Return a sentence on each of its comparisons."""
        return [results.difference(*one) for one in self.comparisons(results)]

    def render(self, results: Results) -> str:
        """Return the section as Markdown."""
        part, name = self.part(results), results.study.name
        text = self.text.format(seeds=len(results.study.seeds), **_settings(part.study.cells.values()))
        blocks = [*map(_filled, text.split("\n\n")), part.table()]
        blocks += [f"![{caption}]({name}-{ending}.png)" for ending, (caption, _) in self.figures.items()]
        if pairs := self.present(part):
            blocks += [_filled(PAIRED.format(count=len(results.compared))), part.differences(pairs, self.compared)]
        return "\n\n".join(blocks)


@dataclasses.dataclass(frozen=True)
class Page:
    """The page of a study.

    Attributes:
        title: its heading.
        text: the docstring of the study's module, whose first two paragraphs begin the page.
        sections: in their order; those without a cell are left out.
        verdict: what the numbers support of published claims, a sentence or two for each.
    """

    title: str
    text: str | None
    sections: Sequence[Section]
    verdict: Callable[[Results], Sequence[str]] | None = None

    def shown(self, results: Results) -> list[Section]:
        """Return the sections that have cells in this form of the study."""
        return [section for section in self.sections if any(map(section.where, results.study.cells.values()))]

    def render(self, results: Results, command: str) -> str:
        """Return the page as Markdown; `command` is the command line that makes it."""
        question, explanation, *_ = (self.text or "").split("\n\n")
        results = self.adjusted(results)
        seeds = f"Seeds {', '.join(map(str, results.study.seeds))}."
        blocks = [f"# {self.title}", question, f"    {command}", f"{explanation} {seeds}"]
        blocks += [section.render(results) for section in self.shown(results)]
        if results.tried:
            blocks += ["## What was tried", *map(_filled, tuning.told(results))]
        if self.verdict:
            blocks += ["## Verdict", "\n".join(f"- {sentence}" for sentence in self.verdict(results))]
        shown = {name: words for s in self.shown(results) for name, words in s.part(results).study.columns.items()}
        columns = {name: words for name, words in results.study.columns.items() if name in shown}
        blocks += ["## How to read the numbers", *map(_filled, reading(results.part(results.study.cells, columns)))]
        return "\n\n".join(blocks) + "\n"

    def adjusted(self, results: Results) -> Results:
        """Return the results with all comparisons of the page, for which each of them is adjusted."""
        compared = [c for section in self.sections for c in section.comparisons(results)]
        return dataclasses.replace(results, compared=tuple(dict.fromkeys(compared)))

    def write(self, results: Results, command: str, out: Path) -> None:
        """Write the page and its figures into a folder."""
        name = results.study.name
        (out / f"{name}.md").write_text(self.render(results, command))
        for section in self.shown(results):
            for ending, (_, draw) in section.figures.items():
                if figure := draw(section.part(results)):  # curves are not among the numbers beside a page
                    figure.savefig(out / f"{name}-{ending}.png")


def reading(results: Results) -> list[str]:
    """Return what the intervals of a page mean, and the versions and machines that its numbers come from."""
    seeds, trials = len(results.study.seeds), results.study.trials
    made = f"Made with {results.made_with()}."
    if seeds == 1:
        return [f"One seed: nothing here says how far another would differ. {made}"]
    exact = [results.study.columns[column] for column in trials if column in results.study.columns]
    shown = ((cell, column) for cell in results.study.cells for column in results.study.columns)
    counts = {int((~np.isnan(results.values(*pair))).sum()) for pair in shown} - {0}
    least = min(counts, default=seeds)
    over = f"{seeds} seeds" + (", or those of them that have the number" if least < seeds else "")
    said = f"Means with 95 % intervals of Student's t over {over}, cut where a number cannot go on. "
    if exact:
        said += f"Exact binomial intervals over all starts: {', '.join(exact)}. "
    said += (
        "A mean without an interval is the same with every seed; of further seeds, up to "
        f"{100 * intervals.unlike(seeds):.0f} % may still differ (exact, 95 %), unless the number is given by the cell"
    )
    said += f"; up to {100 * intervals.unlike(least):.0f} % where {least} have it." if least < seeds else "."
    return [said, made]


def _filled(paragraph: str) -> str:
    """Return a paragraph in lines of even length, and a table as it is."""
    return paragraph if paragraph.startswith("|") else textwrap.fill(paragraph, 120)


def _settings(cells: Iterable[Cell]) -> dict[str, str]:
    """Return the values of every setting, in order, joined where there are several."""
    found: dict[str, dict[str, None]] = {}
    for cell in cells:
        for name, value in cell.items():
            found.setdefault(name, {})[str(value)] = None
    return {name: " and ".join(values) for name, values in found.items()}
