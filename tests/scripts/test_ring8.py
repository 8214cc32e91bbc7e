"""The headline of the README: on the ring of eight Gaussians consensus finds every mode and simultaneous does not."""

import numpy as np
import pytest
import ring8
from cells import ring8_figures
from harness import study

from gantools.cli.flags import parse_train
from gantools.runs.store.folder import RunFolder
from gantools.runs.training_loop import train


def modes_covered(tmp_path, optimizer, steps):
    """Train with the paper's settings and return how many of the eight modes the last look found."""
    args = ["--data", "ring8", "--optimizer", optimizer, "--seed", "1", "--steps", str(steps)]
    args += ["--sample-every", str(steps), "--spectrum-every", "0", "--log-every", "1000", "--checkpoint-every", "0"]
    train(parse_train(args).config, tmp_path / "run")
    records = RunFolder(tmp_path / "run").metrics()
    return [record["metrics/modes_covered"] for record in records if "metrics/modes_covered" in record][-1]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("optimizer", "steps", "expected"), [("consensus", 12_000, {8}), ("simultaneous", 20_000, set(range(8)))]
)
def test_consensus_finds_every_mode_and_simultaneous_does_not(tmp_path, optimizer, steps, expected):
    assert modes_covered(tmp_path, optimizer, steps) in expected


@pytest.mark.slow
def test_pictures_begin_before_the_first_step_and_end_at_the_last(tmp_path):
    cell = {"optimizer": "consensus", "base": "rmsprop", "steps": 4, "width": 2, "batch": 16, "starts": 1}
    result = ring8.run(cell, 0, tmp_path / "run")
    found = result["pictures"]
    assert found["steps"] == [0, 1, 2, 3, 4] and np.shape(found["samples"]) == (5, 1024, 2)
    assert found["samples"][0] != found["samples"][1] and found["J, start"] != found["J, end"]
    J = np.array([real + 1j * imaginary for real, imaginary in found["J"]])
    assert result["largest"] == pytest.approx(abs(J).max()) and result["rotation"] == pytest.approx(
        abs(J.imag).max() / abs(J).max(), abs=1e-6
    )
    assert not ring8_figures.pictured(study.Results(ring8.STUDY, {"consensus, rmsprop": {0: result}}))
