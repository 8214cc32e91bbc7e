"""`gantools diagnose` on a file and on a run: the page, the JSON, and flags that can be typed as they are advised."""

import json
import re

import pytest

from gantools.analysis.diagnosis import cures
from gantools.cli import main
from gantools.cli.flags import parse_train
from gantools.games.analytic import bilinear
from gantools.runs.experiment import build
from gantools.runs.store import progress
from gantools.trainers import make
from tests.analysis.diagnosis.games import adam, ring_game
from tests.runs import QUIET, RING

OWN = """
from gantools.games.analytic import {name}

def build():
    return {name}()
"""


@pytest.mark.usefixtures("in_a_folder_of_its_own")
class TestDiagnose:
    def test_a_file_with_flags_of_train(self, tmp_path, capsys):
        file, out = tmp_path / "own.py", tmp_path / "found.json"
        file.write_text(OWN.format(name="bilinear"))
        words = [f"{file}:build", "--optimizer", "simultaneous", "--optimizer.lr", "0.1", "--follow", "200"]
        assert main(["diagnose", *words, "--json", str(out)]) == 0
        page, found = capsys.readouterr().out, json.loads(out.read_text())
        assert "rotation" in page and "--optimizer consensus" in page
        assert found["findings"][0]["cause"] == "rotation" and not found["healthy"]

    def test_a_run(self, tmp_path, capsys):
        assert main(["train", *RING, *QUIET, "--steps", "4", "--out", "a"]) == 0
        assert main(["diagnose", "a", "--follow", "8"]) == 0
        assert "a, step 4" in capsys.readouterr().out
        kept = json.loads((tmp_path / "a/analysis/diagnosis.json").read_text())
        assert kept["subject"] == "a, step 4" and kept["steps"] == 8

    def test_what_is_being_done_is_told_with_the_time_left(self, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
        (tmp_path / "own.py").write_text(OWN.format(name="bilinear"))
        assert main(["diagnose", f"{tmp_path / 'own.py'}:build", "--optimizer", "simultaneous", "--follow", "60"]) == 0
        said = capsys.readouterr().err
        for words in (r"30 of at most 60 steps, at most \d+ s left", r"of at most 60 steps with --optimizer consensus"):
            assert re.search(words, said)
        assert re.search(r"^products: \d+$", said, re.MULTILINE)

    @pytest.mark.parametrize("words", [["--follow", "0"], ["--seconds", "0"]])
    def test_what_is_no_number_of_steps_is_refused(self, tmp_path, words, capsys):
        (tmp_path / "own.py").write_text(OWN.format(name="bilinear"))
        assert main(["diagnose", f"{tmp_path / 'own.py'}:build", *words]) == 2
        assert words[0].strip("-") in capsys.readouterr().err


GAN, PLAIN = ring_game(), bilinear()[0]
CURES = [
    ([], cures.with_rates(adam(GAN), {"generator": 1e-4, "discriminator": 4e-4})),
    ([], cures.with_rates(adam(GAN), {"generator": 1e-4, "discriminator": 1e-4})),
    (["--optimizer", "alternating", "--optimizer.base", "adam"], cures.without_momentum(adam(GAN, beta=0.9))),
    (
        ["--optimizer", "simultaneous", "--optimizer.base", "momentum"],
        cures.without_momentum(make("simultaneous", PLAIN, base="momentum")),
    ),
    (["--optimizer", "momentum"], cures.without_momentum(make("momentum", PLAIN, beta=0.9))),
    (["--optimizer", "simultaneous", "--optimizer.lr", "0.1"], cures.with_method(adam(GAN), "consensus", gamma=0.1)),
    ([], cures.with_method(adam(GAN), "extragradient")),
    (["--optimizer", "alternating", "--optimizer.n-d", "5"], cures.with_updates(adam(GAN, n_d=5), n_d=1)),
    ([], cures.with_penalty(adam(GAN), 10.0)),
    ([], cures.with_loss(adam(GAN), "nonsaturating")),
    ([], cures.with_clipping(adam(GAN), 1.5)),
]


@pytest.mark.parametrize(("before", "cure"), CURES)
def test_advised_flags_make_the_optimizer_that_was_tried(before, cure, tmp_path):
    own = tmp_path / "own.py"
    own.write_text("from tests.analysis.diagnosis.games import ring, ring_game\n\ndef build():\n")
    with own.open("a") as file:
        file.write("    return ring_game(), ring()\n")
    assert cure is not None
    made = build(parse_train([f"{own}:build", *before, *cure.flags]).config).optimizer
    flags = " ".join(cure.flags)
    if "lr" in flags:
        assert made.rates == cure.optimizer.rates
    if "--optimizer " in flags:
        assert type(made) is type(cure.optimizer)
    if "base" in flags or "--optimizer.beta" in flags:
        assert cures.momentum(made) == cures.momentum(cure.optimizer) == 0
    if "clip" in flags:
        assert made.clip_norm == cure.optimizer.clip_norm
    if "gamma" in flags and "regularizer" not in flags:
        assert made.gamma == cure.optimizer.gamma
    assert [repr(r) for r in made.game.regularizers] == [repr(r) for r in cure.optimizer.game.regularizers]
