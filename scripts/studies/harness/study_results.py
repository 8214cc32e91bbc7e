"""Results of a study by cell and seed: intervals, paired differences, tables, figures."""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from scipy import stats

Cell = dict[str, Any]
Result = dict[str, Any]
BLUE, GREY = "#2b6cb0", "#a0aec0"


@dataclasses.dataclass(frozen=True)
class Study:
    """Definition of a study: its cells, the function that runs one, and the columns of its table.

    Attributes:
        name: of the folder in runs/ and of the page in docs/results/.
        run: (settings, seed, folder) -> numbers by name, and curves as {"step": [...], name: [...]} under "curves".
            Defined at the top of its module, since other processes call it.
        cells: settings by the cell's name.
        columns: heading by the name of a number, in the order of the table.
        quick: the cells of its quick form, of two seeds.
        seeds: one run of every cell for each.
    """

    name: str
    run: Callable[[Cell, int, Path], Result]
    cells: Mapping[str, Cell]
    columns: Mapping[str, str]
    quick: Mapping[str, Cell]
    seeds: Sequence[int] = range(5)


@dataclasses.dataclass(frozen=True)
class Results:
    """Results of a study: by cell, that of each seed; `{"failed": sentence}` for a run that was stopped."""

    study: Study
    by_cell: Mapping[str, Mapping[int, Result]]

    def values(self, cell: str, column: str) -> np.ndarray:
        """Return a column of a cell over the seeds, in their order; NaN where a run failed or lacks it."""
        found = (self.by_cell[cell].get(seed, {}).get(column) for seed in self.study.seeds)
        return np.array([math.nan if value is None else float(value) for value in found])

    def mean(self, cell: str, column: str) -> float:
        """Return the mean over the seeds that have the number."""
        return self.interval(cell, column)[0]

    def interval(self, cell: str, column: str) -> tuple[float, float]:
        """Return mean and half width of the 95 % interval of Student's t over the seeds that have the number."""
        return interval(self.values(cell, column))

    def shown(self, cell: str, column: str) -> str:
        """Return the interval as "mean ± half width"."""
        return shown(*self.interval(cell, column))

    def contrast(self, cell: str, baseline: str, column: str) -> tuple[float, float]:
        """Return mean and half width of the 95 % interval of the difference to another cell, seed by seed."""
        return interval(self.values(cell, column) - self.values(baseline, column))

    def part(self, cells: Iterable[str], columns: Mapping[str, str]) -> "Results":
        """Return some of the cells and columns, for a table or a figure of their own."""
        cells = {name: self.study.cells[name] for name in cells}
        return Results(dataclasses.replace(self.study, cells=cells, columns=columns), self.by_cell)

    def failed(self, cell: str) -> list[str]:
        """Return the sentences of the runs that were stopped."""
        return [result["failed"] for result in self.by_cell[cell].values() if "failed" in result]

    def table(self) -> str:
        """Return cells by columns as Markdown, mean ± half width; the number of failed runs where there were any."""
        columns, cells = self.study.columns, self.study.cells
        any_failed = any(self.failed(cell) for cell in cells)
        rows = []
        for cell in cells:
            row = [cell, *(self.shown(cell, column) for column in columns)]
            row += [f"{len(self.failed(cell))} of {len(self.study.seeds)}"] if any_failed else []
            rows.append(row)
        return markdown(["cell", *columns.values(), *(["stopped"] if any_failed else [])], rows)

    def difference(self, cell: str, baseline: str, column: str) -> str:
        """Return a sentence on whether a cell differs from another one in a column, by the paired interval."""
        mean, half = self.contrast(cell, baseline, column)
        compared = f'"{cell}" against "{baseline}", {self.study.columns[column]}'
        if math.isnan(half):
            return f"{compared}: cannot be compared, too few runs have it."
        seen = ("higher" if mean > 0 else "lower") if is_seen(mean, half) else "no difference is seen"
        return f"{compared}: {seen} ({shown(mean, half, sign=True)})."

    def differences(self, pairs: Iterable[tuple[str, str]], columns: Iterable[str]) -> str:
        """Return differences of pairs of cells as Markdown, bold where the interval does not contain 0, and a count."""
        columns, rows = list(columns), []
        contrasts = {pair: [self.contrast(*pair, column) for column in columns] for pair in pairs}
        for (cell, baseline), found in contrasts.items():
            marked = (f"**{shown(*c, sign=True)}**" if is_seen(*c) else shown(*c, sign=True) for c in found)
            rows.append([f"{cell} against {baseline}", *marked])
        tested = [c for found in contrasts.values() for c in found if not math.isnan(c[1])]
        seen = sum(is_seen(*c) for c in tested)
        count = f"Of {len(tested)} differences {seen} exclude 0; by chance alone about {0.05 * len(tested):.2g} would."
        return markdown(["difference", *(self.study.columns[c] for c in columns)], rows) + "\n\n" + count

    def figure(self) -> Figure:
        """Draw a panel for each column: a dot for each seed, mean and interval for each cell."""
        cells, columns = list(self.study.cells), self.study.columns
        across = min(3, len(columns))
        down = -(-len(columns) // across)
        figure = Figure(figsize=(3.4 * across + 1.2, (0.26 * len(cells) + 1.1) * down), dpi=110, layout="constrained")
        panels = figure.subplots(down, across, sharey=True, squeeze=False).ravel()
        for axes, (column, heading) in zip(panels, columns.items(), strict=False):
            for y, cell in enumerate(cells):
                values = self.values(cell, column)
                axes.plot(values, np.full(len(values), y), ".", color=GREY, markersize=5)
                mean, half = interval(values)
                axes.errorbar(mean, y, xerr=None if math.isnan(half) else half, fmt="o", color=BLUE, capsize=3, ms=4)
            if _many_decades(np.array([self.values(cell, column) for cell in cells])):
                axes.set_xscale("log", nonpositive="clip")
            axes.set_title(heading, fontsize=9)
            axes.grid(axis="x", alpha=0.3)
            axes.tick_params(labelsize=8)
        panels[0].set_yticks(range(len(cells)), cells)
        panels[0].invert_yaxis()
        for axes in panels[len(columns) :]:
            axes.set_visible(False)
        return figure

    def curves(self, name: str, log: bool = False) -> Figure:
        """Draw a curve of each cell over the steps: the mean over the seeds, and the range between them."""
        figure = Figure(figsize=(9.5, 4.4), dpi=110, layout="constrained")
        axes = figure.subplots()
        for number, cell in enumerate(self.study.cells):
            found = [r["curves"] for r in self.by_cell[cell].values() if name in r.get("curves", {})]
            if not found:
                continue
            shortest = min(len(curve[name]) for curve in found)
            values = np.array([curve[name][:shortest] for curve in found], dtype=float)
            steps = found[0]["step"][:shortest]
            dashes = ("-", "--", ":")[number // 10 % 3]  # there are ten colours
            (line,) = axes.plot(steps, values.mean(0), dashes, label=cell, linewidth=1.4)
            axes.fill_between(steps, values.min(0), values.max(0), color=line.get_color(), alpha=0.12, linewidth=0)
        axes.set(xlabel="step", ylabel=name.replace("_", " "), yscale="log" if log else "linear")
        figure.legend(fontsize=7, loc="outside right upper")
        axes.grid(alpha=0.3)
        return figure


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table of Markdown, numbers to the right of the first column."""
    lines = ["| " + " | ".join(row) + " |" for row in (head, *rows)]
    return "\n".join([lines[0], "|---|" + "--:|" * (len(head) - 1), *lines[1:]])


def _many_decades(values: np.ndarray) -> bool:
    """Return whether a linear axis would show the largest of these numbers alone."""
    known = np.abs(values[np.isfinite(values)])
    return bool(len(known)) and bool((known > 0).all()) and known.max() > 1000 * known.min()


def interval(values: np.ndarray) -> tuple[float, float]:
    """Return mean and half width of the 95 % interval of Student's t; NaN where there are too few numbers."""
    values = values[~np.isnan(values)]
    if not len(values):
        return math.nan, math.nan
    if len(values) == 1:
        return float(values[0]), math.nan
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / math.sqrt(len(values))
    return float(values.mean()), float(half)


def is_seen(mean: float, half: float) -> bool:
    """Return whether an interval excludes 0; never that of a single seed, which has none."""
    return abs(mean) > half


def shown(mean: float, half: float, sign: bool = False) -> str:
    """Return "mean ± half width" with as many digits as the interval supports; `sign` for a plus before the mean."""
    plus = "+" if sign else ""
    if math.isnan(mean):
        return "-"
    # Rounding of equal numbers leaves an interval too.
    if math.isnan(half) or half <= 1e-12 * abs(mean):
        whole = float(mean).is_integer() and abs(mean) < 1e9
        return f"{mean:{plus}.0f}" if whole else f"{mean:{plus}.3g}"
    digits = max(0, 1 - math.floor(math.log10(half)))
    if digits > 5 or abs(mean) >= 1e6:
        return f"{mean:{plus}.3g} ± {half:.2g}"
    return f"{mean:{plus}.{digits}f} ± {half:.{digits}f}"
