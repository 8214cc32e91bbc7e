"""Figures of the ring of eight Gaussians: samples over the steps, and spectra before and after training."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from harness import study
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

METHODS, BASE = ("consensus", "simultaneous"), "rmsprop"
LINEAR = 1e-4  # below it the axes of spectra are linear
BLUE, ORANGE = "#0072b2", "#d55e00"  # of Okabe and Ito, told apart by the colour-blind
GAMMA = "J + $\\gamma$ J$^T$ J"


def pictured(results: study.Results) -> dict[str, Any]:
    """Return, by method, the pictures of the first seed; empty where a run has none."""
    found = {m: results.by_cell.get(f"{m}, {BASE}", {}).get(0, {}).get("pictures") for m in METHODS}
    return {} if None in found.values() else found


def samples(results: study.Results) -> Figure | None:
    """Draw the samples of both methods at every look, over the modes."""
    if not (found := pictured(results)):
        return None
    steps = found[METHODS[0]]["steps"]
    figure = Figure(figsize=(2 * len(steps) + 0.6, 4.6), dpi=110, layout="constrained")
    panels = figure.subplots(2, len(steps), sharex=True, sharey=True, squeeze=False)
    angles = 2 * np.pi * np.arange(8) / 8
    for row, method in zip(panels, METHODS, strict=True):
        for axes, step, points in zip(row, steps, found[method]["samples"], strict=True):
            x, y = np.array(points).T
            axes.scatter(x, y, s=3, alpha=0.4, linewidths=0, color=BLUE, label="samples")
            axes.scatter(np.cos(angles), np.sin(angles), marker="x", color=ORANGE, s=18, linewidths=1, label="modes")
            axes.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6), aspect="equal")
            axes.set_title(f"{method}, step {step}", fontsize=8)
            axes.tick_params(labelsize=7)
    figure.supxlabel("first coordinate", fontsize=8)
    figure.supylabel("second coordinate", fontsize=8)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=8)
    return figure


def ends(results: study.Results) -> Figure | None:
    """Draw, for both methods, J over its largest modulus and h D^-1 J at the end: the same axes in each row."""
    if not (found := pictured(results)):
        return None
    names = {"J": "J / largest |J|", "h D^-1 J": "h D$^{-1}$ J"}
    return _grid([[(f"{method}: {title}", _scaled(found[method][name], name == "J")) for method in METHODS]
                  for name, title in names.items()])  # fmt: skip


def regularized(results: study.Results) -> Figure | None:
    """Draw J and J + gamma J^T J at the start and at the end of both methods, each over its largest modulus."""
    if not (found := pictured(results)):
        return None
    columns = [(METHODS[0], "start", "start"), *((method, "end", f"end of {method}") for method in METHODS)]
    titles = {"J": "J", "J + gamma J^T J": GAMMA}
    rows = [
        [(f"{title}: {label}", _scaled(found[method][f"{name}, {when}"], True)) for method, when, title in columns]
        for name, label in titles.items()
    ]
    return _grid(rows)


def _scaled(pairs: Sequence[Sequence[float]], relative: bool) -> np.ndarray:
    real, imaginary = np.array(pairs).T
    values = real + 1j * imaginary
    return values / abs(values).max() if relative else values


def _grid(rows: Sequence[Sequence[tuple[str, np.ndarray]]]) -> Figure:
    across = len(rows[0])
    figure = Figure(
        figsize=(4.4 * across if across < 3 else 3.6 * across, 3.2 * len(rows)), dpi=110, layout="constrained"
    )
    panels = figure.subplots(len(rows), across, sharex="row", sharey="row", squeeze=False)
    for axes, (title, values) in zip(panels.flat, (panel for row in rows for panel in row), strict=True):
        _spectrum(axes, title, values)
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2, fontsize=9)
    return figure


def _spectrum(axes: Axes, title: str, values: np.ndarray) -> None:
    repels = values.real < 0
    kinds: Mapping[str, Any] = {
        "Re ≥ 0": (values[~repels], {"s": 8, "color": BLUE, "alpha": 0.5}),
        "Re < 0": (values[repels], {"s": 10, "color": ORANGE, "marker": "^", "alpha": 0.6}),
    }
    for label, (own, style) in kinds.items():
        axes.scatter(own.real, own.imag, label=label, **style)
    axes.axvline(0, color="#444444", linewidth=0.8, zorder=0)
    axes.axhline(0, color="#bbbbbb", linewidth=0.6, zorder=0)
    axes.set_title(title, fontsize=9)
    axes.set_xlabel(f"Re (log, linear below {LINEAR:g})", fontsize=8)
    axes.set_ylabel("Im", fontsize=8)
    for axis, set_scale in ((axes.xaxis, axes.set_xscale), (axes.yaxis, axes.set_yscale)):
        set_scale("symlog", linthresh=LINEAR)
        axis.set_major_locator(FixedLocator([-1, -1e-2, 0, 1e-2, 1]))  # those of matplotlib overlap at 0
        axis.set_minor_locator(NullLocator())
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.2)
