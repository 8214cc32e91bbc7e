"""Figures that TensorBoard shows in cards of 300 pixels: what is written in them can be read there."""

from functools import cache

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from matplotlib.transforms import Affine2D

from gantools import analysis, board
from gantools.board.frames import Frame
from tests import oracles
from tests.gantools.board.test_landscape_figures import line, path, plane

CARD = 300  # pixels
LEAST = 9  # pixels of the height of a line
TITLE = "analysis/density-discriminator, step 1200000, frechet distance 0.0123"

LARGE = np.concatenate([-np.logspace(-7, 3, 200), np.logspace(-9, 5, 200)])


@cache
def wide():
    """An operator whose eigenvalues have long labels."""
    return oracles.symmetric(np.concatenate([np.zeros(30), LARGE[::9] / 1e5]))


def spectrum(values):
    A = torch.diag_embed(torch.as_tensor(values))
    return analysis.spectrum(analysis.LinearOperator(lambda u: A @ u, len(A), symmetric=not A.is_complex()))


def nonnormal():
    A = oracles.matrix_operator(torch.diag(torch.arange(1.0, 6, dtype=torch.float64)) * 1e-4 + torch.eye(5).double())
    return board.nonnormality_figure(analysis.pseudospectrum(A, points=12), analysis.field_of_values(A, 12), TITLE)


def turning(kind="field"):
    found = analysis.spectrum(oracles.rotations(np.linspace(-9e3, 2, 40), np.logspace(-3, 4, 40))[0])
    object.__setattr__(found, "kind", kind)
    return board.spectrum_figure(found, TITLE, frame=Frame())


FIGURES = {
    "spectrum": turning,
    "spectrum of a map": lambda: turning("map"),
    "few real eigenvalues": lambda: board.spectrum_figure(spectrum(LARGE[::10]), TITLE, frame=Frame()),
    "histogram": lambda: board.spectrum_figure(spectrum(LARGE), TITLE, frame=Frame()),
    "density": lambda: board.density_figure(analysis.spectral_density(wide(), 12, 30), TITLE),
    "index": lambda: board.index_figure(analysis.index(wide(), method="estimate", probes=3, steps=20), TITLE),
    "cloud": lambda: board.cloud_figure(analysis.ritz_cloud(wide(), 12, 20), TITLE),
    "path": lambda: board.path_figure(path(), TITLE),
    "line": lambda: board.line_figure(line(), TITLE),
    "plane of two": lambda: board.plane_figure(plane(scale=1e-7), TITLE),
    "plane of one": lambda: board.plane_figure(plane(("model",), scale=1e12), TITLE),
    "pseudospectra": nonnormal,
    "samples": lambda: board.scatter_figure(np.random.default_rng(0).normal(size=(50, 2)) * 1e4, np.eye(2), TITLE),
}


def texts(figure):
    """Return what is written in a figure as it is drawn, with its box in pixels of a card."""
    FigureCanvasAgg(figure).draw()
    scale = CARD / (figure.get_figwidth() * figure.dpi)
    hidden = {label for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for label in outside(axis)}
    found = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and t not in hidden]
    return [(t, t.get_window_extent().transformed(Affine2D().scale(scale))) for t in found]


def outside(axis):
    """Return the labels of ticks beyond the ends of an axis, which are there but not drawn."""
    low, high = sorted(axis.get_view_interval())
    margin = 1e-9 * (high - low)
    ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
    beyond = [tick for tick in ticks if not low - margin <= tick.get_loc() <= high + margin]
    return [label for tick in beyond for label in (tick.label1, tick.label2)]


@pytest.mark.parametrize("name", FIGURES)
def test_what_is_written_can_be_read_at_300_pixels(name):
    figure = FIGURES[name]()
    written = texts(figure)
    height = CARD * figure.get_figheight() / figure.get_figwidth()
    assert len(written) > 3
    for text, box in written:
        assert text.get_fontsize() * CARD / (72 * figure.get_figwidth()) >= LEAST, text
        assert box.x0 > -1 and box.x1 < CARD + 1 and box.y0 > -1 and box.y1 < height + 1, (text, box)
    for i, (text, box) in enumerate(written):
        for other, place in written[:i]:
            # A pixel of the box around the letters is no letter.
            apart = min(box.x1, place.x1) - max(box.x0, place.x0), min(box.y1, place.y1) - max(box.y0, place.y0)
            assert min(apart) < 1.5, f"{text.get_text()!r} over {other.get_text()!r}"
