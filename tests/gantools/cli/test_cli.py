"""The command line: its help, what it prints and writes, run folders, full disks."""

import errno
import fcntl
import functools
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import time
import urllib.request

import numpy as np
import pytest
import torch

import gantools as gt
from gantools.cli import COMMANDS, main
from gantools.runs import training_loop as trainer
from tests.quick import few
from tests.runs import QUIET, RING, checkpoint, fails, own_file, records, run_ok

pytestmark = pytest.mark.usefixtures("in_a_folder_of_its_own")


class TestHelp:
    def test_without_a_command(self, capsys):
        out = run_ok(capsys)
        assert all(f"  {name} " in out for name in COMMANDS)
        assert run_ok(capsys, "--help") == out == run_ok(capsys, "-h")

    def test_version(self, capsys):
        lines = run_ok(capsys, "--version").splitlines()
        assert lines[:2] == [f"gantools {gt.__version__}", f"PyTorch {torch.__version__}"]
        assert lines[3] == f"device cpu ({torch.get_num_threads()} threads)" and len(lines) == 4

    @pytest.mark.parametrize("command", COMMANDS)
    def test_of_every_command(self, capsys, command):
        with pytest.raises(SystemExit) as exit:
            main([command, "--help"])
        out = capsys.readouterr().out
        assert exit.value.code == 0 and f"usage: gantools {command}" in out
        assert "(default: " in out

    def test_defaults_of_train_are_those_of_the_data(self, capsys):
        with pytest.raises(SystemExit):
            main(["train", "--data", "ring8", "--optimizer", "consensus", "--help"])
        out = " ".join(capsys.readouterr().out.replace("│", " ").split())
        for words in (
            "(default: 512)",
            "(default: 0.0001)",
            "weight of the squared norm of the field; or a schedule (default: 10.0)",
        ):
            assert words in out

    def test_neither_the_package_nor_the_help_loads_torch(self):
        code = (
            "import sys, gantools, gantools.board, gantools.cli; gantools.cli.main(['--help']);"
            "sys.exit(any(name in sys.modules for name in ('torch', 'scipy', 'gantools.games.game')))"
        )
        assert subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=False).returncode == 0

    def test_a_reader_that_has_seen_enough(self):
        command = [sys.executable, "-u", "-m", "gantools", "list"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        process.stdout.close()
        assert process.stderr.read() == b""
        process.stderr.close()
        assert process.wait() == 0


class TestRunFolders:
    def test_one_that_holds_a_run(self, capsys, run):
        before = {f: f.read_bytes() for f in run.rglob("*") if f.is_file()}
        assert "add --resume" in fails(capsys, "train", *RING, "--out", run)
        assert before == {f: f.read_bytes() for f in run.rglob("*") if f.is_file()}

    def test_one_with_other_files_and_a_file(self, capsys, tmp_path):
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "thesis.tex").write_text("all of it")
        assert "holds other files" in fails(capsys, "train", *RING, "--out", tmp_path / "full")
        assert "is a file" in fails(capsys, "train", *RING, "--out", tmp_path / "full" / "thesis.tex")
        assert "cannot be written" in fails(capsys, "train", *RING, "--out", tmp_path / "full" / "thesis.tex" / "run")
        assert (tmp_path / "full" / "thesis.tex").read_text() == "all of it"

    def test_an_empty_one_is_used(self, capsys, tmp_path):
        (tmp_path / "empty").mkdir()
        run_ok(capsys, "train", *RING, *QUIET, "--steps", "0", "--out", "empty")
        assert checkpoint(tmp_path / "empty", 0)["step"] == 0

    def test_without_out_each_run_has_a_new_one(self, capsys, tmp_path):
        for _ in range(2):
            run_ok(capsys, "train", *RING, *QUIET, "--steps", "0")
        assert {f.name for f in (tmp_path / "runs").iterdir()} == {"ring8-consensus", "ring8-consensus-2"}

    @pytest.mark.parametrize("call", ["exists", "mkdir", "iterdir"])
    def test_no_permission(self, capsys, tmp_path, monkeypatch, call):
        (tmp_path / "a").mkdir()

        def refuse(*args, **kwargs):
            raise PermissionError(errno.EACCES, "Permission denied")

        with monkeypatch.context() as patch:
            patch.setattr(f"pathlib.Path.{call}", refuse)
            err = fails(capsys, "train", *RING, "--out", "a")
        assert "Permission denied" in err and "--out" in err

    def test_no_permission_to_write_results(self, capsys, tmp_path, trained):
        (tmp_path / "file").write_text("")
        assert "cannot be written" in fails(capsys, "spectrum", trained, "--k", "2", "--out", "file/x")
        assert "cannot be written" in fails(capsys, "sample", trained, "--out", "file/x")


