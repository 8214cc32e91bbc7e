"""The loop: what is killed and resumed equals what never stopped, looking does not change the run, NaN stops it."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from gantools.cli import main
from gantools.runs.store import atomic, kept_features
from gantools.runs.store.folder import RunFolder
from gantools.runs.store.recorder import Recorder
from gantools.runs.training_loop import Trainer
from tests.quick import few
from tests.runs import QUIET, RING, cheapen_looks, checkpoint, die, events, identical, killed, own_file, records

STEPS = 10


@pytest.fixture(autouse=True)
def cheap_looks(monkeypatch):
    cheapen_looks(monkeypatch)


def run(path, *args, expect=0):
    assert main(["train", "--out", str(path), *args]) == expect


def at_step(step, action):
    """Return a preparation after which `action` is called in place of the update of this step."""

    def prepare():
        original = Trainer._step

        def step_or_act(self, number):
            if number == step:
                action()
            original(self, number)

        Trainer._step = step_or_act

    return prepare


def at_write(number, where):
    """Return a preparation after which the process dies in its `number`-th atomic write."""

    def prepare():
        original, seen = getattr(atomic.os, where), []

        def write_or_die(*args):
            seen.append(args)
            if len(seen) == number:
                die()
            return original(*args)

        setattr(atomic.os, where, write_or_die)

    return prepare


def assert_same_run(a, b, step=STEPS):
    assert identical(checkpoint(a, step), checkpoint(b, step))
    assert records(a) == records(b)
    assert {f.name for f in a.glob("s*/*.*")} == {f.name for f in b.glob("s*/*.*")}


METHODS = {
    "simultaneous": ["--optimizer", "simultaneous", "--optimizer.base", "adam"],
    "alternating": ["--optimizer", "alternating", "--optimizer.n-d", "3", "--optimizer.base", "rmsprop_tf1"],
    "consensus": ["--optimizer", "consensus", "--optimizer.base", "adam"],
    "independent": ["--optimizer", "consensus", "--optimizer.estimator", "independent", "--optimizer.base", "momentum"],
    "sgd": ["--optimizer", "simultaneous", "--optimizer.base", "sgd"],
    "two evaluations": ["--optimizer", "extragradient", "--optimizer.base", "adam"],
    "a memory of its own": ["--optimizer", "past_extragradient"],
    "periodic": ["--optimizer", "lookahead", "--optimizer.k", "2", "--optimizer.base", "adam"],
    "an inner solve": ["--optimizer", "competitive", "--optimizer.lr", "0.01"],
    "averaged": ["--optimizer", "alternating", "--average", "ema", "--average.decay", "0.9"],
    "uniform": ["--optimizer", "consensus", "--average", "uniform", "--accumulate", "2"],
    "scheduled": [
        "--optimizer",
        "consensus",
        "--optimizer.lr",
        "cosine(0.01, 0.001, 6, 2)",
        "--optimizer.clip-norm",
        "0.5",
        "--optimizer.base",
        "adam",
        "--optimizer.base.betas",
        "0.0",
        "linear(0.5, 0.9, 5)",
    ],
}
PLACES = {
    "between checkpoints": at_step(5, die),
    "at a checkpoint": at_step(6, die),
    "before the first checkpoint": at_step(2, die),
    "while a checkpoint is written": at_write(6, "fsync"),
    "before a checkpoint is moved into place": at_write(4, "replace"),
    "after the last step": at_write(6, "replace"),
    "before the configuration is whole": at_write(2, "replace"),
}


class TestKilledAndResumed:
    @pytest.mark.parametrize("method", few(METHODS, 3))
    def test_every_method(self, tmp_path, method):
        args = [*RING, *QUIET, *METHODS[method], "--checkpoint-every", "3", "--steps", str(STEPS)]
        run(tmp_path / "whole", *args)
        killed("train", "--out", str(tmp_path / "cut"), *args, at=at_step(5, die))
        run(tmp_path / "cut", "--resume")
        assert_same_run(tmp_path / "whole", tmp_path / "cut")

    @pytest.mark.slow
    def test_everywhere(self, tmp_path):
        args = [*RING, *QUIET, *METHODS["consensus"], "--checkpoint-every", "3", "--steps", str(STEPS)]
        run(tmp_path / "whole", *args)
        for place, prepare in PLACES.items():
            cut = tmp_path / place.replace(" ", "-")
            killed("train", "--out", str(cut), *args, at=prepare)
            begun = (cut / "config.json").exists()
            assert begun or all(file.name.startswith((".part", ".lock")) for file in cut.iterdir())
            run(cut, *([] if begun else args), *(["--resume"] if begun else []))
            assert_same_run(tmp_path / "whole", cut)

    @pytest.mark.slow
    def test_with_samples_and_spectra(self, tmp_path):
        args = [*RING, "--log-every", "1", "--sample-every", "4", "--spectrum-every", "4", "--spectrum-k", "2"]
        args += [*METHODS["consensus"], "--checkpoint-every", "3", "--steps", str(STEPS)]
        run(tmp_path / "whole", *args)
        killed("train", "--out", str(tmp_path / "cut"), *args, at=at_step(5, die))
        run(tmp_path / "cut", "--resume")
        assert_same_run(tmp_path / "whole", tmp_path / "cut")
        assert events(tmp_path / "whole") == events(tmp_path / "cut")

    def test_what_was_logged_is_in_its_file_before_a_checkpoint_is(self, tmp_path, monkeypatch):
        """Resuming from a checkpoint logs nothing from before it, and TensorBoard's writer has a queue."""
        order = []
        for where, name in ((Recorder, "flush"), (RunFolder, "save")):
            original = getattr(where, name)
            monkeypatch.setattr(where, name, lambda *a, o=original, n=name: (order.append(n), o(*a)))
        run(tmp_path / "a", *RING, *QUIET, "--checkpoint-every", "3", "--steps", "6")
        assert order == ["flush", "save", "flush", "save"]

    def test_twice_with_a_step_in_between(self, tmp_path):
        args = [*RING, *QUIET, *METHODS["simultaneous"], "--checkpoint-every", "3", "--steps", str(STEPS)]
        run(tmp_path / "whole", *args)
        killed("train", "--out", str(tmp_path / "cut"), *args, at=at_step(5, die))
        killed("train", "--out", str(tmp_path / "cut"), "--resume", at=at_step(8, die))
        run(tmp_path / "cut", "--resume")
        assert_same_run(tmp_path / "whole", tmp_path / "cut")

    # 20 samples in batches of 6 (batch norm: 5): an epoch has four batches. 3 is in the middle of one, 4 its end.
    @pytest.mark.parametrize("every", few([3, 4], 1))
    @pytest.mark.parametrize(
        "function",
        few(["shuffled", "own_generator", "own_sampler", "augmented", "dropout", "batch_norm", "one_batch", "gan"], 3),
    )
    def test_a_users_own_game(self, tmp_path, function, every):
        target = f"{own_file(tmp_path)}:{function}"
        args = [target, *QUIET, "--optimizer", "alternating", "--optimizer.lr", "0.01", "--optimizer.base", "adam"]
        args += ["--checkpoint-every", str(every), "--steps", str(STEPS)]
        run(tmp_path / "whole", *args)
        killed("train", "--out", str(tmp_path / "cut"), *args, at=at_step(2 * every - 1, die))
        assert {f.name for f in (tmp_path / "cut/checkpoints").iterdir()} == {f"step-{every:08d}.pt"}
        run(tmp_path / "cut", "--resume")
        assert_same_run(tmp_path / "whole", tmp_path / "cut")

    def test_shuffled_orders_differ_between_epochs_and_resuming_does_not_repeat_one(self, tmp_path):
        args = [f"{own_file(tmp_path)}:shuffled", *QUIET, "--optimizer", "simultaneous", "--optimizer.lr", "1e-9"]
        run(tmp_path / "a", *args, "--steps", "8")
        losses = [round(record["loss/model"], 5) for record in records(tmp_path / "a")]
        assert losses[:4] != losses[4:]

    @pytest.mark.slow
    def test_a_real_process_killed_at_random(self, tmp_path):
        args = [*RING, *QUIET, *METHODS["consensus"], "--checkpoint-every", "20", "--steps", "2000"]
        args += ["--threads", "1", "--keep-last", "0"]
        run(tmp_path / "whole", *args)
        command = [sys.executable, "-m", "gantools", "train", "--out", str(tmp_path / "cut")]
        for attempt in range(6):
            begun = (tmp_path / "cut" / "config.json").exists()
            process = subprocess.Popen([*command, *(["--resume"] if begun else args)], stdout=subprocess.DEVNULL)
            began = len(list(tmp_path.glob("cut/checkpoints/step-*")))
            while process.poll() is None and len(list(tmp_path.glob("cut/checkpoints/step-*"))) < began + 12:
                time.sleep(0.01)
            time.sleep(0.013 * attempt)
            process.kill()
            if process.wait() == 0:
                break
        assert attempt > 1
        run(tmp_path / "cut", "--resume")
        assert_same_run(tmp_path / "whole", tmp_path / "cut", 2000)


