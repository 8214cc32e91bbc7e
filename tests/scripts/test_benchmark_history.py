"""Benchmarks over commits: which numbers are kept, in which order, and what is drawn of them."""

import importlib.util
import json
import re
from pathlib import Path

import pytest
from benchmark_history import chart

ROOT = Path(__file__).parents[2]
FILES = [path for path in (ROOT / "docs/benchmarks").glob("*.json") if path.stem != "gpu"]


@pytest.fixture(scope="module")
def history():
    spec = importlib.util.spec_from_file_location("history_main", ROOT / "scripts/benchmarks/history/__main__.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_ratios_alone_are_kept(history):
    result = {"a": {"x ms": 3.0, "x / y": 1.23456, "deep": {"y / z": 2}}, "n": 4}
    assert dict(history.ratios(result)) == {"a: x / y": 1.235, "a: deep: y / z": 2.0}


def test_records_stand_in_order_once_for_each_commit(history, tmp_path):
    path = tmp_path / "step.json"
    for commit, date, value in (("b", "2026-02-01", 2), ("a", "2026-01-01", 1), ("b", "2026-02-01", 3)):
        history.add(path, {"commit": commit, "date": date, "ratios": {"x / y": value}})
    found = [(one["commit"], one["ratios"]["x / y"]) for one in json.loads(path.read_text())]
    assert found == [("a", 1), ("b", 3)]
    assert len(path.read_text().splitlines()) == 4  # a line for each commit


@pytest.mark.slow
def test_a_commit_is_measured_by_its_own_script(history, tmp_path):
    history.main(["step", "--options", "--rounds 1 --seconds 0.001", "--out", str(tmp_path)])
    (record,) = json.loads((tmp_path / "step.json").read_text())
    assert len(record["ratios"]) == 6 and all(value > 0 for value in record["ratios"].values())


def test_a_chart_has_a_point_for_each_commit_from_zero_on():
    records = [
        {"commit": f"c{i}", "date": "2026-01-01", "torch": "2.13", "ratios": {"x / y": v}} for i, v in enumerate((1, 4))
    ]
    drawn = chart("x / y", [*records, {"ratios": {}}])
    heights = [float(y) for y in re.findall(r'cy="([\d.]+)"', drawn)]
    base = float(re.search(r"d=\"M\d+ (\d+)H", drawn)[1])
    assert len(heights) == 2 and (base - heights[1]) == pytest.approx(4 * (base - heights[0]))
    assert "c0, 2026-01-01, PyTorch 2.13: 1" in drawn and ">4.00<" in drawn


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_drawn_was_recorded(path):
    records = json.loads(path.read_text())
    assert records and records == sorted(records, key=lambda one: one["date"])
    assert all(one["ratios"] and one["torch"] and re.fullmatch(r"[0-9a-f]{7,}", one["commit"]) for one in records)
    assert (
        path.stem
        in re.search(r"```\{benchmark-history\}\n(.*?)```", (ROOT / "docs/benchmarks.md").read_text(), re.S)[1]
    )
