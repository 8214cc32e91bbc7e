"""Page of a study: sections with a table, figures and paired differences each, and a verdict."""

import dataclasses
import textwrap
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from harness.study_results import Cell, Results
from matplotlib.figure import Figure

Draw = Callable[[Results], Figure]
PAIRED = "Differences seed by seed, mean and 95 % interval; bold where it does not contain 0:"


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

    def render(self, results: Results) -> str:
        """Return the section as Markdown."""
        part, name = self.part(results), results.study.name
        text = self.text.format(seeds=len(results.study.seeds), **_settings(part.study.cells.values()))
        blocks = [*map(_filled, text.split("\n\n")), part.table()]
        blocks += [f"![{caption}]({name}-{ending}.png)" for ending, (caption, _) in self.figures.items()]
        pairs = [pair for pair in self.pairs if set(pair) <= part.study.cells.keys()]
        if pairs:
            blocks += [PAIRED, part.differences(pairs, self.compared)]
        return "\n\n".join(blocks)


@dataclasses.dataclass(frozen=True)
class Page:
    """The page of a study.

    Attributes:
        title: its heading.
        text: the docstring of the study's module, whose first two paragraphs begin the page.
        sections: in their order.
        verdict: what the numbers support of published claims, a sentence or two for each.
    """

    title: str
    text: str | None
    sections: Sequence[Section]
    verdict: Callable[[Results], Sequence[str]] | None = None

    def render(self, results: Results, command: str) -> str:
        """Return the page as Markdown; `command` is the command line that makes it."""
        question, explanation, *_ = (self.text or "").split("\n\n")
        seeds = f"Seeds {', '.join(map(str, results.study.seeds))}."
        blocks = [f"# {self.title}", question, f"    {command}", f"{explanation} {seeds}"]
        blocks += [section.render(results) for section in self.sections]
        if self.verdict:
            blocks += ["## Verdict", "\n".join(f"- {sentence}" for sentence in self.verdict(results))]
        return "\n\n".join(blocks) + "\n"

    def write(self, results: Results, command: str, out: Path) -> None:
        """Write the page and its figures into a folder."""
        name = results.study.name
        (out / f"{name}.md").write_text(self.render(results, command))
        for section in self.sections:
            for ending, (_, draw) in section.figures.items():
                draw(section.part(results)).savefig(out / f"{name}-{ending}.png")


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
