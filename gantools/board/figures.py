"""Figures of spectra and samples; NumPy and matplotlib only, no torch."""

import math
import textwrap
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from gantools.board.frames import Frame, neutral_size
from gantools.board.results import Spectrum

ATTRACTS, REPELS, NEUTRAL = "#2b6cb0", "#c53030", "#888888"
FEW = 60
SMALL, SMALLEST = 8, 7  # points, in figures of three inches
LINE = 42  # characters of a title there

Group = tuple[np.ndarray, str, str]


def small_figure(height: float) -> Figure:
    """Return a figure for a card of 300 pixels, as TensorBoard shows pictures: three inches wide, drawn fine."""
    return Figure(figsize=(3.0, height), dpi=200, layout="constrained")


def heading(*lines: str) -> str:
    """Return a title of these lines, those that are too long for a small figure broken."""
    return "\n".join(part for line in lines for part in textwrap.wrap(line, LINE))


def small_print(*panels: Any) -> None:
    """Set title, labels, ticks and legend of axes in the sizes of a small figure."""
    for axes in panels:
        axes.tick_params(labelsize=SMALLEST, pad=2)
        for text in (axes.title, axes.xaxis.label, axes.yaxis.label):
            text.set_fontsize(SMALL)
        for text in axes.get_legend().get_texts() if axes.get_legend() else ():
            text.set_fontsize(SMALLEST)


def spectrum_figure(
    spectrum: Spectrum,
    title: str = "",
    neutral: float | None = None,
    noun: str = "eigenvalues",
    frame: Frame | None = None,
) -> Figure:
    """Draw eigenvalues in the complex plane, or real ones as a histogram (few of them one by one).

    Axes are symmetric-logarithmic where sizes span more than a decade: the eigenvalues of one GAN span many orders of
    magnitude, and both signs matter. Blue attracts, red repels (negative real part, or outside the unit circle for a
    map), grey is neutral; hollow ones are not converged. Eigenvalues that are not finite are counted in the title and
    left out.

    Args:
        spectrum: has `values` (k,), and may have `kind`, `n`, `complete` and `converged`.
        title: above the figure.
        neutral: eigenvalues within this distance of 0 (of 1 for a map) are neutral; 1e-7 of the largest by default.
        noun: what they are called.
        frame: the axes of the run, which grow to hold these eigenvalues; by default of this spectrum alone.
    """
    values: Any = np.asarray(spectrum.values)
    converged = np.asarray(getattr(spectrum, "converged", np.ones(len(values), bool)))
    finite = np.isfinite(values)
    said = _counted(spectrum, noun, len(values), int((~converged).sum()), int((~finite).sum()))
    values, converged = values[finite], converged[finite]
    kind = getattr(spectrum, "kind", "field")
    neutral = neutral_size(values) if neutral is None else neutral
    groups = _groups(values, kind, neutral)
    shared = frame is not None
    frame = (frame or Frame()).include(values, neutral)
    figure = small_figure(2.9)
    axes = figure.add_subplot()
    if np.iscomplexobj(values):
        _plane(axes, values, groups, converged, kind, frame)
    elif len(values) <= FEW:
        _few(axes, values, groups, converged, frame)
    else:
        _histogram(axes, values, groups, frame)
    axes.set_title(heading(title, said), fontsize=SMALL)
    axes.tick_params(labelsize=SMALLEST, pad=2)
    axes.grid(alpha=0.2)
    if shared:
        axes.set_xlabel(f"{axes.get_xlabel()}\naxes: the largest so far in this run")
    if groups:
        # Below the axes: inside, it covers points of a cloud that fills them.
        look = {"columnspacing": 1.0, "handletextpad": 0.2, "frameon": False}
        figure.legend(fontsize=SMALLEST, loc="outside lower center", ncols=2, **look)
    return figure


def _counted(spectrum: Any, noun: str, count: int, unconverged: int, infinite: int) -> str:
    whole = "" if getattr(spectrum, "complete", True) else f" of {spectrum.n}"
    which = f" ({spectrum.which})" if whole and getattr(spectrum, "which", "") else ""
    notes = [f"{unconverged} not converged"] if unconverged else []
    notes += [f"{infinite} not finite, not shown"] if infinite else []
    return ", ".join([f"{count}{whole} {noun}{which}", *notes])


