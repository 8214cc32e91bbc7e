"""Figures of densities, indices and Ritz values: what is drawn is what was computed."""

import numpy as np
import pytest
import torch

from gantools.analysis import LinearOperator, index, ritz_cloud, spectral_density
from gantools.board import cloud_figure, density_figure, index_figure
from tests import oracles


def spectrum_with_an_atom():
    return oracles.symmetric([*([0.0] * 70), *np.linspace(-1, -0.2, 10), *np.linspace(0.1, 3, 20)])


def test_density_figure_shows_curve_band_and_atom(tmp_path):
    density = spectral_density(spectrum_with_an_atom(), probes=4, steps=40)
    figure = density_figure(density, "title")
    top, bottom = figure.axes
    assert "title\n100 eigenvalues, 4 probes of" in top.get_title() and "% zero" in top.get_title()
    x, y = top.lines[0].get_data()
    np.testing.assert_array_equal(x, density.grid)
    above = density.density > top.get_ylim()[0]
    np.testing.assert_allclose(np.asarray(y)[above], density.density[above])
    band = bottom.collections[0].get_paths()[0].vertices
    assert band[:, 1].min() >= 0 and band[:, 1].max() <= 1
    figure.savefig(tmp_path / "x.png")


@pytest.mark.parametrize("method", ["exact", "estimate"])
def test_index_figure_shows_the_curve_and_the_tolerance(method, tmp_path):
    found = index(spectrum_with_an_atom(), tol=1e-3, method=method)
    figure = index_figure(found, "title")
    (axes,) = figure.axes
    assert axes.get_title().endswith("exact" if method == "exact" else "bands at 95%")
    lines = {line.get_label(): line.get_ydata() for line in axes.lines}
    np.testing.assert_array_equal(lines["negative"], found.curve.negative[:, 0])
    np.testing.assert_array_equal(axes.lines[-1].get_xdata(), [1e-3, 1e-3])
    figure.savefig(tmp_path / "x.png")


def test_figures_of_a_zero_operator(tmp_path):
    zero = LinearOperator(torch.zeros_like, 6, symmetric=True)
    figure = index_figure(index(zero))
    shown = {line.get_label(): (line.get_ydata()[0], line.get_marker()) for line in figure.axes[0].lines}
    assert shown["zero"] == (1.0, "o") and shown["negative"] == (0.0, "o")
    figure.savefig(tmp_path / "x.png")
    density = spectral_density(zero, probes=1, steps=4)
    assert density.atom == (1.0, 1.0) and not density.density.any()
    figure = density_figure(density)
    assert "1 probe of 1 step, 100.0% to 100.0% zero" in figure.axes[0].get_title().replace("\n", " ")
    figure.savefig(tmp_path / "x.png")


def test_cloud_figure_fills_what_is_trusted(tmp_path):
    A, _ = oracles.rotations(np.linspace(-1, 1, 40), np.linspace(0.1, 2, 40), outliers=[9.0, 8.0])
    cloud = ritz_cloud(A, starts=2, steps=30)
    trusted = len(cloud.trusted())
    figure = cloud_figure(cloud, "title")
    filled = [len(line.get_xdata()) for line in figure.axes[0].lines if line.get_fillstyle() == "full"]
    hollow = [len(line.get_xdata()) for line in figure.axes[0].lines if line.get_fillstyle() == "none"]
    assert 0 < trusted < 60 and sum(hollow) == 60 - trusted
    assert sum(filled) == trusted + 2  # both ends of the axis, which is a line as well
    assert "title\nRitz values, 2 starts of 30 steps" in figure.axes[0].get_title()
    assert f"Residuals of {trusted} among 60 are below 0.001" in str(cloud)
    figure.savefig(tmp_path / "x.png")
