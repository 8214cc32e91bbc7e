"""Figures of spectra and samples; NumPy and matplotlib only, no torch."""

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

ATTRACTS, REPELS, NEUTRAL = "#2b6cb0", "#c53030", "#888888"
FEW = 60

Group = tuple[np.ndarray, str, str]


def spectrum_figure(spectrum: Any, title: str = "", neutral: float | None = None, noun: str = "eigenvalues") -> Figure:
    """Draw eigenvalues in the complex plane, or real ones as a histogram (few of them one by one).

    Axes are symmetric-logarithmic: the eigenvalues of one GAN span many orders of magnitude, and both signs matter.
    Blue attracts, red repels (negative real part, or outside the unit circle for a map), grey is neutral; hollow ones
    are not converged. Eigenvalues that are not finite are counted in the title and left out.

    Args:
        spectrum: has `values` (k,), and may have `kind`, `n`, `complete` and `converged`.
        neutral: eigenvalues within this distance of 0 (of 1 for a map) are neutral; 1e-7 of the largest by default.
    """
    values: Any = np.asarray(spectrum.values)
    converged = np.asarray(getattr(spectrum, "converged", np.ones(len(values), bool)))
    finite = np.isfinite(values)
    heading = _heading(spectrum, len(values), int((~converged).sum()), int((~finite).sum()))
    values, converged = values[finite], converged[finite]
    kind = getattr(spectrum, "kind", "field")
    if neutral is None:
        neutral = 1e-7 * float(np.abs(values).max(initial=1e-30))
    groups = _groups(values, kind, neutral)
    figure = Figure(figsize=(5.2, 4.4), dpi=130, layout="constrained")  # TensorBoard shows it small
    axes = figure.add_subplot()
    if np.iscomplexobj(values):
        _plane(axes, values, groups, converged, kind, neutral)
    elif len(values) <= FEW:
        _few(axes, values, groups, converged, neutral)
    else:
        _histogram(axes, values, groups, neutral)
    axes.set_title(f"{title}\n{heading}" if title else heading, fontsize=10)
    axes.grid(alpha=0.2)
    if groups:
        # Below the axes: inside, it covers points of a cloud that fills them.
        figure.legend(fontsize=8, loc="outside lower center", ncols=3)
    return figure


def _heading(spectrum: Any, count: int, unconverged: int, infinite: int) -> str:
    whole = "" if getattr(spectrum, "complete", True) else f" of {spectrum.n}"
    which = f" ({spectrum.which})" if whole and getattr(spectrum, "which", "") else ""
    notes = [f"{unconverged} not converged"] if unconverged else []
    notes += [f"{infinite} not finite, not shown"] if infinite else []
    return ", ".join([f"{count}{whole} eigenvalues{which}", *notes])


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


def _plane(axes: Any, values: Any, groups: list[Group], converged: np.ndarray, kind: str, neutral: float) -> None:
    size = 14 if len(values) > 200 else 26
    for mask, colour, label in groups:
        # The neutral lie on one spot, however many they are: a cross there, their number in the legend.
        marker = "x" if colour == NEUTRAL else "o"
        _points(axes, values.real, values.imag, mask, converged, colour, label, s=size, marker=marker)
    if kind == "map":
        circle: Any = np.exp(1j * np.linspace(0, 2 * math.pi, 400))
        axes.plot(circle.real, circle.imag, color="#444444", linewidth=0.8, label="unit circle", zorder=0)
        axes.set_aspect("equal", adjustable="datalim")
    else:
        _symlog(axes.set_xscale, axes.xaxis, values.real, neutral)
        _symlog(axes.set_yscale, axes.yaxis, values.imag, neutral)
        axes.axvline(0, color="#444444", linewidth=0.8, zorder=0)  # and so 0 is in view
        _shade(axes.axvspan, axes.set_xlim, *axes.get_xlim())
    axes.axhline(0, color="#bbbbbb", linewidth=0.6, zorder=0)
    axes.set_xlabel("Re λ")
    axes.set_ylabel("Im λ")


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


def _symlog(set_scale: Any, axis: Any, parts: np.ndarray, neutral: float) -> float:
    """Set a symmetric-logarithmic scale and return where it becomes linear; 0 and a linear scale for like sizes."""
    sizes = np.abs(parts)[np.abs(parts) > neutral]
    if not len(sizes):
        return 0.0
    # At most four decades: below them, and below the smallest twentieth of those that are not neutral, all is near 0.
    threshold = max(float(np.quantile(sizes, 0.05)), float(sizes.max()) * 1e-4)
    top, bottom = math.floor(math.log10(sizes.max())), math.ceil(math.log10(threshold))
    if top - bottom < 1:
        return 0.0
    set_scale("symlog", linthresh=threshold, linscale=0.6)
    # Those of matplotlib overlap at 0.
    decades = [10.0**power for power in range(top, bottom, -1 if top - bottom <= 2 else -2)]
    axis.set_major_locator(FixedLocator([*(-x for x in decades), 0.0, *decades]))
    axis.set_minor_locator(NullLocator())
    return threshold


def _few(axes: Any, values: Any, groups: list[Group], converged: np.ndarray, neutral: float) -> None:
    for mask, colour, label in groups:
        _points(axes, np.arange(1, len(values) + 1), values, mask, converged, colour, label, s=26)
    if len(values):
        _symlog(axes.set_yscale, axes.yaxis, values, neutral)
        _shade(axes.axhspan, axes.set_ylim, *axes.get_ylim())
    axes.axhline(0, color="#444444", linewidth=0.8, zorder=0)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set_xlabel("rank, best first")
    axes.set_ylabel("λ")


def _histogram(axes: Any, values: Any, groups: list[Group], neutral: float) -> None:
    threshold = _symlog(axes.set_xscale, axes.xaxis, values, neutral)
    scale = axes.get_xaxis().get_transform()
    low, high = (float(x) for x in scale.transform(np.array([values.min(), values.max()])))
    # Equal widths on the axis as it is drawn, and one bin for the neutral around 0.
    edges = scale.inverted().transform(np.linspace(low, high, 81)) if high > low else low + np.array([-0.5, 0.5])
    if threshold:
        edges = np.unique(np.concatenate([edges[np.abs(edges) > threshold / 20], [-threshold / 20, threshold / 20]]))
    for mask, colour, label in groups:
        axes.hist(values[mask], bins=edges, color=colour, alpha=0.8, label=label)
    axes.set_yscale("symlog", linthresh=1)
    axes.set_ylim(0)
    _shade(axes.axvspan, axes.set_xlim, *axes.get_xlim())
    axes.axvline(0, color="#444444", linewidth=0.8, zorder=0)
    axes.set_xlabel("λ")
    axes.set_ylabel("count")


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
    axes.set_title(title, fontsize=SMALL)
    axes.tick_params(labelsize=SMALLEST, pad=2)
    axes.legend(fontsize=SMALLEST, loc="upper right")
    return figure
