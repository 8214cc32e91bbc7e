"""Figures of paths, surfaces and pseudospectra: drawn without a warning whatever they hold, and what they say."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard import SummaryWriter

from gantools.analysis import Line, PathAngle, Plane, field_of_values, pseudospectrum
from gantools.board import (
    add_path,
    add_surface,
    line_figure,
    nonnormality_figure,
    path_figure,
    plane_figure,
)
from tests.oracles import matrix_operator
from tests.quick import few

PLAYERS = ("generator", "discriminator")


def path(players=PLAYERS):
    alpha = np.linspace(-0.1, 1.1, 121)
    s = 1 - alpha
    cosine = s / np.hypot(s, 0.05)
    norms = {player: np.hypot(s, 0.1) * (i + 1) for i, player in enumerate(players)}
    losses = {player: alpha**2 + i for i, player in enumerate(players)}
    return PathAngle(alpha, cosine, np.hypot(s, 0.1), norms, losses, 3.0, 100)


def plane(players=PLAYERS, scale=1.0):
    x = np.linspace(-1, 1, 25)
    b, a = np.meshgrid(x, x, indexing="ij")
    field = np.stack([a - b, a + b], -1)
    losses = {player: scale * (a**2 + (i + 1) * b**2) for i, player in enumerate(players)}
    return Plane(x, x.copy(), losses, field, np.hypot(a, b), (1.0, 2.0), 100)


def line(players=PLAYERS):
    x = np.linspace(-1, 1, 51)
    return Line(x, {player: (x - i) ** 2 for i, player in enumerate(players)}, 2 * x, np.abs(x), 1.5, 100)


WITH_NAN = np.where(np.arange(121) % 7 == 0, np.nan, 0.3)
PATHS = {
    "two players": path(),
    "one player": path(("model",)),
    "with nan": replace(path(), cosine=WITH_NAN, norm=WITH_NAN, losses={"model": WITH_NAN}),
    "only nan": replace(path(), cosine=np.full(121, np.nan), norm=np.zeros(121)),
}
NAN_PLANE = np.where(np.arange(625).reshape(25, 25) % 5 == 0, np.nan, 1.0 * np.arange(625).reshape(25, 25))
PLANES = {
    "two players": plane(),
    "one player": plane(("model",)),
    "steep": plane(scale=1e12),
    "constant": replace(plane(), losses={"model": np.full((25, 25), 3.0)}, field=np.zeros((25, 25, 2))),
    "with nan": replace(plane(), losses={"model": NAN_PLANE}, field=np.full((25, 25, 2), np.nan)),
    "two values": replace(plane(), losses={"model": (np.arange(625).reshape(25, 25) > 300) * 1.0}),
}


@pytest.mark.parametrize("name", few(PATHS, 2))
def test_any_path_is_drawn(name, tmp_path):
    figure = path_figure(PATHS[name], "title")
    figure.savefig(tmp_path / "x.png")
    assert figure.axes[0].get_title() == "title"
    assert "length 3" in path_figure(PATHS[name]).axes[0].get_title()


@pytest.mark.parametrize("name", few(PLANES, 2))
def test_any_plane_is_drawn(name, tmp_path):
    figure = plane_figure(PLANES[name], "title")
    figure.savefig(tmp_path / "x.png")
    players, titles = list(PLANES[name].losses), [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == ([f"loss of {player}" for player in players] if len(players) > 1 else ["loss"])
    colourbars = [axes for axes in figure.axes if not axes.get_title()]
    assert len(colourbars) == (0 if name in ("constant", "two values") else len(players))  # too few levels
    assert figure.axes[0].get_xlim() == pytest.approx((-1, 1)) and figure.get_suptitle() == "title"


def test_arrows_show_where_players_move():
    """Against the field, and no longer than the distance between them."""
    (arrows,) = [c for c in plane_figure(plane(("model",))).axes[0].collections if hasattr(c, "U")]
    x, y, u, v = arrows.X, arrows.Y, np.ravel(arrows.U), np.ravel(arrows.V)
    there = np.hypot(u, v) > 0
    cosine = -(u * (x - y) + v * (x + y))[there] / (np.hypot(u, v) * np.hypot(x - y, x + y))[there]
    np.testing.assert_allclose(cosine, 1.0)
    assert np.hypot(u, v).max() <= np.diff(np.unique(x)).min() + 1e-12


@pytest.mark.parametrize("players", [PLAYERS, ("model",)])
def test_any_line_is_drawn(players, tmp_path):
    figure, drawn = line_figure(line(players), "title"), line(players)
    figure.savefig(tmp_path / "x.png")
    losses, slope = figure.axes
    for curve, values in zip(losses.lines, drawn.losses.values(), strict=False):
        np.testing.assert_array_equal(curve.get_xydata(), np.stack([drawn.positions, values], 1))
    np.testing.assert_array_equal(slope.lines[0].get_ydata(), drawn.slope)
    assert losses.get_title() == "title" and (losses.get_legend() is not None) == (len(players) > 1)


@pytest.mark.slow
@pytest.mark.parametrize("values", [np.arange(1, 6), np.zeros(4)])
def test_pseudospectra_are_drawn(values, tmp_path):
    A = matrix_operator(
        torch.diag(torch.as_tensor(values, dtype=torch.float64))
        + torch.diag(torch.ones(len(values) - 1, dtype=torch.float64), 1)
    )
    found, hull = pseudospectrum(A, points=20), field_of_values(A, angles=16)
    for pair in ((found, hull), (found, None), (None, hull), (replace(found, kind="map"), hull)):
        nonnormality_figure(*pair, title="title").savefig(tmp_path / "x.png")
    labels = [text.get_text() for legend in nonnormality_figure(found, hull).legends for text in legend.get_texts()]
    assert labels == ["field of values", f"{len(values)} eigenvalues"]


@pytest.mark.slow
def test_tensorboard(tmp_path):
    with SummaryWriter(str(tmp_path)) as writer:
        add_path(writer, "game/path", path(), 7)
        add_surface(writer, "game/plane", plane(), 7)
        add_surface(writer, "game/line", line(), 7)
        add_path(writer, "game/short", replace(path(), alpha=np.linspace(0, 0.5, 121)), 7)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    tags = events.Tags()
    assert {"game/path", "game/plane", "game/line"} <= set(tags["images"])
    assert {"game/path/attraction", "game/path/rotation", "game/path/distance"} <= set(tags["scalars"])
    assert "game/short/attraction" not in tags["scalars"] and "game/short/distance" in tags["scalars"]
    assert events.Scalars("game/path/attraction")[0].step == 7
