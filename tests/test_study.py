"""The runner that the studies share: results kept one by one, intervals, tables, what failed."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import study

from gantools import GantoolsError

CALLS = []


def noisy(cell, seed, folder):
    CALLS.append((cell["mean"], seed))
    if cell["mean"] < 0:
        raise GantoolsError("The field of player 'x' is NaN.")
    value = cell["mean"] + np.random.default_rng(seed).normal()
    return {"value": value, "curves": {"step": [0, 10], "distance": [1.0, value]}}


def small(cells=(0.0, 1.0), seeds=range(4)):
    named = {f"mean {mean}": {"mean": mean} for mean in cells}
    return study.Study("small", noisy, named, {"value": "value", "seconds": "time"}, seeds)


def test_intervals_are_those_of_student():
    mean, half = study.interval(np.array([1.0, 2.0, 3.0, math.nan]))
    assert mean == 2.0 and half == pytest.approx(4.302653 * 1.0 / math.sqrt(3), rel=1e-6)
    assert study.interval(np.array([5.0]))[0] == 5.0 and math.isnan(study.interval(np.array([5.0]))[1])
    assert study.shown(0.12345, 0.0123) == "0.123 ± 0.012" and study.shown(1234.5, 67.8) == "1234 ± 68"
    assert study.shown(math.nan, math.nan) == "-" and study.shown(3.14159, math.nan) == "3.14"


def test_a_part_has_some_cells_and_columns_in_the_order_asked(tmp_path):
    whole = study.execute(small(), tmp_path)
    part = whole.part(["mean 1.0"], ["seconds", "value"])
    assert part.table().splitlines()[0] == "| cell | time | value |" and part.table().count("\n") == 2
    assert np.array_equal(part.values("mean 1.0", "value"), whole.values("mean 1.0", "value"))


def test_the_interval_holds_what_it_says():
    """Of a thousand repetitions about 950 contain the mean: between 930 and 970 at 3 standard errors."""
    draws = np.random.default_rng(0).normal(size=(1000, 5))
    inside = sum(abs(mean) <= half for mean, half in map(study.interval, draws))
    assert 930 <= inside <= 970


def test_what_is_computed_is_not_computed_again(tmp_path):
    CALLS.clear()
    first = study.execute(small(seeds=range(2)), tmp_path)
    assert len(CALLS) == 4
    second = study.execute(small(), tmp_path)
    assert len(CALLS) == 8 and set(CALLS) == {(m, s) for m in (0.0, 1.0) for s in range(4)}
    assert second.by_cell["mean 0.0"][1] == first.by_cell["mean 0.0"][1]


def test_pairs_by_seed_find_a_difference_that_the_spread_hides(tmp_path):
    results = study.execute(small(), tmp_path)
    mean, half = results.contrast("mean 1.0", "mean 0.0", "value")
    assert mean == pytest.approx(1.0) and half == pytest.approx(0.0, abs=1e-12)
    assert "higher" in results.difference("mean 1.0", "mean 0.0", "value")
    assert results.interval("mean 0.0", "value")[1] > 0.5


def test_failed_runs_are_counted_and_left_out(tmp_path):
    results = study.execute(small(cells=(0.0, -1.0)), tmp_path)
    assert len(results.failed("mean -1.0")) == 4 and np.isnan(results.values("mean -1.0", "value")).all()
    table = results.table()
    assert "| mean -1.0 | - |" in table and "4 of 4" in table and "0 of 4" in table
    assert "cannot be compared" in results.difference("mean -1.0", "mean 0.0", "value")


def test_processes_give_the_same_results(tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parents[1]}:{Path(study.__file__).parent}")
    alone = study.execute(small(seeds=range(2)), tmp_path / "a")
    together = study.execute(small(seeds=range(2)), tmp_path / "b", jobs=2)
    assert np.array_equal(alone.values("mean 1.0", "value"), together.values("mean 1.0", "value"))


def test_conduct_writes_page_numbers_and_figures(tmp_path, capsys):
    args = study.parser("").parse_args(
        ["--root", str(tmp_path / "runs"), "--out", str(tmp_path / "out"), "--seeds", "7"]
    )
    figures = {"all": study.Results.figure, "distance": lambda results: results.curves("distance")}
    study.conduct(small(), args, lambda results: f"# Small\n\n{results.table()}\n", figures)
    assert {f.name for f in (tmp_path / "out").iterdir()} == {
        "small.md",
        "small.json",
        "small-all.png",
        "small-distance.png",
    }
    numbers = json.loads((tmp_path / "out" / "small.json").read_text())
    assert set(numbers["mean 0.0"]) == {"7"} and "curves" not in numbers["mean 0.0"]["7"]
    assert "mean 0.0" in capsys.readouterr().out


def test_training_goes_on_where_it_was(tmp_path):
    args = [
        "--data",
        "ring8",
        "--network.width",
        "4",
        "--network.depth",
        "1",
        "--batch-size",
        "8",
        "--sample-every",
        "0",
    ]
    args += ["--spectrum-every", "0", "--log-every", "1"]
    run, last = study.train_gan([*args, "--steps", "3"], tmp_path / "run")
    assert run.steps() == [3] and last["loss/generator"] > 0
    run, _ = study.train_gan([*args, "--steps", "5"], tmp_path / "run")
    assert run.steps()[-1] == 5 and [record["step"] for record in run.metrics()] == [0, 1, 2, 3, 4]
