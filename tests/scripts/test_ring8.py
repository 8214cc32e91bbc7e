"""The headline of the README: on the ring of eight Gaussians consensus finds every mode and simultaneous does not."""

import pytest

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
