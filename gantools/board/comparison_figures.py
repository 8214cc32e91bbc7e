"""Figures that compare optimizers; NumPy and matplotlib only, no torch."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullLocator

from gantools.board.figures import ATTRACTS, NEUTRAL, REPELS

LINEAR = 1e-4  # digits a step, below which the axes are linear
FLOOR, CEILING = 1e-12, 1e4
Row = Mapping[str, Any]


def rates_figure(rows: Sequence[Row], title: str = "") -> Figure:
    """Draw predicted against observed contraction on the diagonal, and the distance over the evaluations spent.

    Args:
        rows: each has `method`, `predicted` and `observed` (factors a step, or None), `evaluations` a step, and
            `distances` (steps + 1,).
        title: above both.
    """
    rows = sorted(rows, key=lambda row: -_digits(row["observed"]))
    colours = _colours(rows)
    height = max(4.6, 0.24 * len(rows) + 1.4)
    figure = Figure(figsize=(12.6, height), dpi=110, layout="constrained")
    left, right = figure.subplots(1, 2)
    _diagonal(left, rows, colours)
    _distances(right, rows, colours)
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def _digits(rate: float | None) -> float:
    """Return the digits gained a step; without a rate the equilibrium was reached at once."""
    return math.inf if rate is None else -math.log10(max(rate, 1e-300))


def _colours(rows: Sequence[Row]) -> list[Any]:
    """Return a colour for each row, from fast to slow; those that gain nothing are grey, those that lose are red."""
    gains = [_digits(row["observed"]) for row in rows]
    fast = sum(gain > 1e-6 for gain in gains)
    shades = iter(colormaps["viridis"](np.linspace(0.0, 0.88, max(fast, 1))))
    return [next(shades) if gain > 1e-6 else REPELS if gain < -1e-6 else NEUTRAL for gain in gains]


def _diagonal(axes: Any, rows: Sequence[Row], colours: Sequence[Any]) -> None:
    shown = [
        (row, colour)
        for row, colour in zip(rows, colours, strict=True)
        if row["predicted"] is not None and row["observed"] is not None
    ]
    points = np.array([[_digits(row["predicted"]), _digits(row["observed"])] for row, _ in shown]).reshape(-1, 2)
    if not shown:
        axes.set_title("no method with a rate to compare", fontsize=9)
        return
    smallest = float(np.abs(points[np.abs(points) > 1e-6]).min(initial=1.0))
    threshold = max(LINEAR, 10.0 ** math.floor(math.log10(smallest)))
    for set_scale, axis in ((axes.set_xscale, axes.xaxis), (axes.set_yscale, axes.yaxis)):
        set_scale("symlog", linthresh=threshold, linscale=0.5)
        _decades(axis, points, threshold)
    high = 1.6 * float(points.max(initial=threshold))
    low = min(-0.3 * threshold, 1.6 * float(points.min(initial=0.0)))
    axes.plot([low, high], [low, high], color="#bbbbbb", linewidth=1, zorder=0)
    axes.axhline(0, color="#dddddd", linewidth=0.8, zorder=0)
    axes.axvline(0, color="#dddddd", linewidth=0.8, zorder=0)
    axes.scatter(points[:, 0], points[:, 1], s=34, c=[colour for _, colour in shown], zorder=3, linewidths=0)
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    axes.set_xlabel("predicted: digits gained a step, $-\\log_{10}$ of the update's spectral radius", fontsize=9)
    axes.set_ylabel("observed: digits gained a step", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.15)
    _labels(axes, list(points), [(row["method"], colour) for row, colour in shown])
    worst = f"{100 * max(abs(row['observed'] / row['predicted'] - 1) for row, _ in shown):.2g} %"
    axes.set_title(f"predicted and observed factors a step differ by at most {worst}", fontsize=9)


def _decades(axis: Any, points: np.ndarray, threshold: float) -> None:
    """Put ticks at the decades on both sides; those of matplotlib overlap at 0."""
    first, last = round(math.log10(threshold)), math.ceil(math.log10(max(float(np.abs(points).max()), threshold)))
    decades = [10.0**power for power in range(first, last + 1)]
    negative = [-d for d in decades if points.min() <= -d / 2]
    axis.set_major_locator(FixedLocator([*negative, 0.0, *decades]))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))


def _labels(axes: Any, points: Sequence[Any], labels: Sequence[tuple[str, Any]], below: bool = False) -> None:
    """Name points in a column at the right, or in a row below, evenly spaced, each with a line to its point."""
    along = 0 if below else 1
    places = _spread([axes.transLimits.transform(axes.transScale.transform(p))[along] for p in points])
    for point, (name, colour), place in zip(points, labels, places, strict=True):
        axes.annotate(
            name,
            xy=point,
            xytext=(place, -0.045) if below else (1.06, place),
            textcoords="axes fraction",
            fontsize=8,
            color=colour,
            rotation=90 if below else 0,
            va="top" if below else "center",
            ha="center" if below else "left",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": colour,
                "linewidth": 0.6,
                "alpha": 0.7,
                "relpos": (0.5, 1.0) if below else (0.0, 0.5),
                "shrinkA": 1,
                "shrinkB": 1 if below else 3,
            },
        )


def _spread(places: Sequence[float]) -> list[float]:
    """Return places in [0, 1], in the same order and near where they were, a line of text from each other."""
    order = np.argsort(places, kind="stable")
    kept = np.clip(np.asarray(places, float)[order], 0, 1)
    gap = min(0.042, 1 / max(len(kept) - 1, 1))
    for i in range(1, len(kept)):
        kept[i] = max(kept[i], kept[i - 1] + gap)
    kept[-1:] = np.minimum(kept[-1:], 1)
    for i in range(len(kept) - 2, -1, -1):
        kept[i] = min(kept[i], kept[i + 1] - gap)
    result = np.empty(len(kept))
    result[order] = kept
    return result.tolist()


def _distances(axes: Any, rows: Sequence[Row], colours: Sequence[Any]) -> None:
    span = _span(rows)
    arrived, others = [], []
    for row, colour in zip(rows, colours, strict=True):
        distance = np.maximum(np.asarray(row["distances"], float), 1e-300)
        spent = row["evaluations"] * np.arange(len(distance))
        axes.plot(spent, distance, color=colour, linewidth=1.1, alpha=0.9)
        inside = (spent <= span) & (distance >= FLOOR) & (distance <= CEILING)
        last = (len(inside) if inside.all() else int(np.argmin(inside))) - 1
        label = (row["method"], colour)
        if last + 1 < len(distance) and distance[last + 1] < FLOOR:
            # Where the curve crosses the floor, between two steps.
            depths = np.log(distance[last : last + 2] / FLOOR)
            arrived.append(((spent[last] + row["evaluations"] * depths[0] / (depths[0] - depths[1]), FLOOR), label))
        else:
            others.append(((spent[last], distance[last]), label))
    axes.set_yscale("log")
    axes.set_xlim(0, span)
    axes.set_ylim(FLOOR, max(10.0, min(CEILING, max([end[1] for end, _ in others], default=1.0) * 3)))
    axes.xaxis.set_label_position("top")  # below stand the names of those that arrive
    axes.xaxis.tick_top()
    axes.set_xlabel("evaluations spent: gradients and products", fontsize=9)
    axes.set_ylabel("distance to the equilibrium, memory included", fontsize=9)
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.15)
    for found, below in ((arrived, True), (others, False)):
        _labels(axes, [end for end, _ in found], [label for _, label in found], below)


def _span(rows: Sequence[Row]) -> float:
    """Return the evaluations by which half of those that converge have gained twelve digits."""
    needed = [12 * row["evaluations"] / _digits(row["observed"]) for row in rows if _digits(row["observed"]) > 1e-6]
    return max(float(np.median(needed)) if needed else 0.0, 100.0)


def trainings_figure(rows: Sequence[Row], title: str = "") -> Figure:
    """Draw what training runs reached, a line for each method and a dot for each seed, best method first.

    Args:
        rows: each has `method`, `field_norm`, `seconds` and `stopped`, and may have `modes` and `quality`.
        title: above the panels.
    """
    methods = list(dict.fromkeys(row["method"] for row in rows))
    rows = [{**row, "ms": None if row["seconds"] is None else 1e3 * row["seconds"]} for row in rows]
    panels = [("field_norm", "norm of the field", True), ("ms", "ms a step", True)]
    if any(row.get("modes") is not None for row in rows):
        panels = [("modes", "modes covered", False), ("quality", "fraction near a mode", False), *panels]
    figure = Figure(figsize=(2.6 * len(panels) + 1.6, 0.24 * len(methods) + 1.6), dpi=110, layout="constrained")
    drawn = figure.subplots(1, len(panels), sharey=True)
    for axes, (name, label, logarithmic) in zip(np.atleast_1d(drawn), panels, strict=True):
        _dots(axes, rows, methods, name)
        if logarithmic:
            axes.set_xscale("log")
            narrow = np.divide(*axes.get_xlim()[::-1]) < 300
            axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,)))
            axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
            axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel(label, fontsize=9)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.15)
    first: Any = np.atleast_1d(drawn)[0]
    first.set_yticks(range(len(methods)), methods)
    first.set_ylim(len(methods) - 0.5, -0.5)
    if any(row["stopped"] for row in rows):
        title += " (red: diverged)"
    if title:
        figure.suptitle(title, fontsize=11)
    return figure


def _dots(axes: Any, rows: Sequence[Row], methods: Sequence[str], name: str) -> None:
    for index, method in enumerate(methods):
        own = [row for row in rows if row["method"] == method and row.get(name) is not None]
        values = np.array([row[name] for row in own], float)
        good = np.isfinite(values) & (values > 0 if name in ("field_norm", "ms") else True)
        colours = [REPELS if row["stopped"] else ATTRACTS for row in own]
        axes.axhline(index, color="#eeeeee", linewidth=0.8, zorder=0)
        if good.any():
            reach = values[good].min(), values[good].max()
            axes.plot(reach, [index, index], color="#9fb8d0", linewidth=1.5, zorder=1)
        # Seeds that agree lie on one another: a little apart, they can be counted.
        offsets = 0.22 * (np.arange(len(own)) - (len(own) - 1) / 2)
        kept = [(v, index + o, c) for v, o, c, g in zip(values, offsets, colours, good, strict=True) if g]
        if kept:
            x, y, c = zip(*kept, strict=True)
            axes.scatter(x, y, s=16, c=c, zorder=2, linewidths=0)