class TestStopped:
    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_a_signal_saves_and_the_run_goes_on(self, tmp_path, monkeypatch, capsys, number, code):
        args = [*RING, *QUIET, *METHODS["consensus"], "--checkpoint-every", "100", "--steps", str(STEPS)]
        run(tmp_path / "whole", *args)
        handlers = [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
        with monkeypatch.context() as patch:
            patch.setattr(Trainer, "_step", Trainer._step)
            at_step(4, lambda: os.kill(os.getpid(), number))()
            run(tmp_path / "cut", *args, expect=code)
        assert handlers == [signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM)]
        assert [f.name for f in (tmp_path / "cut/checkpoints").iterdir()] == ["step-00000005.pt"]
        out = capsys.readouterr().out
        assert "Stopped: 5 steps" in out and f"train --resume --out {tmp_path / 'cut'}" in out
        run(tmp_path / "cut", "--resume")
        assert_same_run(tmp_path / "whole", tmp_path / "cut")

    def test_a_second_ctrl_c_does_not_wait(self, tmp_path, monkeypatch, capsys):
        def twice():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)

        monkeypatch.setattr(Trainer, "_step", Trainer._step)
        at_step(4, twice)()
        run(tmp_path / "a", *RING, *QUIET, "--checkpoint-every", "3", "--steps", "9", expect=130)
        assert [f.name for f in (tmp_path / "a/checkpoints").iterdir()] == ["step-00000003.pt"]
        assert "interrupted" in capsys.readouterr().err

    @pytest.mark.slow
    def test_a_real_ctrl_c(self, tmp_path):
        command = [sys.executable, "-m", "gantools", "train", "--out", str(tmp_path / "a"), *RING, *QUIET]
        process = subprocess.Popen([*command, "--steps", "1000000"], stdout=subprocess.PIPE, text=True)
        metrics = tmp_path / "a" / "metrics.jsonl"
        while process.poll() is None and not (metrics.exists() and metrics.read_text().count("\n") > 3):
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 130 and "Stopped" in out and "Traceback" not in out
        (saved,) = (tmp_path / "a" / "checkpoints").iterdir()
        assert checkpoint(tmp_path / "a", int(saved.stem[5:]))["step"] == records(tmp_path / "a")[-1]["step"] + 1