class TestFullDisk:
    @staticmethod
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    @pytest.mark.parametrize(
        "place",
        few(
            [
                "gantools.runs.store.atomic.os.replace",
                "gantools.runs.store.atomic.os.fsync",
                "gantools.runs.store.recorder.checked_line",
                "gantools.runs.store.recorder.samples_picture",
                "gantools.board.pictures.np.savez",
                "tensorboard.summary.writer.record_writer.RecordWriter.write",
            ],
            2,
        ),
    )
    def test_a_sentence_and_the_last_checkpoint(self, capsys, tmp_path, monkeypatch, place):
        original = trainer.Trainer._step

        def step(self, number):
            if number == 3:
                patch.setattr(place, TestFullDisk.full)
            original(self, number)

        args = [*RING, "--log-every", "1", "--sample-every", "4", "--spectrum-every", "4", "--spectrum-k", "2"]
        with monkeypatch.context() as patch:
            patch.setattr(trainer.Trainer, "_step", step)
            err = fails(capsys, "train", *args, "--out", "a", "--checkpoint-every", "2", "--steps", "9")
        assert "No space left on device" in err and "--resume --out a" in err and "step-0000000" in err
        run_ok(capsys, "train", "--resume", "--out", "a")
        assert [r["step"] for r in records(tmp_path / "a") if "loss/generator" in r] == list(range(9))


class TestTrain:
    def test_dry_run_prints_the_configuration_and_writes_nothing(self, capsys, tmp_path):
        out = run_ok(capsys, "train", *RING, "--optimizer.gamma", "3", "--dry-run")
        assert json.loads(out)["optimizer"]["gamma"] == 3.0
        out = run_ok(capsys, "train", *RING, "--out", "a", "--dry-run")
        assert list(tmp_path.iterdir()) == []

    def test_the_summary_says_where_to_look(self, capsys, tmp_path):
        out = run_ok(capsys, "train", *RING, "--steps", "2", "--out", "a run", "--spectrum-k", "2")
        told = out.partition("Done: 2 steps")[2]
        for label in ("trained", "metrics", "spectrum", "update", "instead"):
            assert re.search(rf"^  {label} +\S", told, re.MULTILINE), label
        assert "simultaneous gradient descent" in told and "generator" in told
        lines = told.splitlines()
        assert len(lines) <= 24 and all(len(line) <= 100 for line in lines if "/" not in line)
        for kind in ("samples", "spectra"):
            (path,) = re.findall(rf"  {kind} +(\S.*png)", out)
            assert (tmp_path / path).exists()
        assert "board 'a run'" in out  # it can be copied
        assert "Go on" not in out

    def test_a_file_wherever_it_stands(self, capsys, tmp_path):
        own_file(tmp_path)
        for argv in (["own.py:gan", "--steps", "1"], ["--steps", "1", "own.py:gan"]):
            out = run_ok(capsys, "train", *argv, *QUIET)
            assert "Training own (" in out

    def test_how_files_were_read_is_said(self, capsys, tmp_path):
        np.save(tmp_path / "x.npy", np.linspace(0, 255, 9 * 64).reshape(9, 8, 8))
        out = run_ok(capsys, "train", "--data", "x.npy", "--batch-size", "4", "--steps", "1", *QUIET)
        assert "Data x.npy: 9 images (1, 8, 8), values 0..255 scaled to [-1, 1] (found 0 to 255)." in out

    def test_config_json(self, tmp_path, trained):
        stored = json.loads((trained / "config.json").read_text())
        assert stored["config"]["optimizer"]["name"] == "simultaneous"
        assert {"gantools", "python", "torch", "numpy", "scipy"} <= set(stored["versions"])
        assert stored["command"][0] == "gantools"
        assert "git_revision" in stored and "platform" in stored["machine"]

    def test_plain_lines_where_there_is_no_terminal(self, capsys, monkeypatch):
        monkeypatch.setattr("gantools.runs.store.progress.SECONDS_BETWEEN_LINES", 1e9)
        out = run_ok(capsys, "train", *RING, *QUIET, "--steps", "30")
        assert not re.search(r"^step \d", out, re.M) and "\r" not in out
        monkeypatch.setattr("gantools.runs.store.progress.SECONDS_BETWEEN_LINES", 0.0)
        out = run_ok(capsys, "train", *RING, *QUIET, "--steps", "30")
        assert len(re.findall(r"^step \d+/30  loss/generator \d", out, re.M)) == 30

    @pytest.mark.slow
    def test_a_bar_on_a_terminal(self, tmp_path):
        ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 120, 0, 0))
        command = [sys.executable, "-m", "gantools", "train", *RING, *QUIET, "--log-every", "0", "--steps", "25"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs)
        os.close(theirs)
        shown = b""
        while True:
            try:
                shown += os.read(ours, 4096)
            except OSError:
                break
        os.close(ours)
        assert process.wait() == 0
        process.stdout.close()
        assert b"25/25" in shown and b"\r" in shown


