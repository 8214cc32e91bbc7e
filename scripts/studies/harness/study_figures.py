"""Figures of a study's results: every column by cell, and curves over the steps."""

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from harness.study_results import Results

BLUE, GREY = "#0072b2", "#9aa5b1"  # told apart by the colour-blind, and in grey


def by_cell(results: "Results") -> Figure:
    """Draw a panel for each column: a dot for each seed, mean and interval for each cell."""
    cells, columns = list(results.study.cells), results.study.columns
    across = min(3, len(columns))
    down = -(-len(columns) // across)
    figure = Figure(figsize=(3.4 * across + 1.2, (0.26 * len(cells) + 1.1) * down), dpi=110, layout="constrained")
    panels = figure.subplots(down, across, sharey=True, squeeze=False).ravel()
    for axes, (column, heading) in zip(panels, columns.items(), strict=False):
        for y, cell in enumerate(cells):
            values = results.values(cell, column)
            beside = y + np.linspace(-0.2, 0.2, len(values)) * (len(values) > 1)  # equal ones beside each other
            axes.plot(values, beside, ".", color=GREY, markersize=4, label="a seed")
            found = results.estimate(cell, column)
            ends = [[found.mean - found.low], [found.high - found.mean]]
            known = not np.isnan(ends).any()
            axes.errorbar(found.mean, y, xerr=ends if known else None, fmt="o", color=BLUE, capsize=3, ms=4,
                          label="mean and 95 % interval")  # fmt: skip
        if _many_decades(np.array([results.values(cell, column) for cell in cells])):
            axes.set_xscale("log", nonpositive="clip")
        axes.set_xlabel(heading, fontsize=9)
        axes.grid(axis="x", alpha=0.3)
        axes.tick_params(labelsize=8)
    panels[0].set_yticks(range(len(cells)), cells)
    panels[0].set_ylim(len(cells) - 0.5, -0.5)  # whole markers in the first and the last row
    for axes in panels[len(columns) :]:
        axes.set_visible(False)
    _explained(figure, panels[0])
    return figure


def curves(results: "Results", name: str, log: bool = False) -> Figure | None:
    """Draw a panel for each cell: mean and range of its seeds over the steps, the other cells' means in grey.

    None where no result has this curve.
    """
    found = {cell: [r["curves"] for r in seeds.values() if name in r.get("curves", {})]
             for cell, seeds in results.by_cell.items() if cell in results.study.cells}  # fmt: skip
    curves = {cell: over_steps(runs, name) for cell, runs in found.items() if runs}
    if not curves:
        return None
    across = min(4, len(curves))
    down = -(-len(curves) // across)
    size = (2.5 * across + 0.6, 1.9 * down + 0.6)
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    panels = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    for axes, (cell, (steps, values)) in zip(panels.flat, curves.items(), strict=False):
        for other, (its_steps, its_values) in curves.items():
            if other != cell:
                axes.plot(
                    its_steps,
                    its_values.mean(0),
                    color=GREY,
                    linewidth=0.6,
                    alpha=0.6,
                    label="means of other cells",
                )
        axes.plot(steps, values.mean(0), color=BLUE, linewidth=1.5, label="mean")
        axes.fill_between(steps, values.min(0), values.max(0), color=BLUE, alpha=0.25, linewidth=0, label="seeds")
        axes.set_title(textwrap.fill(cell, 34), fontsize=8)
        axes.set_yscale("log" if log else "linear")
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
    for axes in panels.flat[len(curves) :]:
        axes.set_visible(False)
    for axes in panels.flat[max(0, len(curves) - across) : len(curves)]:
        axes.tick_params(labelbottom=True)  # the lowest that is seen in its column
    figure.supxlabel("step", fontsize=9)
    figure.supylabel(name.replace("_", " "), fontsize=9)
    _explained(figure, panels[0, 0])
    return figure


def over_steps(runs: Sequence[Mapping[str, Sequence[float]]], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the steps (m,) that all runs of a cell have and their curves (runs, m)."""
    shortest = min(len(run[name]) for run in runs)
    return np.array(runs[0]["step"][:shortest]), np.array([run[name][:shortest] for run in runs], dtype=float)


def _explained(figure: Figure, axes: Axes) -> None:
    """Put what the marks of a panel are above all panels, each once."""
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), loc="outside upper center", ncols=3, fontsize=8)


def _many_decades(values: np.ndarray) -> bool:
    """Return whether a linear axis would show the largest of these numbers alone."""
    known = np.abs(values[np.isfinite(values)])
    return bool(len(known)) and bool((known > 0).all()) and known.max() > 1000 * known.min()
