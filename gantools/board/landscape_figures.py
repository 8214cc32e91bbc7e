"""Figures of paths, lines, planes and pseudospectra; NumPy and matplotlib only, no torch."""

import math
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from gantools.board.figures import ATTRACTS, NEUTRAL, REPELS, SMALL, SMALLEST, heading, small_figure, small_print
from gantools.board.results import FieldOfValues, Line, PathAngle, Plane, Pseudospectrum

DARK = "#444444"
ARROWS = 16  # at most so many arrows a side


def path_figure(path: PathAngle, title: str = "") -> Figure:
    """Draw the path-angle over the path-norm and the losses, with the start and the end marked.

    Args:
        path: what `gantools.analysis.path_angle` returned.
        title: above the figure.
    """
    figure = small_figure(4.2)
    angle, norm, loss = figure.subplots(3, 1, sharex=True, height_ratios=(3, 2, 2))
    angle.plot(path.alpha, path.cosine, color=DARK, linewidth=1.4)
    positive, negative = np.nan_to_num(path.cosine).clip(min=0), np.nan_to_num(path.cosine).clip(max=0)
    angle.fill_between(path.alpha, positive, color=ATTRACTS, alpha=0.15, linewidth=0)
    angle.fill_between(path.alpha, negative, color=REPELS, alpha=0.15, linewidth=0)
    angle.set_ylim(-1.05, 1.05)
    angle.set_ylabel("cosine with start - end")
    for player, values, colour in _by_player(path.norms):
        norm.plot(path.alpha, values, color=colour, linewidth=1, label=player)
    norm.plot(path.alpha, path.norm, color=DARK, linewidth=1.4, label="all" if len(path.norms) > 1 else None)
    _log_scale(norm, path.norm)
    norm.set_ylabel("norm of the field")
    for player, values, colour in _by_player(path.losses):
        loss.plot(path.alpha, values, color=colour, linewidth=1.4, label=player)
    loss.set_ylabel("loss")
    loss.set_xlabel("position: 0 is the start, 1 the end")
    for axes in (angle, norm, loss):
        axes.axvline(0, color=NEUTRAL, linewidth=0.8, linestyle=":")
        axes.axvline(1, color=NEUTRAL, linewidth=0.8, linestyle="--")
        axes.grid(alpha=0.2)
    angle.axhline(0, color=DARK, linewidth=0.8)
    if len(path.losses) > 1:
        norm.legend(fontsize=8)
    angle.set_title(heading(title or f"path-angle, length {path.distance:.3g}, n = {path.n}"))
    small_print(angle, norm, loss)
    return figure


def line_figure(line: Line, title: str = "") -> Figure:
    """Draw the losses along a line, over the field's part along it.

    Args:
        line: what `gantools.analysis.line` returned.
        title: above the figure.
    """
    figure = small_figure(3.2)
    loss, slope = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    for player, values, colour in _by_player(line.losses):
        loss.plot(line.positions, values, color=colour, linewidth=1.4, label=player)
    loss.set_ylabel("loss")
    slope.plot(line.positions, line.slope, color=DARK, linewidth=1.4)
    slope.axhline(0, color=DARK, linewidth=0.8)
    slope.set_ylabel("field along the line")
    slope.set_xlabel(f"position, in lengths of the direction ({line.length:.3g})")
    for axes in (loss, slope):
        axes.axvline(0, color=NEUTRAL, linewidth=0.8, linestyle="--")
        axes.grid(alpha=0.2)
    if len(line.losses) > 1:
        loss.legend(fontsize=8)
    loss.set_title(heading(title or f"along a line, n = {line.n}"))
    small_print(loss, slope)
    return figure