class TestExtended:
    @pytest.mark.slow
    def test_a_finished_run_with_more_steps_equals_the_longer_one(self, tmp_path):
        args = [*RING, "--log-every", "1", "--sample-every", "2", "--spectrum-every", "2", "--spectrum-k", "2"]
        run(tmp_path / "long", *args, "--steps", "8")
        run(tmp_path / "short", *args, "--steps", "5")
        run(tmp_path / "short", "--resume", "--steps", "8")
        # The end of the shorter run was looked at and saved, and the longer one passes it by.
        assert_same_run(tmp_path / "long", tmp_path / "short", 8)

    def test_the_new_number_of_steps_is_kept(self, tmp_path):
        run(tmp_path / "a", *RING, *QUIET, "--steps", "2")
        run(tmp_path / "a", "--resume", "--steps", "5")
        stored = json.loads((tmp_path / "a" / "config.json").read_text())
        assert stored["config"]["steps"] == 5
        assert [resumed["step"] for resumed in stored["resumed"]] == [2]
        assert {"command", "versions", "git_revision"} <= set(stored["resumed"][0])
        run(tmp_path / "a", "--resume")

    def test_resuming_a_finished_run_changes_nothing(self, tmp_path):
        args = [*RING, "--log-every", "1", "--sample-every", "2", "--spectrum-every", "2", "--spectrum-k", "2"]
        run(tmp_path / "a", *args, "--steps", "3")
        before, saved = records(tmp_path / "a"), checkpoint(tmp_path / "a", 3)
        run(tmp_path / "a", "--resume")
        assert records(tmp_path / "a") == before
        assert identical(checkpoint(tmp_path / "a", 3), saved)

    def test_fewer_steps_than_there_are(self, tmp_path, capsys):
        run(tmp_path / "a", *RING, *QUIET, "--steps", "4")
        before = records(tmp_path / "a")
        run(tmp_path / "a", "--resume", "--steps", "3", expect=2)
        assert "has 4 steps already" in capsys.readouterr().err
        assert records(tmp_path / "a") == before


