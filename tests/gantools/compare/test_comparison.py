"""`gantools compare`: one table and one figure, kept as it grows, and a sentence for what cannot be compared."""

import json
import signal
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.figure import Figure

from gantools.cli import main
from gantools.cli.commands.compare import chosen_methods
from gantools.compare import comparison
from gantools.compare import trainings as contestants
from gantools.compare.tables import markdown, ordered, trainings_table
from gantools.runs.config import Choice
from gantools.trainers import OPTIMIZERS
from tests.runs import own_file

TINY = {"network": Choice("mlp", {"width": 4, "depth": 1}), "batch_size": 8, "latent_size": 2}


@pytest.fixture(autouse=True)
def small(tmp_path, monkeypatch, request):
    """Run in a folder of its own, on small networks; no grid search but in the test of it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(contestants, "METRIC_SAMPLES", 64)
    configure = contestants.configure
    monkeypatch.setattr(contestants, "configure", lambda *a, **k: configure(*a, **k | (TINY if "data" in k else {})))
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(Figure, "draw", lambda figure, renderer: None)


@pytest.fixture
def drawn():
    """Draw figures; elsewhere they stay blank."""


def results(folder):
    return json.loads((folder / "results.json").read_text())


def cells(out, method):
    (line,) = [line for line in out.splitlines() if line.startswith(f"| {method} ")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def ok(capsys, *argv, code=0):
    assert main(["compare", *argv]) == code
    return capsys.readouterr().out


class TestAnalytic:
    def test_table_figure_and_numbers(self, capsys, tmp_path, drawn):
        out = ok(capsys, "--optimizers", "simultaneous,extragradient,alternating", "--lr", "0.3", "--steps", "60")
        folder = tmp_path / "runs" / "compare-bilinear"
        _, lr, predicted, observed, cost, per_digit, _, verdict = cells(out, "simultaneous")
        assert (lr, predicted, cost, per_digit, verdict) == ("0.3", "1.0440", "1 gradient", "-", "diverges")
        assert abs(float(observed) - 1.044) < 0.01
        assert cells(out, "alternating")[-1] == "neither converges nor diverges"
        # Gains -log10 sqrt(1 - a^2 + a^4) digits for 2 gradients, with a = 0.15.
        digits = -np.log10(np.sqrt(1 - 0.15**2 + 0.15**4))
        assert abs(float(cells(out, "extragradient")[5]) / (2 / digits) - 1) < 0.2
        assert (folder / "table.md").read_text().splitlines()[0] in out
        assert matplotlib.image.imread(folder / "figure.png").std() > 0.02
        stored = results(folder)
        assert stored["comparison"] == {"game": "bilinear", "lr": 0.3, "steps": 60}
        assert {"command", "versions", "machine", "git_revision"} <= set(stored)
        names = [line.split()[1] for line in out.splitlines() if line.startswith("| ")][1:]
        assert names == ["extragradient", "alternating", "simultaneous"]  # the best first

    def test_the_rate_is_chosen_from_the_grid(self, capsys):
        out = ok(capsys, "--optimizers", "hamiltonian", "--game", "quadratic", "--steps", "20")
        assert cells(out, "hamiltonian")[1] == "1" and "the best of 25" in " ".join(out.split())

    def test_what_is_there_is_not_computed_again(self, capsys, tmp_path, monkeypatch):
        args = ["--lr", "0.3", "--steps", "20", "--out", "c"]
        ok(capsys, *args, "--optimizers", "simultaneous")
        before = results(tmp_path / "c")["rows"]
        monkeypatch.setattr(comparison, "rate_of", None)
        ok(capsys, *args, "--optimizers", "simultaneous")
        monkeypatch.undo()
        monkeypatch.chdir(tmp_path)
        out = ok(capsys, *args, "--optimizers", "optimistic,simultaneous")
        assert results(tmp_path / "c")["rows"][:1] == before and len(results(tmp_path / "c")["rows"]) == 2
        assert out.count("simultaneous") == 1

    def test_ctrl_c_prints_what_there_is(self, capsys, tmp_path, monkeypatch):
        original = comparison.rate_of

        def interrupted(method, *args):
            if method == "optimistic":
                raise KeyboardInterrupt
            return original(method, *args)

        monkeypatch.setattr(comparison, "rate_of", interrupted)
        args = ["--lr", "0.3", "--steps", "20", "--optimizers", "simultaneous,optimistic,sga", "--out", "c"]
        out = ok(capsys, *args, code=130)
        assert cells(out, "simultaneous") and "--out c" in out.splitlines()[-1]
        assert [row["method"] for row in results(tmp_path / "c")["rows"]] == ["simultaneous"]
        monkeypatch.setattr(comparison, "rate_of", original)
        assert cells(ok(capsys, *args), "sga")

    def test_all_is_every_method(self):
        assert chosen_methods("all") == list(OPTIMIZERS)
        assert chosen_methods("sga, consensus,sga") == ["sga", "consensus"]


class TestTrained:
    @pytest.mark.slow
    def test_ring8_with_seeds(self, capsys, tmp_path, drawn):
        args = ["--game", "ring8", "--optimizers", "simultaneous,consensus", "--steps", "6", "--seeds", "0", "1"]
        out = ok(capsys, *args, "--out", "c")
        rows = results(tmp_path / "c")["rows"]
        assert [(row["method"], row["seed"]) for row in rows] == [
            ("simultaneous", 0), ("simultaneous", 1), ("consensus", 0), ("consensus", 1)
        ]  # fmt: skip
        assert all(row["steps"] == 6 and row["stopped"] is None and row["field_norm"] > 0 for row in rows)
        assert rows[0]["losses"] != rows[1]["losses"]
        norms = [row["field_norm"] for row in rows[:2]]
        assert cells(out, "simultaneous")[4] == f"{np.mean(norms):.3g} ({min(norms):.3g} to {max(norms):.3g})"
        assert cells(out, "consensus")[8] == "2" and cells(out, "consensus")[1] == "lr 0.001, rmsprop"
        assert (tmp_path / "c" / "runs" / "consensus-seed1" / "config.json").exists()
        assert matplotlib.image.imread(tmp_path / "c" / "figure.png").std() > 0.02

    @pytest.mark.parametrize("method", OPTIMIZERS)
    def test_every_method_has_settings_for_the_ring(self, method):
        words = contestants.describe(contestants.configuration(method, "ring8", 0, 5))
        assert words.startswith(("lr 0.001, rmsprop", "lr 0.1")) or method == "adaptive_competitive"
        assert contestants.describe(contestants.configuration(method, "ring8", 0, 5, 0.02)).startswith("lr 0.02")

    def test_an_interrupted_run_goes_on(self, capsys, tmp_path, monkeypatch):
        from gantools.runs.training_loop import Trainer

        args = ["--game", "ring8", "--optimizers", "simultaneous", "--steps", "8", "--out"]
        ok(capsys, *args, "whole")
        step = Trainer._step

        def stopping(self, number):
            step(self, number)
            if number == 4:
                signal.raise_signal(signal.SIGINT)

        monkeypatch.setattr(Trainer, "_step", stopping)
        assert "go on with it" in ok(capsys, *args, "cut", code=130)
        assert not (tmp_path / "cut" / "results.json").exists()
        monkeypatch.setattr(Trainer, "_step", step)
        ok(capsys, *args, "cut")
        (whole,), (cut,) = (results(tmp_path / name)["rows"] for name in ("whole", "cut"))
        timeless = [{k: v for k, v in row.items() if k != "seconds"} for row in (whole, cut)]
        assert timeless[0] == timeless[1]

    def test_seeds_are_trained_together(self, capsys, tmp_path, monkeypatch):
        """Each with the row of a run alone, up to rounding; a method that would couple them says so."""
        args = ["--game", "ring8", "--steps", "6", "--optimizers"]
        ok(capsys, *args, "extragradient", "--seeds", "1", "--out", "alone")
        monkeypatch.setattr(contestants, "train_one", None)
        ok(capsys, *args, "extragradient", "--seeds", "0", "1", "--out", "c")
        monkeypatch.undo()
        monkeypatch.chdir(tmp_path)
        (alone,), (_, found) = (results(tmp_path / name)["rows"] for name in ("alone", "c"))
        assert found["losses"] == pytest.approx(alone["losses"], rel=1e-4)
        assert found["field_norm"] == pytest.approx(alone["field_norm"], rel=1e-3)
        assert {k: found[k] for k in ("seed", "steps", "cost", "settings")} == {
            k: alone[k] for k in ("seed", "steps", "cost", "settings")
        }

    def test_seeds_that_would_be_coupled_are_trained_one_after_another(self, capsys, tmp_path):
        args = ["--game", f"{own_file(tmp_path)}:gan", "--lr", "0.01", "--steps", "3", "--seeds", "0", "1"]
        out = ok(capsys, *args, "--optimizers", "proximal")
        assert "proximal, seeds one after another: proximal would couple the runs" in out and cells(out, "proximal")

    def test_a_game_of_ones_own(self, capsys, tmp_path):
        target = f"{own_file(tmp_path)}:gan"
        out = ok(capsys, "--game", target, "--optimizers", "simultaneous,sga,proximal", "--steps", "5", "--lr", "0.01")
        assert cells(out, "sga")[1] == "lr 0.01, sgd" and "modes" not in out
        assert (tmp_path / "runs" / "compare-own" / "table.md").exists()

    def test_a_run_that_diverges_is_a_row_and_not_the_end(self, capsys, tmp_path):
        target = f"{own_file(tmp_path)}:nan_later"
        out = ok(capsys, "--game", target, "--optimizers", "simultaneous,consensus", "--steps", "20", "--out", "c")
        assert "1 of 1 diverged: The field of player 'y' is NaN or infinite at step 5" in cells(out, "simultaneous")[-1]
        assert [row["steps"] for row in results(tmp_path / "c")["rows"]] == [5, 5]

    def test_the_name_of_a_player_says_nothing_of_the_step(self, tmp_path):
        """Player and step come with the error; its sentence is for reading only."""
        path = tmp_path / "named.py"
        path.write_text(Path(own_file(tmp_path)).read_text().replace('"y"', '"gen; left at step 2"'))
        found = contestants.train_one(
            contestants.configuration("simultaneous", f"{path}:nan_later", 0, 20), tmp_path / "run"
        )
        assert found.steps == 5 and found.cost is None
        assert found.stopped.startswith("The field of player 'gen; left at step 2' is NaN or infinite at step 5")

    def test_what_was_reached_is_described_by_the_end_of_the_run(self, tmp_path):
        """The learning rate moves the losses that are reported, and counts are those of the method."""
        target = f"{own_file(tmp_path)}:gan"
        slow, fast = (
            contestants.train_one(contestants.configuration("extragradient", target, 0, 40, lr), tmp_path / str(lr))
            for lr in (1e-6, 0.3)
        )
        assert slow.cost == "2 gradients" and slow.evaluations == 2 and slow.modes is None
        assert abs(slow.losses["discriminator"] - fast.losses["discriminator"]) > 1e-3


MISTAKES = {
    "method": (["--optimizers", "consenus"], "Did you mean 'consensus'?"),
    "no method": (["--optimizers", ","], "names none"),
    "game": (["--game", "bilinar"], "Did you mean 'bilinear'?"),
    "file": (["--game", "nowhere.py:build"], "no file"),
    "rate": (["--lr", "0"], "--lr is 0"),
    "rate nan": (["--lr", "nan"], "--lr is nan"),
    "steps": (["--steps", "0"], "--steps is 0"),
    "seed": (["--seeds", "-1", "--game", "ring8"], "--seeds"),
    "device": (["--game", "ring8", "--device", "gpu7"], "try cpu"),
    "another comparison": (["--out", "c", "--lr", "0.2"], "with lr = 0.3, not 0.2"),
    "another game": (["--out", "c", "--lr", "0.3", "--steps", "20", "--game", "dirac"], "with game = bilinear"),
    "other files": (["--out", "full"], "holds other files"),
    "a file in the way": (["--out", "full/thesis.tex"], "holds other files"),
    "damaged": (["--out", "damaged"], "damaged"),
}


@pytest.mark.parametrize("case", MISTAKES)
def test_mistakes(capsys, tmp_path, case):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("all of it")
    (tmp_path / "damaged").mkdir()
    (tmp_path / "damaged" / "results.json").write_text("{")
    (tmp_path / "c").mkdir()
    stored = {"comparison": {"game": "bilinear", "lr": 0.3, "steps": 20}, "rows": []}
    (tmp_path / "c" / "results.json").write_text(json.dumps(stored))
    argv, words = MISTAKES[case]
    extra = [] if "--optimizers" in argv else ["--optimizers", "simultaneous"]
    assert main(["compare", *argv, *extra]) == 2
    err = capsys.readouterr().err
    assert words in err and "Traceback" not in err and err.count("\n") == 1
    assert not (tmp_path / "runs" / "compare-bilinear").exists()


def row(method, seed, modes, quality, stopped=None):
    return {
        "method": method, "seed": seed, "settings": "lr 1", "steps": 9, "stopped": stopped, "seconds": 0.01, "cost": "",
        "evaluations": None if stopped else 1.0, "losses": {"x": 1.0}, "field_norm": 1.0, "modes": modes,
        "quality": quality,
    }  # fmt: skip


def test_seeds_stand_in_one_line_and_the_best_method_first():
    rows = [row("a", 0, 4, 0.9), row("a", 1, 7, 0.5), row("b", 0, 8, 0.2), row("c", 0, 8, 0.9, "The field is NaN")]
    assert [r["method"] for r in ordered(rows)] == ["b", "a", "a", "c"]
    out = trainings_table(rows)
    assert cells(out, "a")[2:4] == ["5.5 (4 to 7)", "0.7 (0.5 to 0.9)"]
    assert cells(out, "c")[-1] == "1 of 1 diverged: The field is NaN" and cells(out, "c")[-2] == "-"


def test_columns_stand_under_each_other():
    assert markdown(["a", "b"], [["long one", "1"]], "lr").splitlines() == [
        "| a        |   b |",
        "|----------|----:|",
        "| long one |   1 |",
    ]
