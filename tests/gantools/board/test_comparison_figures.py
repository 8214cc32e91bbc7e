"""The figures of comparisons: points where the numbers are, every method named once, and no name over another."""

import numpy as np
import pytest

from gantools.board import rates_figure, trainings_figure
from gantools.board.comparison_figures import _spread
from tests.quick import few


def rate(method, predicted, observed, evaluations=1.0):
    factor = 0.01 if observed is None else observed
    distances = list(np.minimum(factor ** np.arange(60.0), 1e300))
    return {
        "method": method, "predicted": predicted, "observed": observed, "evaluations": evaluations,
        "distances": distances,
    }  # fmt: skip


ROWS = [
    *(rate(f"method_{k}", 0.9 - 0.001 * k, 0.9 - 0.001 * k) for k in range(24)),
    rate("grows", 1.05, 1.0501), rate("stays", 1.0, 1.0), rate("at_once", 1e-7, None), rate("adapts", None, 0.99, 3.5),
]  # fmt: skip


def names(axes):
    return [text.get_text() for text in axes.texts]


def test_rates_stand_on_the_diagonal_and_every_method_is_named():
    figure = rates_figure(ROWS, "a game")
    left, right = figure.axes
    (points,) = [c.get_offsets() for c in left.collections]
    assert len(points) == len(ROWS) - 2  # without a predicted or an observed rate there is no point
    assert np.abs(points[:, 0] - points[:, 1]).max() < 1e-4
    assert abs(points[:, 1].min() + np.log10(1.0501)) < 1e-12
    assert "differ by at most 0.0095 %" in left.get_title()
    assert sorted(names(left)) == sorted(row["method"] for row in ROWS if row["method"] not in ("at_once", "adapts"))
    assert sorted(names(right)) == sorted(row["method"] for row in ROWS)
    assert np.allclose(right.lines[0].get_xdata()[1], 1.0)
    (slow,) = [line for line in right.lines if np.isclose(line.get_xdata()[1], 3.5)]
    assert np.allclose(slow.get_ydata(), 0.99 ** np.arange(60.0))


@pytest.mark.parametrize("rows", few([ROWS[:1], ROWS[-1:], ROWS[-2:-1], ROWS[-3:-2], ROWS[24:25], []], 2))
def test_few_rows_are_drawn_too(rows, tmp_path):
    figure = rates_figure(rows)
    figure.savefig(tmp_path / "a.png")
    known = [row for row in rows if None not in (row["predicted"], row["observed"])]
    assert sum(len(c.get_offsets()) for c in figure.axes[0].collections) == len(known)
    assert sorted(names(figure.axes[1])) == sorted(row["method"] for row in rows)


@pytest.mark.parametrize("places", [[0.5] * 24, list(np.linspace(-0.3, 1.4, 10)), [0.99, 1.0, 1.0], [0.2], []])
def test_names_do_not_cover_each_other(places):
    spread = np.array(_spread(places))
    assert len(spread) == len(places)
    if len(places):
        assert spread.min() >= -1e-12 and spread.max() <= 1 + 1e-12
        ranks = np.argsort(places, kind="stable")
        assert (np.diff(spread[ranks]) > 0.04).all()


def training(method, seed, **values):
    return {"method": method, "seed": seed, "stopped": None, "field_norm": 1.0, "seconds": 0.01, **values}


def test_every_seed_is_a_dot():
    rows = [training("a", 0, modes=8, quality=0.9), training("a", 1, modes=7, quality=0.8)]
    rows += [training("b", 0, modes=3, quality=0.4, stopped="The field is NaN", field_norm=None)]
    figure = trainings_figure(rows, "ring8")
    assert [axes.get_xlabel() for axes in figure.axes] == [
        "modes covered", "fraction near a mode", "norm of the field", "ms a step"
    ]  # fmt: skip
    found = [np.concatenate([c.get_offsets() for c in axes.collections]) for axes in figure.axes]
    assert [len(points) for points in found] == [3, 3, 2, 3]
    assert sorted(found[0][:, 0]) == [3, 7, 8] and np.allclose(found[3][:, 0], 10)
    assert "red: diverged" in figure.get_suptitle()
    assert len(trainings_figure([training("a", 0, modes=None)]).axes) == 2
