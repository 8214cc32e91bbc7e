"""The run folder as a record: one process trains in it, nothing is lost, altered, executed or written unasked."""

import errno
import json
import os
import shutil
import signal
import time

import numpy as np
import pytest
import torch

import gantools as gt
from gantools.cli import main
from gantools.runs.beginning import last_checkpoint
from gantools.runs.record import read_record
from gantools.runs.store import atomic
from gantools.runs.store.checkpoint import missing_checkpoint, superfluous
from gantools.runs.store.folder import RunFolder
from gantools.runs.store.lock import lock_folder
from gantools.runs.store.metrics import checked_line, read_lines
from gantools.runs.training_loop import Trainer
from tests.runs import QUIET, RING, cheapen_looks, checkpoint, events, fails, identical, own_file, records

ARGS = [*RING, *QUIET, "--optimizer", "simultaneous", "--optimizer.base", "adam", "--steps", "6"]
ARGS += ["--checkpoint-every", "2"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "run"
    assert main(["train", "--out", str(path), *ARGS]) == 0
    return path


@pytest.fixture
def run(trained, tmp_path):
    return shutil.copytree(trained, tmp_path / "run")


def contents(folder):
    return {str(f): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


class TestLock:
    def test_a_second_training_is_refused_and_changes_nothing(self, run, capsys):
        lock = lock_folder(run)
        before = contents(run)
        for argv in (["train", "--resume", "--out", run, "--steps", "9"],):
            err = fails(capsys, *argv)
            assert f"in use by process {os.getpid()} on " in err and " since 20" in err
        assert contents(run) == before
        lock.release()
        assert main(["train", "--resume", "--out", str(run), "--steps", "7"]) == 0

    def test_readers_are_not_blocked(self, run, capsys):
        lock = lock_folder(run)
        assert main(["sample", str(run), "--n", "1"]) == 0
        lock.release()

    def test_the_lock_of_a_killed_process_is_none(self, run):
        pid = os.fork()
        if pid == 0:
            lock_folder(run)
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(pid, 0)
        assert (run / ".lock.json").exists()
        lock_folder(run).release()

    def test_an_error_gives_it_back(self, run, capsys):
        fails(capsys, "train", "--resume", "--out", run, "--steps", "3")
        lock_folder(run).release()

    def test_a_comparison_too(self, tmp_path, capsys):
        (tmp_path / "c").mkdir()
        lock = lock_folder(tmp_path / "c")
        argv = ["compare", "--optimizers", "simultaneous", "--steps", "5", "--lr", "0.1", "--out", tmp_path / "c"]
        assert "in use by process" in fails(capsys, *argv)
        lock.release()
        assert main([str(word) for word in argv]) == 0


class TestNothingIsLost:
    def test_a_resume_moves_what_it_cannot_use(self, run, trained, capsys):
        before = contents(run)
        last = run / "checkpoints" / "step-00000006.pt"
        last.write_bytes(b"damaged")
        assert main(["train", "--resume", "--out", str(run)]) == 0
        err = capsys.readouterr().err
        assert "is damaged" in err and "Going back from step 6, whose checkpoint cannot be used, to step 4" in err
        (aside,) = (run / "set-aside").iterdir()
        assert (aside / "checkpoints" / "step-00000006.pt").read_bytes() == b"damaged"
        lines = before[str(run / "metrics.jsonl")].splitlines()
        assert (aside / "metrics.jsonl").read_bytes().splitlines() == lines[4:]
        assert records(run) == records(trained) and identical(checkpoint(run, 6), checkpoint(trained, 6))

    @pytest.mark.parametrize("number", [errno.EACCES, errno.EIO])
    def test_a_checkpoint_that_cannot_be_read_stops_the_resume(self, run, capsys, monkeypatch, number):
        original, before = os.open, contents(run)

        def refused(name, *args, **kwargs):
            if str(name).endswith("step-00000006.pt"):
                raise OSError(number, os.strerror(number), name)
            return original(name, *args, **kwargs)

        monkeypatch.setattr(atomic.os, "open", refused)
        assert "cannot be read" in fails(capsys, "train", "--resume", "--out", run, "--steps", "9")
        monkeypatch.undo()
        before.pop(str(run / ".lock.json"))
        assert {name: data for name, data in contents(run).items() if not name.endswith(".lock.json")} == before

    def test_checkpoints_that_are_gone_are_not_begun_again(self, run, capsys):
        shutil.rmtree(run / "checkpoints")
        assert "are gone, though the run came to step 5" in fails(capsys, "train", "--resume", "--out", run)
        assert len(records(run)) == 6

    def test_a_newest_one_that_is_gone_is_named(self, run, capsys):
        assert main(["train", "--resume", "--out", str(run), "--steps", "8", "--checkpoint-every", "2"]) == 0
        (run / "checkpoints" / "step-00000006.pt").unlink()
        (run / "checkpoints" / "step-00000008.pt").unlink()
        assert main(["sample", str(run), "--n", "1"]) == 0
        assert "The checkpoint of step 6 is gone; the last one" in capsys.readouterr().err

    def test_a_part_of_a_killed_process_is_cleared_away(self, run):
        (run / "checkpoints" / ".part-1").write_text("half")
        assert main(["train", "--resume", "--out", str(run), "--steps", "7"]) == 0
        assert not list(run.rglob(".part*"))

    @pytest.mark.slow
    def test_damaged_events_are_made_again(self, tmp_path, monkeypatch, capsys):
        cheapen_looks(monkeypatch)
        looks = ["--sample-every", "2", "--spectrum-every", "2", "--spectrum-k", "2", "--log-every", "1"]
        assert main(["train", "--out", str(tmp_path / "a"), *ARGS, *looks]) == 0
        (path,) = (tmp_path / "a").glob("events.*")
        shown, data = events(tmp_path / "a"), bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
        capsys.readouterr()
        assert main(["train", "--resume", "--out", str(tmp_path / "a")]) == 0
        assert "made again from metrics and pictures" in capsys.readouterr().err
        assert events(tmp_path / "a") == shown
        (aside,) = (tmp_path / "a").glob("set-aside/*/events.*")
        assert aside.read_bytes() == bytes(data) and "tfevents" not in aside.name


class TestMetrics:
    LINES = [checked_line(i, {"step": i, "loss": i / 7}) for i in range(5)]

    def test_every_flipped_bit_is_noticed(self):
        data = b"".join(self.LINES)
        for position in range(8 * len(data)):
            flipped = bytearray(data)
            flipped[position // 8] ^= 1 << position % 8
            found = read_lines(bytes(flipped))
            good = [line.raw for line in found.good]
            assert all(raw in self.LINES for raw in good) and len(good) < 5
            assert found.lost(5)

    @pytest.mark.parametrize(
        ("order", "lost"),
        [([0, 1, 3, 4], "line 3"), ([0, 1, 2], "line 4, 5"), ([], "line 1, 2, 3, 4, 5"), ([0, 2, 1, 3, 4], "line 2")],
    )
    def test_lines_that_are_missing_or_exchanged(self, order, lost):
        assert lost in read_lines(b"".join(self.LINES[i] for i in order)).lost(5)

    def test_whole(self):
        found = read_lines(b"".join(self.LINES) + b'{"step": 5, "lo')
        assert found.lost() == found.lost(5) == "" and found.good[3].record == {"step": 3, "loss": 3 / 7}

    def test_lines_after_the_last_checkpoint_are_missed_until_the_run_goes_on(self, tmp_path, capsys):
        run = tmp_path / "run"
        assert main(["train", "--out", str(run), *ARGS, "--steps", "6", "--sample-every", "6"]) == 0
        lines = (run / "metrics.jsonl").read_bytes().splitlines(keepends=True)
        assert len(lines) > RunFolder(run).read(6)["logs"]["lines"]  # those of the last look
        capsys.readouterr()
        (run / "metrics.jsonl").write_bytes(b"".join(lines[:-1]))
        RunFolder(run).metrics()
        assert f"1 of {len(lines)} lines are damaged or missing (line {len(lines)})" in capsys.readouterr().err
        assert main(["train", "--resume", "--out", str(run), "--steps", "8"]) == 0
        capsys.readouterr()
        RunFolder(run).metrics()
        assert not capsys.readouterr().err

    def test_an_unfinished_last_line_is_named(self, run, capsys):
        path = run / "metrics.jsonl"
        path.write_bytes(path.read_bytes()[:-1])
        assert len(RunFolder(run).metrics()) == 5
        assert "damaged or missing (line 6)" in capsys.readouterr().err
        path.write_bytes(path.read_bytes() + b"\n" + b'{"step"')
        assert len(RunFolder(run).metrics()) == 6
        assert "the last line is unfinished" in capsys.readouterr().err

    def test_of_another_run(self, run, tmp_path, capsys):
        assert main(["train", "--out", str(tmp_path / "b"), *ARGS, "--seed", "1"]) == 0
        shutil.copy(tmp_path / "b" / "metrics.jsonl", run / "metrics.jsonl")
        RunFolder(run).metrics()
        assert "is not the file that this run wrote" in capsys.readouterr().err


class TestPruning:
    @pytest.mark.parametrize(
        ("last", "every", "measured", "gone"),
        [
            (0, 0, [], []),
            (2, 0, [], [2, 4, 6]),
            (2, 4, [], [2, 6]),
            (1, 0, [2, 6], [4, 8]),
            (9, 0, [], []),
        ],
    )
    def test_the_rule(self, last, every, measured, gone):
        assert superfluous([2, 4, 6, 8, 10], last, every, measured) == gone

    def test_a_run_keeps_to_it(self, tmp_path):
        flags = ["--checkpoint-every", "1", "--keep-last", "2", "--keep-every", "3", "--steps", "8"]
        assert main(["train", "--out", str(tmp_path / "a"), *ARGS, *flags]) == 0
        assert RunFolder(tmp_path / "a").steps() == [3, 6, 7, 8]

    def test_those_that_spectra_refer_to_stay(self, tmp_path, monkeypatch):
        cheapen_looks(monkeypatch)
        flags = ["--checkpoint-every", "1", "--keep-last", "1", "--spectrum-every", "4", "--spectrum-k", "2"]
        assert main(["train", "--out", str(tmp_path / "a"), *ARGS, *flags]) == 0
        assert RunFolder(tmp_path / "a").steps() == [4, 6]

    def test_what_another_process_wrote_is_read_before_it_is_deleted(self, run):
        (run / "checkpoints" / "step-00000002.pt").write_bytes(b"damaged")
        assert main(["train", "--resume", "--out", str(run), "--steps", "12", "--keep-last", "2"]) == 0
        assert RunFolder(run).steps() == [2, 10, 12]


class TestReaders:
    def test_of_a_growing_run_see_one_checkpoint(self, tmp_path, monkeypatch, capsys):
        """A checkpoint is written and the older ones deleted between any two looks of the reader."""
        args = [*ARGS[: ARGS.index("--steps")], "--steps", "9", "--checkpoint-every", "1", "--keep-last", "0"]
        assert main(["train", "--out", str(tmp_path / "all"), *args]) == 0
        run = shutil.copytree(tmp_path / "all", tmp_path / "run")
        for file in (run / "checkpoints").iterdir():
            if int(file.stem[5:]) > 2:
                file.unlink()
        original = RunFolder.steps

        def growing(self):
            found = original(self)
            newest = tmp_path / "all" / "checkpoints" / f"step-{max(found) + 1:08d}.pt"
            if newest.exists():
                shutil.copy(newest, run / "checkpoints")
                for step in found:
                    self.checkpoint_path(step).unlink()
            return found

        monkeypatch.setattr(RunFolder, "steps", growing)
        (run / "metrics.jsonl").unlink()
        assert gt.load(run).step > 2 and capsys.readouterr().err == ""

    def test_buffers_of_a_loaded_state_are_those_of_the_checkpoint(self, tmp_path):
        args = [f"{own_file(tmp_path)}:batch_norm", *QUIET, "--optimizer", "simultaneous", "--checkpoint-every", "2"]
        assert main(["train", *args, "--steps", "4", "--out", str(tmp_path / "a")]) == 0
        run = gt.load(tmp_path / "a")
        assert run.optimizer is not None
        then = run.at(2)
        assert identical(then.optimizer.state.buffers, checkpoint(tmp_path / "a", 2)["buffers"])

    def test_a_path_of_one_checkpoint(self, tmp_path, capsys):
        assert main(["train", *ARGS, "--steps", "2", "--out", str(tmp_path / "a")]) == 0
        err = fails(capsys, "path", tmp_path / "a")
        assert "needs two checkpoints" in err and "has one, of step 2" in err

    @pytest.mark.parametrize(
        ("steps", "logged", "gone"), [([2, 4], 5, 0), ([2, 4], 6, 6), ([2], 5, 4), ([], 1, 0), ([], 2, 2), ([6], 6, 0)]
    )
    def test_which_checkpoint_must_have_been_there(self, run, steps, logged, gone):
        assert missing_checkpoint(read_record(run / "config.json").config, steps, logged) == gone


class TestAnotherRate:
    def test_is_recorded_and_in_force_from_there_on(self, run, tmp_path, capsys):
        argv = ["train", "--resume", "--out", str(run), "--steps", "8", "--optimizer.lr", "1e-6", "--keep-last", "0"]
        assert main(argv) == 0
        assert "From step 6 on, optimizer.lr = 0.0001 becomes 1e-06" in capsys.readouterr().err
        note = json.loads((run / "config.json").read_text())["resumed"][-1]
        assert note["changed"] == {"optimizer.lr": [1e-4, 1e-6]} and note["step"] == 6
        opened = gt.load(run)
        assert (
            opened.optimizer.lr == 1e-6 and opened.at(4).optimizer.lr == 1e-4 and gt.load(run, 8).optimizer.lr == 1e-6
        )
        moved = [(checkpoint(run, b)["parameters"][n] - checkpoint(run, a)["parameters"][n]).norm()
                 for a, b in ((4, 6), (6, 8)) for n in ("generator.layers.0.weight",)]  # fmt: skip
        assert moved[1] < moved[0] / 20

    def test_going_back_behind_it_is_a_change_too(self, run, capsys):
        assert main(["train", "--resume", "--out", str(run), "--steps", "8", "--optimizer.lr", "1e-6"]) == 0
        for step in (6, 8):
            (run / "checkpoints" / f"step-{step:08d}.pt").write_bytes(b"damaged")
        capsys.readouterr()
        assert main(["train", "--resume", "--out", str(run)]) == 0
        assert "From step 4 on, optimizer.lr = 0.0001 becomes 1e-06" in capsys.readouterr().err


class TestSignals:
    @pytest.mark.parametrize("ignored", [False, True])
    def test_a_closed_terminal_saves(self, tmp_path, monkeypatch, ignored):
        original = Trainer._step

        def step(self, number):
            original(self, number)
            if number == 2:
                os.kill(os.getpid(), signal.SIGHUP)
                os.kill(os.getpid(), signal.SIGHUP)

        monkeypatch.setattr(Trainer, "_step", step)
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
        try:
            code = main(["train", *ARGS, "--checkpoint-every", "0", "--out", str(tmp_path / "a")])
        finally:
            signal.signal(signal.SIGHUP, before)
        assert (code, RunFolder(tmp_path / "a").steps()) == ((0, [6]) if ignored else (129, [3]))

    @pytest.mark.parametrize("command", ["spectrum", "index", "density"])
    def test_an_analysis_says_so(self, run, capsys, monkeypatch, command):
        from gantools import analysis

        def stopped(*args, **kwargs):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(9)

        for name in ("eigenvalues", "index", "spectral_density"):
            monkeypatch.setattr(analysis, name, stopped)
        assert "stopped by SIGTERM" in fails(capsys, command, run, code=143)

    def test_a_terminal_that_is_gone_does_not_end_a_training(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setattr("builtins.print", lambda *a, **k: (_ for _ in ()).throw(OSError(errno.EIO, "I/O error")))
        code = main(["train", *ARGS, "--out", str(tmp_path / "a")])
        monkeypatch.undo()
        assert code == 2 and RunFolder(tmp_path / "a").steps()[-1] == 6


def test_what_a_dry_run_reads_is_checked_too(run, tmp_path, capsys):
    assert main(["train", "--out", str(tmp_path / "b"), *ARGS, "--seed", "1"]) == 0
    shutil.copy(tmp_path / "b" / "config.json", run / "config.json")
    assert "seed = 0, but config.json says 1" in fails(capsys, "train", "--resume", "--dry-run", "--out", run)


def test_a_point_to_go_on_from_changes_nothing(run):
    before = contents(run)
    found = last_checkpoint(RunFolder(run), read_record(run / "config.json").config)
    assert (found.step, found.newest) == (6, 6) and contents(run) == before
    assert isinstance(found.saved["parameters"]["generator.layers.0.weight"], torch.Tensor)


def test_data_that_changed_under_their_name(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    points = torch.randn(40, 2, generator=torch.Generator().manual_seed(0)).numpy()
    np.save("x.npy", points)
    args = [*ARGS, "--data", "x.npy"]
    assert main(["train", "--out", "a", *args]) == 0
    assert main(["spectrum", "a", "--k", "2"]) == 0 and capsys.readouterr().err == ""
    np.save("x.npy", points + 1)
    assert "x.npy are not those that this run was trained on" in fails(
        capsys, "train", "--resume", "--out", "a", "--steps", "8"
    )
    assert main(["spectrum", "a", "--k", "2"]) == 0
    assert "x.npy are not those that this run was trained on" in capsys.readouterr().err