def plane_figure(plane: Plane, title: str = "") -> Figure:
    """Draw each player's loss in a plane, with arrows where the players move.

    Arrows have the field's direction in the plane, and a length that grows with the logarithm of its size.

    Args:
        plane: what `gantools.analysis.plane` returned.
        title: above the figure.
    """
    count = len(plane.losses)
    figure = small_figure(0.4 + 2.4 * count)
    panels = figure.subplots(count, 1, squeeze=False, sharex=True)[:, 0]
    for axes, (player, values) in zip(panels, plane.losses.items(), strict=True):
        levels = _levels(values)
        if levels is None:
            axes.set_xlim(plane.x[0], plane.x[-1])
            axes.set_ylim(plane.y[0], plane.y[-1])
        else:
            # Colours by rank: a bowl's rim must not take all of them.
            shares = np.linspace(0.05, 1, len(levels) - 1)
            drawn = axes.contourf(plane.x, plane.y, values, levels, colors=colormaps["viridis"](shares))
            axes.contour(plane.x, plane.y, values, levels, colors="white", linewidths=0.3)
            bar = figure.colorbar(drawn, ax=axes, format="%.3g", ticks=levels[:: max(1, len(levels) // 5)], pad=0.02)
            bar.ax.tick_params(labelsize=SMALLEST, pad=2)
        _arrows(axes, plane)
        axes.plot(0, 0, "o", color="white", markeredgecolor=DARK, markersize=5)
        axes.set_title(f"loss of {player}" if count > 1 else "loss")
        axes.set_ylabel("second direction", labelpad=1)
        axes.xaxis.set_major_locator(MaxNLocator(5))
    panels[-1].set_xlabel("first direction", labelpad=1)
    small_print(*panels)
    if title:
        figure.suptitle(heading(title), fontsize=SMALL)
    return figure


def nonnormality_figure(
    pseudospectrum: Pseudospectrum | None = None, field_of_values: FieldOfValues | None = None, title: str = ""
) -> Figure:
    """Draw pseudospectra as level lines, the field of values as a boundary, and the eigenvalues.

    Args:
        pseudospectrum, field_of_values: what the functions of these names in `gantools.analysis` returned; either.
        title: above the figure.
    """
    figure = small_figure(3.0)
    axes = figure.add_subplot()
    values = None
    if pseudospectrum is not None:
        values = pseudospectrum.eigenvalues
        logs = np.log10(np.maximum(pseudospectrum.distance, 1e-16))
        low, high = math.floor(float(np.quantile(logs, 0.01))), float(logs.max())
        levels = np.arange(low, high, 1.0 if high - low > 4 else 0.5 if high - low > 2 else 0.25)
        if len(levels) > 1:
            drawn = axes.contour(pseudospectrum.x, pseudospectrum.y, logs, levels, cmap="viridis", linewidths=1)
            bar = figure.colorbar(drawn, ax=axes, pad=0.02)
            bar.set_label("log₁₀ of the perturbation", fontsize=SMALL, labelpad=1)
            bar.ax.tick_params(labelsize=SMALLEST, pad=2)
    if field_of_values is not None:
        boundary = np.append(field_of_values.boundary, field_of_values.boundary[0])
        axes.plot(np.real(boundary), np.imag(boundary), "--", color=NEUTRAL, linewidth=1.2, label="field of values")
        values = field_of_values.eigenvalues if values is None else values
    if values is not None:
        axes.plot(values.real, values.imag, ".", color=DARK, markersize=4, label=f"{len(values)} eigenvalues")
    if getattr(pseudospectrum, "kind", "field") == "map":
        circle = np.exp(1j * np.linspace(0, 2 * math.pi, 400))
        axes.plot(np.real(circle), np.imag(circle), color=REPELS, linewidth=0.8, label="unit circle")
    else:
        axes.axvline(0, color=REPELS, linewidth=0.8)
    axes.axhline(0, color="#bbbbbb", linewidth=0.6, zorder=0)
    axes.set_aspect("equal", adjustable="datalim")
    axes.set_xlabel("Re λ", labelpad=1)
    axes.set_ylabel("Im λ", labelpad=1)
    axes.grid(alpha=0.2)
    if axes.get_legend_handles_labels()[0]:
        look = {"columnspacing": 1.0, "handletextpad": 0.4, "frameon": False}
        figure.legend(fontsize=SMALLEST, loc="outside lower center", ncols=2, **look)
    axes.set_title(heading(title))
    small_print(axes)
    return figure


def _by_player(values: dict[str, np.ndarray]) -> list[tuple[str, np.ndarray, Any]]:
    if len(values) == 1:
        return [(player, v, DARK) for player, v in values.items()]
    colours = colormaps["tab10"].colors  # pyright: ignore[reportAttributeAccessIssue]
    return [(player, v, colours[i % 10]) for i, (player, v) in enumerate(values.items())]


def _log_scale(axes: Any, values: np.ndarray) -> None:
    positive = values[np.isfinite(values) & (values > 0)]
    if len(positive) and positive.max() > 10 * positive.min():
        axes.set_yscale("log")


def _levels(values: np.ndarray) -> np.ndarray | None:
    """Return the values that separate colours, as many points of the picture between any two; None of a constant."""
    finite = values[np.isfinite(values)]
    if not len(finite) or not np.ptp(finite) > 1e-12 * np.abs(finite).max():
        return None
    levels = np.unique(np.quantile(finite, np.linspace(0, 1, 21)))
    return levels[np.append(True, np.diff(levels) > 1e-9 * np.ptp(finite))] if len(levels) > 2 else None


def _arrows(axes: Any, plane: Any) -> None:
    every = max(1, -(-len(plane.x) // ARROWS))
    u, v = -plane.field[::every, ::every, 0], -plane.field[::every, ::every, 1]
    size = np.hypot(u, v)
    moves = np.isfinite(size) & (size > 0)
    if not moves.any():
        return
    # The field spans decades in one picture: lengths between a third and the whole of the distance between arrows.
    logs = np.log10(np.where(moves, size, 1.0))
    span = max(float(np.ptp(logs[moves])), 1e-9)
    length = np.where(moves, 1 / 3 + 2 / 3 * (logs - logs[moves].min()) / span, 0.0)
    scale = length / np.where(moves, size, 1.0)
    step = float(plane.x[every] - plane.x[0]) if len(plane.x) > every else 1.0
    look = {"color": "#222222", "width": 0.004, "alpha": 0.8, "pivot": "mid"}
    u, v = np.where(moves, u * scale * step, 0.0), np.where(moves, v * scale * step, 0.0)
    axes.quiver(plane.x[::every], plane.y[::every], u, v, angles="xy", scale_units="xy", scale=1.1, **look)
