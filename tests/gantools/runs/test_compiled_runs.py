"""`gantools train --compile`: the same run up to rounding, resumed as if it had never stopped, and what is told."""

import json

import pytest

from gantools import traced
from gantools.cli import main
from tests.runs import QUIET, RING, cheapen_looks, checkpoint, identical, records

STEPS = ["--steps", "4", "--checkpoint-every", "2"]
ADAM = ["--optimizer", "simultaneous", "--optimizer.base", "adam"]


@pytest.fixture(autouse=True)
def recorded_only(monkeypatch):
    """Run graphs as they were recorded: all but the compiler itself, which takes a minute."""
    monkeypatch.setattr(traced, "compiled", lambda graph, examples: graph)
    cheapen_looks(monkeypatch)


def train(path, *args):
    assert main(["train", *RING, *QUIET, *STEPS, "--out", str(path), *args]) == 0


def losses(path):
    return [r["loss/generator"] for r in records(path) if "loss/generator" in r]


def test_run(tmp_path, capsys):
    train(tmp_path / "plain", *ADAM)
    assert "Compiling" not in capsys.readouterr().out
    train(tmp_path / "compiled", *ADAM, "--compile")
    assert capsys.readouterr().out.count("Compiling a step of") == 1
    assert losses(tmp_path / "compiled") == pytest.approx(losses(tmp_path / "plain"), rel=1e-5)
    assert json.loads((tmp_path / "compiled/config.json").read_text())["config"]["compile"] is True


@pytest.mark.slow
def test_resumed(tmp_path):
    train(tmp_path / "whole", *ADAM, "--compile")
    train(tmp_path / "half", *ADAM, "--compile", "--steps", "2")
    assert main(["train", "--out", str(tmp_path / "half"), "--resume", "--steps", "4"]) == 0
    assert identical(checkpoint(tmp_path / "half", 4), checkpoint(tmp_path / "whole", 4))


@pytest.mark.slow
def test_copies(tmp_path, capsys):
    train(tmp_path / "runs", "--compile", "--copies", "2", *ADAM)
    assert capsys.readouterr().out.count("Compiling a step of") == 1


def test_a_method_that_is_not_compiled_says_so_and_trains(tmp_path, capsys):
    train(tmp_path / "run", "--compile", "--accumulate", "2", "--optimizer", "auto")
    assert "Steps are not compiled: its settings follow from the spectrum." in capsys.readouterr().out
