"""TensorBoard's side: figures of any spectrum without a warning, its summaries, its server's mistakes."""

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

import gantools as gt
from gantools.board import add_spectrum, image_grid, scatter_figure, serve, spectrum_figure, spectrum_scalars
from tests.quick import few

NAN, INF = float("nan"), float("inf")


def spectrum(values, kind="field", converged=None, n=None):
    values = np.asarray(values)
    converged = np.ones(len(values), bool) if converged is None else np.asarray(converged)
    return SimpleNamespace(values=values, kind=kind, converged=converged, n=n or len(values), complete=n is None)


def cloud(n, seed=0):
    rng = np.random.default_rng(seed)
    half = rng.lognormal(-4, 3, n // 2) * np.exp(1j * rng.normal(0, 0.6, n // 2))
    return np.concatenate([half, half.conj()])


SPECTRA = {
    "cloud": spectrum(np.concatenate([cloud(2000), np.zeros(300)])),
    "a few": spectrum(cloud(20), n=40_000),
    "one": spectrum([1 + 0j]),
    "one real": spectrum([2.0]),
    "none": spectrum(np.zeros(0, complex)),
    "none real": spectrum(np.zeros(0)),
    "zero": spectrum([0j]),
    "zeros": spectrum(np.zeros(100)),
    "equal": spectrum(np.full(100, 3.0)),
    "rotation": spectrum([1j, -1j]),
    "repelling": spectrum([-1 - 1j, -1 + 1j]),
    "with nan": spectrum([NAN + 0j, 1, 2, INF], converged=[False, True, True, False]),
    "only nan": spectrum([NAN, NAN]),
    "tiny and huge": spectrum([1e-300, 1.0, 1e300, -1e300]),
    "hessian": spectrum(np.concatenate([cloud(900).real, -(10.0 ** np.arange(-9, 3)), np.zeros(500)]), "hessian"),
    "few real": spectrum([3.0, 2.0, 1e-3, -1.0], "hessian", [True, True, True, False], n=50),
    "map": spectrum(np.concatenate([0.97 * np.exp(1j * np.linspace(0, 6, 50)), np.ones(9), [1.2]]), "map"),
}


def labels(figure):
    return [text.get_text() for legend in figure.legends for text in legend.get_texts()]


@pytest.mark.parametrize("name", few(SPECTRA, 4))
def test_any_spectrum_is_drawn(name, tmp_path):
    figure = spectrum_figure(SPECTRA[name], "title")
    figure.savefig(tmp_path / "x.png")
    assert figure.axes[0].get_title().startswith("title\n")


def test_the_figure_counts():
    values = [3 + 1j, 3 - 1j, -0.5, 0, 1e-9]
    figure = spectrum_figure(spectrum(values, n=77, converged=[True, True, False, True, True]))
    assert figure.axes[0].get_title() == "5 of 77 eigenvalues, 1 not converged"
    assert labels(figure) == ["2 attract", "1 repel", "2 neutral, |λ| ≤ 3e-07"]
    assert "1 not finite, not shown" in spectrum_figure(SPECTRA["only nan"]).axes[0].get_title().replace("2", "1")
    assert labels(spectrum_figure(spectrum(values), neutral=1.0)) == ["2 attract", "3 neutral, |λ| ≤ 1e+00"]


def test_a_map_is_judged_by_the_unit_circle():
    figure = spectrum_figure(spectrum([0.5j, -0.5j, -2, 1, 0], "map"))
    assert labels(figure) == ["3 attract", "1 repel", "1 neutral, |λ - 1| ≤ 2e-07", "unit circle"]
    figure.savefig("/dev/null", format="png")
    axes = figure.axes[0]
    to_pixels = axes.transData.transform([[0, 0], [1, 0], [0, 1]])
    assert np.isclose(*(np.linalg.norm(to_pixels[i] - to_pixels[0]) for i in (1, 2)))  # a circle, not an ellipse


@pytest.mark.slow
def test_ticks_do_not_overlap():
    for name in ("cloud", "hessian", "few real"):
        figure = spectrum_figure(SPECTRA[name])
        figure.savefig("/dev/null", format="png")
        for axis in (figure.axes[0].xaxis, figure.axes[0].yaxis):
            boxes = [label.get_window_extent() for label in axis.get_ticklabels() if label.get_text()]
            assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i]), name