class TestLooking:
    @pytest.mark.parametrize("method", few(["simultaneous", "consensus"], 1))
    def test_spectra_samples_metrics_and_checkpoints_do_not_change_the_run(self, tmp_path, method):
        args = [*RING, *METHODS[method], "--steps", "4"]
        run(tmp_path / "blind", *args, *QUIET, "--log-every", "0", "--checkpoint-every", "0")
        looks = ["--sample-every", "1", "--spectrum-every", "1", "--log-every", "1", "--checkpoint-every", "1"]
        run(tmp_path / "seen", *args, *looks, "--spectrum-k", "3")
        assert identical(checkpoint(tmp_path / "blind", 4), checkpoint(tmp_path / "seen", 4))
        assert (
            len(list((tmp_path / "seen" / "spectra").glob("*.npz"))) == 12
        )  # two ends each time, the third and the step at the last

    @pytest.mark.parametrize("function", few(["batch_norm", "augmented", "own_generator", "noisy_loss"], 2))
    def test_nor_that_of_a_users_own_game(self, tmp_path, function):
        args = [
            f"{own_file(tmp_path)}:{function}",
            "--optimizer",
            "simultaneous",
            "--steps",
            "6",
            "--sample-every",
            "0",
        ]
        run(tmp_path / "blind", *args, "--spectrum-every", "0")
        run(tmp_path / "seen", *args, "--spectrum-every", "1", "--spectrum-k", "2")
        assert identical(checkpoint(tmp_path / "blind", 6), checkpoint(tmp_path / "seen", 6))

    def test_a_game_without_spectrum_is_trained_without(self, tmp_path, capsys):
        args = [f"{own_file(tmp_path)}:dropout", "--optimizer", "simultaneous", "--steps", "3", "--spectrum-every", "1"]
        run(tmp_path / "a", *args)
        out = capsys.readouterr().out
        assert out.count("No spectra in this run") == 1 and "dropout" in out.lower()

    def test_first_and_last_step_are_looked_at(self, tmp_path):
        run(tmp_path / "a", *RING, "--steps", "3", "--sample-every", "100", "--spectrum-every", "100")
        for kind in ("samples", "spectra"):
            steps = {f.stem[-8:] for f in (tmp_path / "a" / kind).iterdir()}
            assert steps == {"00000000", "00000003"}

    @pytest.mark.slow
    def test_digits_have_features_of_their_own_kept_in_the_run(self, tmp_path, monkeypatch):
        args = ["--network", "mlp", "--network.width", "4", "--batch-size", "8", "--spectrum-every", "0"]
        run(tmp_path / "a", *args, "--steps", "2", "--sample-every", "1")
        before = records(tmp_path / "a")
        assert any("metrics/frechet_distance" in record for record in before)
        (tmp_path / "a" / "features.pt").write_bytes(b"damaged")
        run(tmp_path / "a", "--resume")
        monkeypatch.setattr(kept_features, "train_features", None)  # now they are read
        run(tmp_path / "a", "--resume")
        assert records(tmp_path / "a") == before


def test_what_an_inner_solve_leaves_is_logged(tmp_path):
    run(tmp_path / "run", *RING, *QUIET, "--optimizer", "competitive", "--optimizer.lr", "0.01", "--steps", "2")
    left = [record["inner_residual"] for record in records(tmp_path / "run")]
    assert len(left) == 2 and all(0 <= residual <= 1e-5 for residual in left)
