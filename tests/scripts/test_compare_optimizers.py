"""The script that makes docs/optimizers.md, on few methods and steps: it goes on where it was, and writes the page."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def run(tmp_path, *argv):
    script = ROOT / "scripts" / "benchmarks" / "compare_optimizers.py"
    command = [sys.executable, str(script), "--root", "runs", "--out", "docs"]
    few = ["--optimizers", "simultaneous,optimistic", "--steps", "4", "--toy-steps", "300", "--seeds", "0", "1"]
    done = subprocess.run([*command, *few, *argv], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_the_page(tmp_path):
    assert "no page yet" in run(tmp_path, "--part", "ring8")
    trained = json.loads((tmp_path / "runs" / "ring8" / "results.json").read_text())["rows"]
    assert {(row["method"], row["seed"]) for row in trained} == {
        (method, seed) for method in ("simultaneous", "optimistic") for seed in (0, 1)
    }
    out = run(tmp_path)
    assert "agree within" in out and "4/4" not in out  # the runs were there
    page = (tmp_path / "docs" / "optimizers.md").read_text()
    assert page.count("| optimistic ") == page.count("| simultaneous ") == 4
    assert all(line.startswith(("|", "    ")) or len(line) <= 120 for line in page.splitlines())
    for name in ("bilinear", "quadratic", "dirac", "ring8"):
        assert (tmp_path / "docs" / "results" / f"optimizers-{name}.png").stat().st_size > 10_000
        assert f"results/optimizers-{name}.png" in page
    assert json.loads((tmp_path / "docs" / "results" / "optimizers.json").read_text())["ring8"] == trained