def _groups(values: Any, kind: str, neutral: float) -> list[Group]:
    """Return (mask, colour, label) of those that attract, repel and are neutral, without empty groups."""
    is_neutral = np.abs(values - (1.0 if kind == "map" else 0.0)) <= neutral
    attracts = (np.abs(values) < 1 if kind == "map" else values.real > 0) & ~is_neutral
    groups = [
        (attracts, ATTRACTS, "attract"),
        (~attracts & ~is_neutral, REPELS, "repel"),
        (is_neutral, NEUTRAL, f"neutral, |λ{' - 1' if kind == 'map' else ''}| ≤ {neutral:.0e}"),
    ]
    return [(mask, colour, f"{mask.sum()} {label}") for mask, colour, label in groups if mask.any()]


def _plane(axes: Any, values: Any, groups: list[Group], converged: np.ndarray, kind: str, frame: Frame) -> None:
    size, note = 4 if len(values) > 200 else 10, ""
    for mask, colour, label in groups:
        # The neutral lie on one spot, however many they are: a cross there, their number in the legend.
        marker = "x" if colour == NEUTRAL else "o"
        _points(axes, values.real, values.imag, mask, converged, colour, label, s=size, marker=marker)
    if kind == "map":
        circle: Any = np.exp(1j * np.linspace(0, 2 * math.pi, 400))
        axes.plot(circle.real, circle.imag, color="#444444", linewidth=0.8, label="unit circle", zorder=0)
        axes.set_aspect("equal")
        reach = max(1.1, *frame.imaginary, -frame.real[0], frame.real[1])
        axes.set_xlim(-reach, reach)
        axes.set_ylim(-reach, reach)
    else:
        note = _scale(axes.set_xscale, axes.xaxis, axes.set_xlim, frame.threshold, frame.real)
        _scale(axes.set_yscale, axes.yaxis, axes.set_ylim, frame.threshold, frame.imaginary)
        axes.axvline(0, color="#444444", linewidth=0.8, zorder=0)
        _shade(axes.axvspan, axes.set_xlim, *frame.real)
    axes.axhline(0, color="#bbbbbb", linewidth=0.6, zorder=0)
    axes.set_xlabel("Re λ" + note, fontsize=SMALL, labelpad=1)
    axes.set_ylabel("Im λ", fontsize=SMALL, labelpad=1)


def _points(
    axes: Any, x: np.ndarray, y: np.ndarray, mask: np.ndarray, good: np.ndarray, colour: str, label: str, **look: Any
) -> None:
    """Draw the points of a group, hollow where they are not converged."""
    if (mask & good).any():
        axes.scatter(x[mask & good], y[mask & good], color=colour, alpha=0.6, linewidths=0.8, label=label, **look)
        label = ""
    if (hollow := mask & ~good).any():
        look = look | {"marker": "o", "facecolors": "none", "edgecolors": colour}
        axes.scatter(x[hollow], y[hollow], linewidths=0.8, label=label, **look)


def _shade(span: Any, set_limits: Any, low: float, high: float) -> None:
    """Shade where the real part is negative."""
    if low < 0:
        span(low, min(0.0, high), color=REPELS, alpha=0.05, linewidth=0)
    set_limits(low, high)


def _scale(set_scale: Any, axis: Any, set_limits: Any, threshold: float, limits: tuple[float, float]) -> str:
    """Set limits, and a symmetric-logarithmic scale with few ticks where there is a threshold; return what to say."""
    if not threshold:
        axis.set_major_locator(MaxNLocator(5, symmetric=True))
        set_limits(*limits)
        return ""
    set_scale("symlog", linthresh=threshold, linscale=0.6)
    set_limits(*limits)
    top, bottom = (math.floor(math.log10(1.001 * size)) for size in (max(-limits[0], limits[1]), threshold))
    # Those of matplotlib overlap at 0.
    decades = [10.0**power for power in range(top, bottom, -1 if top - bottom <= 2 else -2)]
    axis.set_major_locator(FixedLocator([*(-x for x in decades), 0.0, *decades]))
    axis.set_minor_locator(NullLocator())
    return f" (log, linear below 1e{bottom})"


