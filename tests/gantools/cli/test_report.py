"""`gantools report`: the page says of a run what the page said with which its training ended."""

import json
import re

import pytest

from gantools.cli import main
from gantools.cli.commands.report import _facts
from tests.runs import RING


@pytest.fixture
def run(tmp_path, capsys):
    """A run, and the page with which it ended, its lines joined."""
    words = ["--steps", "4", "--sample-every", "0", "--spectrum-every", "2", "--optimizer", "simultaneous"]
    assert main(["train", *RING, *words, "--out", str(tmp_path / "run")]) == 0
    return tmp_path / "run", " ".join(capsys.readouterr().out.split())


def facts_of(path, capsys):
    assert main(["report", str(path)]) == 0
    page = (path / "report.html").read_text()
    found = re.search(r'id="about">(.*?)</script>', page)
    assert found is not None
    return json.loads(found[1])["facts"]


def test_what_training_ended_with(run, capsys):
    path, said = run
    facts = facts_of(path, capsys)
    assert facts["last look"] == "step 4"
    for name, begin in (
        ("spectrum", "Eigenvalues of the game's Jacobian"),
        ("next step", "One more step of simultaneous"),
        ("instead", "From the same weights simultaneous gradient descent"),
    ):
        assert facts[name].startswith(begin) and " ".join(facts[name].split()) in said


def test_a_damaged_spectrum_costs_its_sentence_alone(run, capsys):
    path, said = run
    (path / "spectra" / "game-update-step-00000004.npz").write_bytes(b"PK nothing")
    facts = facts_of(path, capsys)
    assert "next step" not in facts and facts["spectrum"] in said


def test_a_run_without_looks_has_no_story(run):
    path, _ = run
    for file in (path / "spectra").glob("*.npz"):
        file.unlink()
    assert set(_facts(path)) == {"trained"}
