"""Figures of spectra and samples; NumPy and matplotlib only, no torch."""

import math
from typing import Any

import numpy as np
from matplotlib.figure import Figure

ATTRACTS, REPELS, NEUTRAL = "#2b6cb0", "#c53030", "#888888"


def spectrum_figure(spectrum: Any, title: str = "", neutral: float | None = None) -> Figure:
    """Draw eigenvalues in the complex plane, or a histogram of real ones.

    Both axes are symmetric-logarithmic: the eigenvalues of one GAN span many orders of magnitude, and both signs
    matter. Blue attracts, red repels (negative real part, or outside the unit circle for a map), grey is neutral.

    Args:
        spectrum: has `values` (k,), and may have `kind`, `n`, `complete` and `converged`.
        neutral: eigenvalues within this distance of 0 (of 1 for a map) are neutral; by default as in `stability`.
    """
    values = np.asarray(spectrum.values)
    kind = getattr(spectrum, "kind", "field")
    if neutral is None:
        neutral = float(getattr(spectrum, "neutral_tolerance", 0.0)) or 1e-7 * float(np.abs(values).max(initial=1e-30))
    centre = 1.0 if kind == "map" else 0.0
    is_neutral = np.abs(values - centre) <= neutral
    attracts = (np.abs(values) < 1 if kind == "map" else values.real > 0) & ~is_neutral
    figure = Figure(figsize=(6.4, 4.8), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    groups = [(attracts, ATTRACTS, "attracts"), (~attracts & ~is_neutral, REPELS, "repels"), (is_neutral, NEUTRAL, "neutral")]
    if np.iscomplexobj(values):
        _plane(axes, values, groups, kind, neutral)
    else:
        _histogram(axes, values, groups)
    count = f"{len(values)} of {spectrum.n} eigenvalues" if not getattr(spectrum, "complete", True) else f"{len(values)} eigenvalues"
    unconverged = int((~np.asarray(getattr(spectrum, "converged", np.ones(len(values), bool)))).sum())
    note = f", {unconverged} not converged" if unconverged else ""
    axes.set_title(f"{title}\n{count}{note}" if title else f"{count}{note}", fontsize=10)
    return figure


def _plane(axes: Any, values: np.ndarray, groups: list, kind: str, neutral: float) -> None:
    for mask, colour, label in groups:
        if mask.any():
            axes.scatter(
                values.real[mask], values.imag[mask], s=14, c=colour, alpha=0.7, linewidths=0, label=f"{label} ({mask.sum()})"
            )
    if kind == "map":
        circle = np.exp(1j * np.linspace(0, 2 * math.pi, 400))
        axes.plot(circle.real, circle.imag, color="#444444", linewidth=0.8)
        axes.set_aspect("equal", adjustable="datalim")
    else:
        _symlog(axes.set_xscale, values.real, neutral)
        _symlog(axes.set_yscale, values.imag, neutral)
        axes.axvline(0, color="#444444", linewidth=0.8)
        low, high = axes.get_xlim()
        if low < 0:
            axes.axvspan(low, 0, color=REPELS, alpha=0.05, linewidth=0)
        axes.set_xlim(low, high)
    axes.axhline(0, color="#bbbbbb", linewidth=0.6, zorder=0)
    axes.set_xlabel("Re λ")
    axes.set_ylabel("Im λ")
    axes.grid(alpha=0.2)
    axes.legend(fontsize=8, loc="best")


def _symlog(set_scale: Any, parts: np.ndarray, neutral: float) -> None:
    sizes = np.abs(parts)[np.abs(parts) > neutral]
    if not len(sizes):
        return
    # Linear below the smaller typical size, so that the cluster at zero does not take most of the axis.
    threshold = max(float(np.quantile(sizes, 0.1)), float(sizes.max()) * 1e-5)
    set_scale("symlog", linthresh=threshold, linscale=0.5)


def _histogram(axes: Any, values: np.ndarray, groups: list) -> None:
    if len(values) <= 60:
        for mask, colour, label in groups:
            if mask.any():
                axes.scatter(np.flatnonzero(mask), values[mask], s=14, c=colour, label=f"{label} ({mask.sum()})")
        axes.set_xlabel("index, best first")
        axes.set_ylabel("λ")
    else:
        edges = np.linspace(values.min(), values.max(), 80)
        for mask, colour, label in groups:
            if mask.any():
                axes.hist(values[mask], bins=edges, color=colour, alpha=0.8, label=f"{label} ({mask.sum()})")
        axes.set_yscale("symlog", linthresh=1)
        axes.set_xlabel("λ")
        axes.set_ylabel("count")
    axes.axhline(0, color="#bbbbbb", linewidth=0.6, zorder=0)
    axes.grid(alpha=0.2)
    axes.legend(fontsize=8, loc="best")


def image_grid(images: np.ndarray, columns: int | None = None, scale: int = 1) -> np.ndarray:
    """Return images (N, C, H, W) in [-1, 1] as one uint8 picture (H', W', 3), `columns` a row, each pixel `scale` wide."""
    n, channels, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = -(-n // columns)
    pixels = ((np.clip(images, -1, 1) + 1) * 127.5).round().astype(np.uint8)
    if channels not in (1, 3):
        pixels = pixels[:, :1]
    pixels = np.broadcast_to(pixels, (n, 3, height, width)) if pixels.shape[1] == 1 else pixels
    pixels = pixels.repeat(scale, 2).repeat(scale, 3)
    height, width = height * scale, width * scale
    grid = np.full((rows * (height + 1) + 1, columns * (width + 1) + 1, 3), 40, np.uint8)
    for index, image in enumerate(pixels):
        top, left = (index // columns) * (height + 1) + 1, (index % columns) * (width + 1) + 1
        grid[top : top + height, left : left + width] = image.transpose(1, 2, 0)
    return grid


def scatter_figure(samples: np.ndarray, reference: np.ndarray, title: str = "") -> Figure:
    """Draw points (N, d), d >= 2, in their first two coordinates over reference points (M, d); d = 1 as histograms."""
    figure = Figure(figsize=(4.8, 4.8), dpi=110, layout="constrained")
    axes = figure.add_subplot()
    if samples.shape[1] == 1:
        edges = np.histogram_bin_edges(np.concatenate([samples, reference]), 60)
        axes.hist(reference[:, 0], edges, color=NEUTRAL, alpha=0.5, density=True, label="data")
        axes.hist(samples[:, 0], edges, color=ATTRACTS, alpha=0.6, density=True, label="generator")
    else:
        axes.scatter(reference[:, 0], reference[:, 1], s=4, c=NEUTRAL, alpha=0.4, linewidths=0, label="data")
        axes.scatter(samples[:, 0], samples[:, 1], s=4, c=ATTRACTS, alpha=0.4, linewidths=0, label="generator")
        # The frame is the data's, so that pictures of one run can be compared; the rare far sample lies outside.
        low, high = reference[:, :2].min(0), reference[:, :2].max(0)
        margin = 0.25 * (high - low).max()
        axes.set_xlim(low[0] - margin, high[0] + margin)
        axes.set_ylim(low[1] - margin, high[1] + margin)
        axes.set_aspect("equal")
    axes.set_title(title, fontsize=10)
    axes.legend(fontsize=8, loc="upper right")
    return figure