def test_scalars():
    assert spectrum_scalars(spectrum([3 + 4j, 3 - 4j, -1])) == {
        "max_real": 3.0, "min_real": -1.0, "max_imaginary": 4.0, "spectral_radius": 5.0,
    }  # fmt: skip
    assert spectrum_scalars(spectrum([2.0, -1.0], "hessian")) == {"max_real": 2.0, "min_real": -1.0}
    some = spectrum([3 + 4j, 3 - 4j, -1], n=9)
    told = {"LM": {"spectral_radius": 5.0}, "SR": {"min_real": -1.0}, "LR": {"max_real": 3.0}, "SM": {}}
    for which, expected in told.items():
        some.which = which
        assert spectrum_scalars(some) == expected
    some.which, some.doubt = "SR", "One may be missing."
    assert spectrum_scalars(some) == {}
    some.doubt, some.converged = "", np.array([False, True, True])
    assert spectrum_scalars(some) == {}
    assert spectrum_scalars(SPECTRA["with nan"])["max_real"] == 2.0
    assert spectrum_scalars(SPECTRA["only nan"]) == spectrum_scalars(SPECTRA["none"]) == {}


@pytest.mark.parametrize("make", [gt.analysis.spectrum, lambda a: gt.analysis.eigenvalues(a, 3, "LR")])
def test_a_spectrum_of_ours_in_tensorboard(tmp_path, make):
    matrix = torch.tensor([[1.0, 2, 0, 0], [-2, 1, 0, 0], [0, 0, -0.5, 0], [0, 0, 0, 3]], dtype=torch.float64)
    with SummaryWriter(str(tmp_path)) as writer:
        add_spectrum(writer, "game/jacobian", make(gt.analysis.LinearOperator(lambda u: matrix @ u, 4)), 7)
    seen = EventAccumulator(str(tmp_path))
    seen.Reload()
    assert [event.step for event in seen.Images("game/jacobian")] == [7]
    assert np.isclose(seen.Scalars("game/jacobian/max_real")[0].value, 3.0)


def test_image_grid():
    images = np.zeros((5, 1, 2, 3), np.float32)
    images[0], images[4] = -1, 9
    grid = image_grid(images)
    assert grid.shape == (2 * 3 + 1, 3 * 4 + 1, 3) and grid.dtype == np.uint8
    assert (grid[1:3, 1:4] == 0).all() and (grid[4:6, 5:8] == 255).all() and (grid[1:3, 5:8] == 128).all()
    assert image_grid(images, columns=5, scale=4).shape == (2 * 4 + 2, 5 * 13 + 1, 3)
    assert image_grid(np.zeros((2, 3, 2, 2))).shape == image_grid(np.zeros((2, 4, 2, 2))).shape


def test_the_frame_of_samples_is_the_datas():
    reference = np.array([[0.0, 0.0], [1.0, 1.0]])
    axes = scatter_figure(np.array([[99.0, 0.0]]), reference).axes[0]
    assert axes.get_xlim()[1] < 2


def test_server_mistakes(tmp_path):
    with pytest.raises(gt.GantoolsError, match="There is no folder"):
        serve(tmp_path / "nowhere")
    with pytest.raises(gt.GantoolsError, match="holds no TensorBoard events"):
        serve(tmp_path)
    (tmp_path / "events.out.tfevents.1").write_bytes(b"")
    for port in (-1, 70_000):
        with pytest.raises(gt.GantoolsError, match=f"Port {port} cannot be used"):
            serve(tmp_path, port)


def test_the_board_loads_no_torch():
    code = "import sys, gantools.runs.store.events, gantools.board; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_an_event_file_that_is_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "events.out.tfevents.1.host.1.0")
    for show in (lambda: serve(tmp_path), lambda: gt.board.report(tmp_path, "title")):
        with pytest.raises(gt.GantoolsError, match="is no regular file"):
            show()
