"""Results of a study by cell and seed: intervals, paired differences, tables, figures."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from harness import intervals, study_figures
from harness.intervals import LEVEL, Difference, Estimate
from matplotlib.figure import Figure

Cell = dict[str, Any]
Result = dict[str, Any]
Comparison = tuple[str, str, str]  # a cell, its baseline, a column


@dataclasses.dataclass(frozen=True)
class Tuning:
    """How the settings of every cell are chosen: on seeds that are not reported, by a rule that is written beforehand.

    Attributes:
        grid: settings to be tried in a cell; the same number of them for all cells that are compared.
        seeds: of the trials.
        score: of a trial's result, higher is better.
        rule: the score in words, for the page.
        shorter: settings of a cell that its trials have instead.
        worst: the score of a trial that was stopped.
    """

    grid: Callable[[Cell], Sequence[Cell]]
    seeds: Sequence[int]
    score: Callable[[Result], float]
    rule: str
    shorter: Callable[[Cell], Cell] = lambda cell: {}
    worst: float = 0.0


@dataclasses.dataclass(frozen=True)
class Trial:
    """Settings that were tried in a cell.

    Attributes:
        settings: those tried.
        scores: of each seed of the trials, in order.
        chosen: whether the cell was run with them.
        seconds: by the clock, of all seeds together; NaN where they were not recorded.
    """

    settings: Cell
    scores: Sequence[float]
    chosen: bool = False
    seconds: float = math.nan


@dataclasses.dataclass(frozen=True)
class Study:
    """Definition of a study: its cells, the function that runs one, and the columns of its table.

    Attributes:
        name: of the folder in runs/ and of the page in docs/results/.
        run: (settings, seed, folder) -> numbers by name, curves as {"step": [...], name: [...]} under "curves", and
            what else figures are made of under "pictures". Defined at the top of its module, since other processes
            call it.
        cells: settings by the cell's name.
        columns: heading by the name of a number, in the order of the table.
        quick: the cells of its quick form, of two seeds.
        seeds: one run of every cell for each.
        bounds: what a column's numbers cannot exceed; a mean's interval ends there.
        trials: for a column that is a fraction of independent trials, the setting that says how many a seed has.
        flags: (settings, seed) -> those of `gantools train` for the GAN that `run` trains in its folder, so that the
            seeds of a cell are trained in one program before; none where it trains something else.
        together: (settings, seeds) -> the results of several seeds by seed, in one program, in which each is what
            `run` gives up to rounding; none where seeds run one by one.
        programs: by cell, a name that cells share which are trained in one program too; by default each has its own.
        tuning: how settings of the cells are chosen before they are run; none where all are given.
    """

    name: str
    run: Callable[[Cell, int, Path], Result]
    cells: Mapping[str, Cell]
    columns: Mapping[str, str]
    quick: Mapping[str, Cell]
    seeds: Sequence[int] = range(5)
    bounds: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    trials: Mapping[str, str] = dataclasses.field(default_factory=dict)
    flags: Callable[[Cell, int], Sequence[str]] | None = None
    together: Callable[[Cell, Sequence[int]], Mapping[int, Result]] | None = None
    programs: Mapping[str, str] = dataclasses.field(default_factory=dict)
    tuning: Tuning | None = None


@dataclasses.dataclass(frozen=True)
class Results:
    """Results of a study.

    Attributes:
        study: what was run.
        by_cell: by cell, the result of each seed; `{"failed": sentence}` for a run that was stopped.
        compared: all comparisons of the page, for which its tests are adjusted.
        tried: by cell, the settings that were tried, where the study has a `tuning`.
    """

    study: Study
    by_cell: Mapping[str, Mapping[int, Result]]
    compared: tuple[Comparison, ...] = ()
    tried: Mapping[str, Sequence[Trial]] = dataclasses.field(default_factory=dict)

    def values(self, cell: str, column: str) -> np.ndarray:
        """Return a column of a cell over the seeds, in their order; NaN where a run failed or lacks it."""
        found = (self.by_cell[cell].get(seed, {}).get(column) for seed in self.study.seeds)
        return np.array([math.nan if value is None else float(value) for value in found])

    def mean(self, cell: str, column: str) -> float:
        """Return the mean over the seeds that have the number."""
        return self.estimate(cell, column).mean

    def estimate(self, cell: str, column: str) -> Estimate:
        """Return the mean over the seeds that have the number, with its interval; a fraction's is exact."""
        values = self.values(cell, column)
        if trials := self.study.cells[cell].get(self.study.trials.get(column, "")):
            known = values[~np.isnan(values)]
            if len(known):
                return intervals.fraction(round(float(known.sum()) * trials), len(known) * trials)
        return intervals.estimate(values, self.study.bounds.get(column))

    def shown(self, cell: str, column: str) -> str:
        """Return mean and interval as text."""
        return str(self.estimate(cell, column))

    def contrast(self, cell: str, baseline: str, column: str) -> Difference:
        """Return the difference to another cell, seed by seed, tested alone."""
        return intervals.difference(self.values(cell, column) - self.values(baseline, column))

    def seen(self, *comparison: str) -> bool:
        """Return whether a cell differs from its baseline, after Holm's adjustment for all that the page compares."""
        return self._adjusted(comparison)[comparison] < LEVEL

    def _adjusted(self, *more: Comparison | tuple[str, ...]) -> dict[Any, float]:
        family = dict.fromkeys([*self.compared, *more])
        return intervals.holm({c: self.contrast(*c).p for c in family})

    def part(self, cells: Iterable[str], columns: Mapping[str, str]) -> "Results":
        """Return some of the cells and columns, for a table or a figure of their own."""
        cells = {name: self.study.cells[name] for name in cells}
        return dataclasses.replace(self, study=dataclasses.replace(self.study, cells=cells, columns=columns))

    def made_with(self) -> str:
        """Return the versions and machines of all results."""
        every = [result.get("made with") for seeds in self.by_cell.values() for result in seeds.values()]
        known = dict.fromkeys(text for text in every if text)
        unknown = ["versions that were not recorded, for some or all runs"] if None in every else []
        return "; ".join([*known, *unknown])

    def failed(self, cell: str) -> list[str]:
        """Return the sentences of the runs that were stopped."""
        return [result["failed"] for result in self.by_cell[cell].values() if "failed" in result]

    def table(self) -> str:
        """Return cells by columns as Markdown, means with intervals; the number of failed runs where there were any."""
        columns, cells = self.study.columns, self.study.cells
        any_failed = any(self.failed(cell) for cell in cells)
        rows = []
        for cell in cells:
            row = [cell, *(self.shown(cell, column) for column in columns)]
            row += [f"{len(self.failed(cell))} of {len(self.study.seeds)}"] if any_failed else []
            rows.append(row)
        return markdown(["cell", *columns.values(), *(["stopped"] if any_failed else [])], rows)

    def difference(self, cell: str, baseline: str, column: str) -> str:
        """Return a sentence on whether a cell differs from another one in a column, and what would have been seen."""
        found = self.contrast(cell, baseline, column)
        compared = f'"{cell}" against "{baseline}", {self.study.columns[column]}'
        if math.isnan(found.p):
            return f"{compared}: cannot be compared, too few runs have it."
        if self.seen(cell, baseline, column):
            return f"{compared}: {'higher' if found.mean > 0 else 'lower'} ({found})."
        if found.p < LEVEL:
            return f"{compared}: no difference is seen after adjustment ({found}; alone it would be)."
        power = f"; one of {found.detectable:.2g} would be, alone, with power 0.8"
        if math.isnan(found.detectable):
            power = "" if found.mean else ", the same with every seed"
        return f"{compared}: no difference is seen ({found}{power})."

    def differences(self, pairs: Iterable[tuple[str, str]], columns: Iterable[str]) -> str:
        """Return differences of pairs of cells as Markdown, bold where one is seen, and their count."""
        columns, rows, comparisons = list(columns), [], []
        for pair in pairs:
            row = [(*pair, column) for column in columns]
            shown = [(str(self.contrast(*c)), self.seen(*c)) for c in row]
            rows.append([f"{pair[0]} against {pair[1]}", *(f"**{text}**" if bold else text for text, bold in shown)])
            comparisons += row
        p = {c: self.contrast(*c).p for c in comparisons}
        tested = [c for c in comparisons if not math.isnan(p[c])]
        alone = sum(p[c] < LEVEL for c in tested)
        count = (
            f"Of {len(tested)} differences {sum(self.seen(*c) for c in tested)} are seen; {alone} would be, each alone."
        )
        count += self._missed([self.contrast(*c) for c in tested if not self.seen(*c)])
        return markdown(["difference", *(self.study.columns[c] for c in columns)], rows) + "\n\n" + count

    def _missed(self, unseen: Iterable[Difference]) -> str:
        """Return what would have been seen where no difference was, in half widths; "" where that is not known."""
        times = [one.detectable / one.half for one in unseen if one.half and not math.isnan(one.detectable)]
        if not times:
            return ""
        least, most = f"{min(times):.2f}", f"{max(times):.2f}"
        between = least if least == most else f"{least} to {most}"
        return f" One of {between} half widths would have been, alone, in four such studies of five."

    def figure(self) -> Figure:
        """Draw a panel for each column: a dot for each seed, mean and interval for each cell."""
        return study_figures.by_cell(self)

    def curves(self, name: str, log: bool = False) -> Figure | None:
        """Draw a panel for each cell: mean and range of its seeds over the steps, the other cells' means in grey.

        None where no result has this curve.
        """
        return study_figures.curves(self, name, log)


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown, numbers to the right of the first column."""
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---|" + "--:|" * (len(head) - 1), *lines[1:]])
