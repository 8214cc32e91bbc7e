"""Figures of eigenvalue distributions: densities, indices over the tolerance, Ritz values; no torch."""

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from gantools.board.figures import ATTRACTS, NEUTRAL, REPELS, SMALL, SMALLEST, heading, small_figure
from gantools.board.results import Density, Index, RitzCloud

DARK = "#444444"
COLOURS = {"negative": REPELS, "zero": NEUTRAL, "positive": ATTRACTS}


def density_figure(density: Density, title: str = "") -> Figure:
    """Draw a spectral density, on a logarithmic scale, over the bounds on its distribution function.

    The density is smoothed and has no bound; the distribution function below it lies in its band at each point with the
    stated confidence. An atom at zero is left out of the curve and stands in the heading.

    Args:
        density: what `gantools.analysis.spectral_density` returned.
        title: above the figure.
    """
    grid, smooth = np.asarray(density.grid), np.asarray(density.density)
    figure = small_figure(3.2)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    # A tenth of what one eigenvalue of n would show as: below it there is nothing to see.
    floor = 0.1 / (density.n * density.width * np.sqrt(2 * np.pi))
    for chosen, colour in ((grid <= 0, REPELS), (grid >= 0, ATTRACTS)):
        top.fill_between(grid[chosen], np.maximum(smooth[chosen], floor), floor, color=colour, alpha=0.3, linewidth=0)
    top.plot(grid, np.maximum(smooth, floor), color=DARK, linewidth=1)
    top.set_yscale("log")
    top.set_ylim(bottom=floor)
    top.set_ylabel("density", fontsize=SMALL, labelpad=1)
    bottom.fill_between(grid, np.asarray(density.lower), np.asarray(density.upper), color=DARK, alpha=0.35, linewidth=0)
    bottom.set_ylim(-0.03, 1.03)
    bottom.set_ylabel(f"fraction below,\nat {density.confidence:.0%}", fontsize=SMALL, labelpad=1)
    bottom.set_xlabel("eigenvalue", fontsize=SMALL, labelpad=1)
    for axes in (top, bottom):
        axes.axvline(0, color=NEUTRAL, linewidth=0.8, linestyle="--")
        axes.grid(alpha=0.2)
        axes.tick_params(labelsize=SMALLEST, pad=2)
    said = f"{density.n} eigenvalues, {_times(density.probes, 'probe')} of {_times(density.steps, 'step')}"
    if density.atom:
        said += f", {density.atom[0]:.1%} to {density.atom[1]:.1%} zero"
    top.set_title(heading(title, said), fontsize=SMALL)
    return figure


def index_figure(index: Index, title: str = "") -> Figure:
    """Draw the fractions of negative, zero and positive eigenvalues over what counts as zero.

    Bands are intervals, lines are exact. The dashed line is the tolerance that the index was taken at.

    Args:
        index: what `gantools.analysis.index` returned, exact or estimated.
        title: above the figure.
    """
    curve = index.curve
    figure = small_figure(2.6)
    axes = figure.add_subplot()
    alone = "o" if len(curve.tolerance) == 1 else None
    for name, colour in COLOURS.items():
        low, high = np.asarray(getattr(curve, name)).T
        axes.fill_between(curve.tolerance, low, high, color=colour, alpha=0.3, linewidth=0)
        for edge in (low, high):
            label = name if edge is low else None
            axes.plot(curve.tolerance, edge, color=colour, linewidth=1.2, marker=alone, label=label)
    if index.tolerance > 0:
        axes.axvline(index.tolerance, color=DARK, linewidth=0.8, linestyle="--")
    if len(curve.tolerance) > 1:
        axes.set_xscale("log")
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("what counts as zero: |eigenvalue| up to", fontsize=SMALL, labelpad=1)
    axes.set_ylabel("fraction", fontsize=SMALL, labelpad=1)
    axes.grid(alpha=0.2)
    axes.tick_params(labelsize=SMALLEST, pad=2)
    figure.legend(fontsize=SMALLEST, loc="outside lower center", ncols=3)
    sure = "exact" if index.counts is not None else f"bands at {index.confidence:.0%}"
    said = f"index of {index.n} eigenvalues, {sure}"
    axes.set_title(heading(title, said), fontsize=SMALL)
    return figure


def cloud_figure(cloud: RitzCloud, title: str = "") -> Figure:
    """Draw Ritz values in the complex plane: filled where their residual is small, hollow where they only outline.

    The same eigenvalue is drawn once for each start that found it.

    Args:
        cloud: what `gantools.analysis.ritz_cloud` returned.
        title: above the figure.
    """
    values: Any = np.asarray(cloud.values)
    trusted = np.asarray(cloud.trusted())
    figure = small_figure(2.7)
    axes = figure.add_subplot()
    for chosen, colour in ((values.real < 0, REPELS), (values.real >= 0, ATTRACTS)):
        sure = np.isin(values, trusted) & chosen
        axes.plot(values[sure].real, values[sure].imag, "o", color=colour, markersize=4, linestyle="")
        rest = chosen & ~sure
        axes.plot(values[rest].real, values[rest].imag, "o", color=colour, markersize=4, fillstyle="none", alpha=0.6)
    axes.axvline(0, color=NEUTRAL, linewidth=0.8, linestyle="--")
    axes.grid(alpha=0.2)
    axes.tick_params(labelsize=SMALLEST, pad=2)
    axes.set_xlabel("Re λ", fontsize=SMALL, labelpad=1)
    axes.set_ylabel("Im λ", fontsize=SMALL, labelpad=1)
    starts, steps = values.shape
    said = f"Ritz values, {_times(starts, 'start')} of {_times(steps, 'step')}; filled: small residual"
    axes.set_title(heading(title, said), fontsize=SMALL)
    return figure


def _times(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"