class TestSample:
    def test_of_a_run(self, capsys, run):
        out = run_ok(capsys, "sample", run, "--n", "7")
        assert "7 samples of step 4" in out
        samples = np.load(run / "samples-4.npy")
        assert samples.shape == (7, 2) and (run / "samples-4.png").exists()
        run_ok(capsys, "sample", run, "--n", "7", "--seed", "1", "--out", run / "other")
        assert not np.allclose(np.load(run / "other.npy"), samples)

    def test_at_every_checkpoint(self, capsys, run):
        run_ok(capsys, "sample", run, "--n", "3", "--checkpoint", "all")
        assert {f.name for f in run.glob("samples-*.npy")} == {"samples-2.npy", "samples-4.npy"}

    def test_one_name_for_every_checkpoint_loses_none(self, capsys, run, tmp_path):
        run_ok(capsys, "sample", run, "--n", "3", "--checkpoint", "all", "--out", "x")
        assert {f.name for f in tmp_path.glob("x*.npy")} == {"x-2.npy", "x-4.npy"}

    def test_of_a_users_own_game(self, capsys, tmp_path):
        own_file(tmp_path)
        run_ok(capsys, "train", "own.py:one_batch", *QUIET, "--steps", "1", "--out", "a")
        assert "says of no player that it makes samples" in fails(capsys, "sample", "a")
        assert "not a run folder" in fails(capsys, "sample", "own.py:gan")


class TestBoard:
    def test_missing_and_empty_folders(self, capsys, tmp_path):
        assert "There is no folder" in fails(capsys, "board", "nowhere")
        assert "There is no folder runs" in fails(capsys, "board")
        assert "holds no TensorBoard events" in fails(capsys, "board", tmp_path)

    def test_a_port_in_use(self, capsys, trained):
        import socket

        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            err = fails(capsys, "board", trained, "--port", taken.getsockname()[1])
        assert "in use" in err and "--port" in err

    def test_serves_until_ctrl_c(self, trained):
        command = [sys.executable, "-m", "gantools", "board", str(trained.parent), "--port", "0"]
        # A shell lets its background jobs ignore Ctrl-C, and children inherit that.
        heed = functools.partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=heed)
        address = re.search(r"http://127.0.0.1:\d+/", process.stdout.readline())[0]
        deadline, runs = time.monotonic() + 30, None
        while not runs and time.monotonic() < deadline:
            with urllib.request.urlopen(f"{address}data/runs") as answer:
                runs = json.loads(answer.read())
        assert runs == ["run"]
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=30)
        assert process.returncode == 130 and "Traceback" not in err