def _few(axes: Any, values: Any, groups: list[Group], converged: np.ndarray, frame: Frame) -> None:
    for mask, colour, label in groups:
        _points(axes, np.arange(1, len(values) + 1), values, mask, converged, colour, label, s=10)
    note = _scale(axes.set_yscale, axes.yaxis, axes.set_ylim, frame.threshold, frame.real)
    _shade(axes.axhspan, axes.set_ylim, *frame.real)
    axes.axhline(0, color="#444444", linewidth=0.8, zorder=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlim(0.5, frame.count + 0.5)
    axes.set_xlabel("rank, best first", fontsize=SMALL, labelpad=1)
    axes.set_ylabel(f"λ{note}", fontsize=SMALL, labelpad=1)


def _histogram(axes: Any, values: Any, groups: list[Group], frame: Frame) -> None:
    note = _scale(axes.set_xscale, axes.xaxis, axes.set_xlim, frame.threshold, frame.real)
    scale = axes.get_xaxis().get_transform()
    low, high = (float(x) for x in scale.transform(np.array(frame.real)))
    # Equal widths on the axis as it is drawn, and one bin for the neutral around 0.
    edges = scale.inverted().transform(np.linspace(low, high, 81))
    if threshold := frame.threshold:
        edges = np.unique(np.concatenate([edges[np.abs(edges) > threshold / 20], [-threshold / 20, threshold / 20]]))
    for mask, colour, label in groups:
        axes.hist(values[mask], bins=edges, color=colour, alpha=0.8, label=label)
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(0, frame.count)
    _shade(axes.axvspan, axes.set_xlim, *frame.real)
    axes.axvline(0, color="#444444", linewidth=0.8, zorder=0)
    axes.set_xlabel(f"λ{note}", fontsize=SMALL, labelpad=1)
    axes.set_ylabel("count", fontsize=SMALL, labelpad=1)


def image_grid(images: np.ndarray, columns: int | None = None, scale: int = 1) -> np.ndarray:
    """Return images (N, C, H, W) in [-1, 1] as one uint8 picture (H', W', 3), `columns` a row, pixels `scale` wide."""
    n, channels, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = -(-n // columns)
    pixels = ((np.clip(np.nan_to_num(images, nan=-1.0), -1, 1) + 1) * 127.5).round().astype(np.uint8)
    if channels not in (1, 3):
        pixels = pixels[:, : 3 if channels == 4 else 1]  # colours without their opacity; else the first channel
    pixels = np.broadcast_to(pixels, (n, 3, height, width)) if pixels.shape[1] == 1 else pixels
    pixels = pixels.repeat(scale, 2).repeat(scale, 3)
    height, width = height * scale, width * scale
    grid = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, 3), (70, 90, 140), np.uint8)
    for index, image in enumerate(pixels):
        top, left = (index // columns) * (height + 1) + 1, (index % columns) * (width + 1) + 1
        grid[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return grid


def scatter_figure(samples: np.ndarray, reference: np.ndarray, title: str = "") -> Figure:
    """Draw points (N, d), d >= 2, in their first two coordinates over reference points (M, d); d = 1 as histograms.

    Samples that are not finite are left out.
    """
    figure = small_figure(3.0)
    axes = figure.add_subplot()
    samples = samples[np.isfinite(samples).all(1)]
    if samples.shape[1] == 1:
        edges: Any = np.histogram_bin_edges(np.concatenate([samples, reference]), 60)
        axes.hist(reference[:, 0], edges, color=NEUTRAL, alpha=0.5, density=True, label="data")
        axes.hist(samples[:, 0], edges, color=ATTRACTS, alpha=0.6, density=len(samples) > 0, label="generator")
    else:
        axes.scatter(reference[:, 0], reference[:, 1], s=5, c=NEUTRAL, alpha=0.5, linewidths=0, label="data")
        axes.scatter(samples[:, 0], samples[:, 1], s=5, c=ATTRACTS, alpha=0.5, linewidths=0, label="generator")
        # The frame is the data's, so that pictures of one run can be compared; the rare far sample lies outside.
        low, high = reference[:, :2].min(0), reference[:, :2].max(0)
        margin = 0.25 * (high - low).max()
        axes.set_xlim(low[0] - margin, high[0] + margin)
        axes.set_ylim(low[1] - margin, high[1] + margin)
        axes.set_aspect("equal")
    axes.set_title(heading(title), fontsize=SMALL)
    axes.tick_params(labelsize=SMALLEST, pad=2)
    legend = axes.legend(fontsize=SMALLEST, loc="upper right", markerscale=2)
    for handle in filter(None, legend.legend_handles):
        handle.set_alpha(1)  # of a single dot, paler ones cannot be told apart
    return figure
