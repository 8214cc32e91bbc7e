"""The command line: what it prints, what it writes, and that every mistake is a sentence with exit code 2."""

import errno
import fcntl
import functools
import json
import os
import pickle
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

from gantools.cli import COMMANDS, main
from gantools.runs import training_loop as trainer
from gantools.runs.record import write_record
from tests.runs import QUIET, RING, cheapen_looks, checkpoint, fails, identical, own_file, records, run_ok

pytestmark = pytest.mark.usefixtures("in_a_folder_of_its_own")


class TestHelp:
    def test_without_a_command(self, capsys):
        out = run_ok(capsys)
        assert all(f"  {name} " in out for name in COMMANDS)
        assert run_ok(capsys, "--help") == out == run_ok(capsys, "-h")

    def test_version(self, capsys):
        assert re.fullmatch(r"gantools \d+\.\d+\.\d+\n", run_ok(capsys, "--version"))

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


UNKNOWN = {
    "command": (["trian"], "Did you mean 'train'?"),
    "optimizer": (["train", "--optimizer", "consenus"], "Did you mean 'consensus'?"),
    "an optimizer that is a base": (["train", "--optimizer", "adam"], "--optimizer.base adam"),
    "base": (["train", "--optimizer.base", "adm"], "Did you mean 'adam'?"),
    "loss": (["train", "--loss", "hing"], "Did you mean 'hinge'?"),
    "data": (["train", "--data", "ring9"], "Did you mean 'ring8'?"),
    "network": (["train", "--network", "dcgna"], "Did you mean 'dcgan'?"),
    "activation": (["train", *RING, "--activation", "rel"], "Did you mean 'relu'?"),
    "activation of one player": (["train", *RING, "--network.generator-activation", "rel"], "Did you mean 'relu'?"),
    "argument of an activation": (["train", *RING, "--activation", "esp(gamma=1)"], "do not fit esp"),
    "regularizer": (["train", "--regularizer", "r3"], "r1, r2, spectral_norm"),
    "regularizer twice": (["train", "--regularizer", "r1", "--regularizer", "r1"], "twice"),
    "device": (["train", *RING, "--device", "gpu7"], "try cpu"),
    "device for spectrum": (["spectrum", "own.py:gan", "--device", "gpu7"], "try cpu"),
    "flag": (["train", "--nonsense", "3"], "Unrecognized options: --nonsense"),
    "flag of another optimizer": (
        ["train", "--optimizer", "simultaneous", "--optimizer.gamma", "3"],
        "--optimizer.gamma",
    ),
    "flag of another base": (["train", "--optimizer.base", "sgd", "--optimizer.base.alpha", "0.5"], "base.alpha"),
    "flag of a data set for a file": (["train", "own.py:gan", "--network", "mlp"], "--network"),
    "axis": (["list", "optimisers"], "Did you mean 'optimizers'?"),
    "checkpoint": (["spectrum", "RUN", "--checkpoint", "first"], "neither last, all, nor a step"),
    "step": (["sample", "RUN", "--checkpoint", "3"], "it has 2, 4"),
    "which": (["spectrum", "RUN", "--which", "LX"], "LX"),
    "player of a rate": (["train", *RING, "--optimizer.lr", "generator=1,critic=1"], "Unknown player 'critic'"),
    "player without a rate": (["train", *RING, "--optimizer.lr", "generator=1"], "no rate for 'discriminator'"),
}
NUMBERS = {
    "rate": (["train", "--optimizer.lr", "fast"], "is not a learning rate"),
    "rate of a player": (["train", "--optimizer.lr", "generator=fast"], "is not a learning rate"),
    "negative rate": (["train", *RING, "--optimizer.lr=-1"], "positive"),
    "rate nan": (["train", *RING, "--optimizer.lr", "nan"], "positive"),
    "steps in words": (["train", "--steps", "many"], "many"),
    "negative steps": (["train", "--steps", "-1"], "--steps is -1"),
    "negative seed": (["train", "--seed", "-1"], "--seed is -1"),
    "negative every": (["train", "--spectrum-every", "-5"], "--spectrum-every is -5"),
    "batch of none": (["train", "--batch-size", "0"], "--batch-size is 0"),
    "negative batch": (["train", "--batch-size", "-8"], "--batch-size is -8"),
    "latent of none": (["train", "--latent-size", "0"], "--latent-size is 0"),
    "width of none": (["train", *RING, "--network.width", "0"], "width >= 1"),
    "negative gamma": (["train", *RING, "--optimizer.gamma", "-1"], "gamma"),
    "gamma nan": (["train", *RING, "--optimizer.gamma", "nan"], "gamma"),
    "negative weight": (["train", *RING, "--regularizer", "r1", "--regularizer.gamma", "-1"], "gamma"),
    "decay above 1": (["train", *RING, "--optimizer.base", "adam", "--optimizer.base.betas", "0.9", "2"], "beta_2"),
    "one beta": (["train", *RING, "--optimizer.base", "adam", "--optimizer.base.betas", "0.9"], "betas"),
    "no update": (["train", *RING, "--optimizer", "alternating", "--optimizer.n-d", "0"], "n_d = 0"),
    "sigma 0": (["train", *RING, "--data.sigma", "0"], "sigma"),
    "ring8 batch": (["train", "--data", "ring8", "--batch-size", "12"], "multiple of 8"),
    "odd batch": (
        ["train", *QUIET, "--network", "mlp", "--batch-size", "7", "--optimizer.estimator", "independent"],
        "2 equal parts",
    ),
    "batch above the data": (["train", "--data", "digits", "--batch-size", "1798"], "at most 1797"),
    "no samples": (["sample", "RUN", "--n", "0"], "at least one"),
    "negative samples": (["sample", "RUN", "--n", "-4"], "at least one"),
    "negative k": (["spectrum", "RUN", "--k", "-3"], "-3"),
    "negative tolerance": (["spectrum", "RUN", "--tol", "-1"], "tol"),
    "negative rate to judge by": (["spectrum", "RUN", "--lr", "-1"], "lr"),
    "spectrum of an empty batch": (["spectrum", "RUN", "--batch-size", "0"], "--batch-size is 0"),
    "path to itself": (["path", "RUN", "--from", "4"], "to itself"),
    "path from nowhere": (["path", "RUN", "--from", "3"], "no checkpoint of step 3"),
    "path of one point": (["path", "RUN", "--points", "1"], "make no path"),
    "path on an empty batch": (["path", "RUN", "--batch-size", "0"], "--batch-size is 0"),
    "no probes": (["index", "RUN", "--method", "estimate", "--probes", "0"], "probes"),
    "port": (["board", "RUN", "--port", "99999999"], "99999999"),
}
FILES = {
    "missing file": ("missing.py:build", "There is no file 'missing.py'"),
    "no function": ("own.py", "names no function"),
    "missing function": ("own.py:shufled", "Did you mean 'shuffled'?"),
    "not a function": ("bad.py:number", "Unknown function"),
    "raises": ("bad.py:raises", "KeyError: 'oh' (line 8 of bad.py)"),
    "returns nothing": ("bad.py:nothing", "returned a NoneType: return (game, batches)"),
    "returns a model": ("bad.py:model", "returned a tuple of Linear, list"),
    "needs an argument": ("bad.py:needs", "missing 1 required positional argument"),
    "no batches": ("bad.py:no_batches", "empty"),
    "empty loader": ("bad.py:empty_loader", "empty"),
    "an empty batch": ("bad.py:empty_batch", "empty"),
    "a generator of batches": ("bad.py:one_shot", "only once"),
    "wrong shapes": ("bad.py:shapes", "The generator makes samples of shape (3,), the data has (2,)"),
    "its loss raises": ("bad.py:loss_raises", "ZeroDivisionError: division by zero (line 41 of bad.py)"),
    "loss without a scalar": ("bad.py:no_scalar", "not a real scalar"),
    "losses for other players": ("bad.py:other_players", "one scalar for each of 'x'"),
    "no latent": ("bad.py:no_latent", "latent"),
    "syntax error": ("syntax.py:build", "SyntaxError"),
    "fails at import": ("imports.py:build", "No module named 'nowhere'"),
}
BAD = """import torch
from torch import nn
import gantools as gt
number = 3


def raises():
    return {}["oh"]

def nothing():
    pass

def model():
    return nn.Linear(1, 1), []

def needs(argument):
    pass

def game(loss=lambda players, batch: {"x": players["x"](batch).mean()}):
    return gt.Game({"x": nn.Linear(2, 1)}, loss)

def no_batches():
    return game(), []

def empty_loader():
    return game(), torch.utils.data.DataLoader([])

def empty_batch():
    return game(), [{"x": torch.zeros(0, 2)}]

def one_shot():
    return game(), (torch.ones(4, 2) for _ in range(3))

def shapes():
    batches = [{"real": torch.ones(4, 2), "latent": torch.ones(4, 1)}] * 3
    return gt.gan(nn.Linear(1, 3), nn.Linear(2, 1)), batches

def loss_raises():
    def loss(players, batch):
        if (batch[0] > 2).all():
            1 / 0
        return {"x": players["x"](batch[0]).mean()}
    return game(loss), [(torch.full((4, 2), float(i)),) for i in range(9)]

def no_scalar():
    return game(lambda players, batch: {"x": players["x"](batch)}), torch.ones(4, 2)

def other_players():
    return game(lambda players, batch: {"y": players["x"](batch).mean()}), torch.ones(4, 2)

def no_latent():
    return gt.gan(nn.Linear(1, 2), nn.Linear(2, 1)), {"real": torch.ones(4, 2)}
"""


def _resolve(argv, run):
    return [str(run) if word == "RUN" else word for word in argv]


class TestMistakes:
    @pytest.mark.parametrize("case", UNKNOWN)
    def test_unknown(self, capsys, tmp_path, trained, case):
        own_file(tmp_path)
        argv, words = UNKNOWN[case]
        assert words in fails(capsys, *_resolve(argv, trained))
        assert not (tmp_path / "runs").exists()

    @pytest.mark.parametrize("case", NUMBERS)
    def test_numbers(self, capsys, tmp_path, trained, case):
        argv, words = NUMBERS[case]
        err = fails(capsys, *_resolve(argv, trained), *(["--steps", "1"] if case == "odd batch" else []))
        assert words in err
        assert case == "odd batch" or not (tmp_path / "runs").exists()

    @pytest.mark.parametrize("case", FILES)
    @pytest.mark.parametrize("command", ["train", "spectrum", "index"])
    def test_files(self, capsys, tmp_path, case, command):
        own_file(tmp_path)
        (tmp_path / "bad.py").write_text(BAD)
        (tmp_path / "syntax.py").write_text("def build(:\n")
        (tmp_path / "imports.py").write_text("import nowhere\n")
        target, words = FILES[case]
        assert words in fails(capsys, command, target, *(["--optimizer", "simultaneous"] if command == "train" else []))

    def test_what_a_file_raises_in_the_middle_leaves_what_was_there(self, capsys, tmp_path):
        (tmp_path / "bad.py").write_text(BAD)
        args = ["bad.py:loss_raises", *QUIET, "--optimizer", "simultaneous", "--out", "a", "--checkpoint-every", "1"]
        fails(capsys, "train", *args)
        assert [record["step"] for record in records(tmp_path / "a")] == [0, 1, 2]
        assert checkpoint(tmp_path / "a", 3)["step"] == 3

    def test_the_traceback_can_be_had(self, tmp_path, monkeypatch):
        (tmp_path / "bad.py").write_text(BAD)
        monkeypatch.setenv("GANTOOLS_TRACEBACK", "1")
        with pytest.raises(ValueError) as error:
            main(["spectrum", "bad.py:loss_raises"])
        assert isinstance(error.value.__cause__, ZeroDivisionError)

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (np.array([[0.0, np.nan]] * 9), "9 NaN or infinite"),
            (np.zeros((0, 2)), "no samples"),
            (np.array(["a"]), "not real numbers"),
            (b"", "Cannot read"),
            (None, "no file"),
        ],
    )
    def test_data_files(self, capsys, tmp_path, content, words):
        if isinstance(content, bytes):
            (tmp_path / "x.npy").write_bytes(content)
        elif content is not None:
            np.save(tmp_path / "x.npy", content)
        assert words in fails(capsys, "train", "--data", "x.npy", "--out", "a")
        assert not (tmp_path / "a").exists()

    def test_a_folder_without_images(self, capsys, tmp_path):
        assert "no image" in fails(capsys, "train", "--data", f"folder:{tmp_path}")
        assert f"folder:{tmp_path}" in fails(capsys, "train", "--data", tmp_path)

    def test_a_data_set_in_place_of_a_file(self, capsys):
        assert "--data ring8" in fails(capsys, "train", "ring8")


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


def identical_files(run):
    return {f: f.read_bytes() for f in run.rglob("*") if f.is_file()}


class TestFullDisk:
    @staticmethod
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    @pytest.mark.parametrize(
        "place",
        [
            "gantools.runs.store.atomic.os.replace",
            "gantools.runs.store.atomic.os.fsync",
            "gantools.runs.store.recorder.checked_line",
            "gantools.runs.store.recorder.samples_picture",
            "gantools.board.pictures.np.savez",
            "tensorboard.summary.writer.record_writer.RecordWriter.write",
        ],
    )
    def test_a_sentence_and_the_last_checkpoint(self, capsys, tmp_path, monkeypatch, place):
        cheapen_looks(monkeypatch)
        original = trainer.Trainer._step

        def step(self, number):
            if number == 3:
                monkeypatch.setattr(place, TestFullDisk.full)
            original(self, number)

        monkeypatch.setattr(trainer.Trainer, "_step", step)
        args = [*RING, "--log-every", "1", "--sample-every", "4", "--spectrum-every", "4", "--spectrum-k", "2"]
        err = fails(capsys, "train", *args, "--out", "a", "--checkpoint-every", "2", "--steps", "9")
        monkeypatch.undo()
        monkeypatch.chdir(tmp_path)
        cheapen_looks(monkeypatch)
        assert "No space left on device" in err and "--resume --out a" in err and "step-0000000" in err
        run_ok(capsys, "train", "--resume", "--out", "a")
        assert [r["step"] for r in records(tmp_path / "a") if "loss/generator" in r] == list(range(9))


class TestResume:
    def test_needs_the_run(self, capsys, tmp_path):
        assert "add --out" in fails(capsys, "train", "--resume")
        assert "not a run folder" in fails(capsys, "train", "--resume", "--out", tmp_path)
        assert "not a run folder" in fails(capsys, "train", "--resume", "--out", "nowhere")
        for command in ("sample", "spectrum", "index", "path"):
            assert "not a run folder" in fails(capsys, command, tmp_path)

    @pytest.mark.parametrize(
        ("flags", "words"),
        [
            (["--optimizer", "consensus"], "optimizer = simultaneous, not consensus"),
            (["--optimizer.base", "adam"], "optimizer.base = rmsprop, not adam"),
            (["--optimizer.base.alpha", "0.5"], "optimizer.base.alpha = 0.99, not 0.5"),
            (["--data", "grid25"], "data = ring8, not grid25"),
            (["--network.width", "5"], "network.width = 4, not 5"),
            (["--batch-size", "16"], "batch_size = 8, not 16"),
            (["--loss", "hinge"], "loss = nonsaturating, not hinge"),
            (["--seed", "7"], "seed = 0, not 7"),
            (["--regularizer", "r1"], "regularizers = []"),
        ],
    )
    def test_a_changed_setting(self, capsys, run, flags, words):
        assert words in fails(capsys, "train", "--resume", "--out", run, *flags)

    @pytest.mark.parametrize(
        "content",
        ["", "{", "[]", "{}", '{"config": 3}', '{"config": {}}', '{"config": {"optimizer": "adam"}}', "\0" * 99, "ÿ"],
    )
    def test_a_damaged_configuration(self, capsys, run, content):
        whole = json.loads((run / "config.json").read_text())["config"]
        (run / "config.json").write_text(content, encoding="latin-1")
        before = identical_files(run)
        for argv in (["spectrum", run, "--k", "2", "--out", "x"], ["sample", run, "--n", "1", "--out", "x/y"]):
            assert main([str(word) for word in argv]) == 0
            err = capsys.readouterr().err
            assert "config.json is damaged" in err and "taken from the checkpoint of step 4" in err
        assert identical_files(run) == before
        assert main(["train", "--resume", "--out", str(run)]) == 0
        assert json.loads((run / "config.json").read_text())["config"] == whole
        (aside,) = run.glob("set-aside/*/config.json")
        assert aside.read_text(encoding="latin-1") == content

    def test_a_damaged_configuration_of_a_run_without_checkpoints(self, capsys, run):
        (run / "config.json").write_text("{")
        for file in (run / "checkpoints").iterdir():
            file.unlink()
        for command in (["train", "--resume", "--out"], ["spectrum"], ["sample"]):
            assert "config.json is damaged" in fails(capsys, *command, run)

    @pytest.mark.parametrize(
        ("old", "new"), [("0.0001", "0.0002"), ('"seed": 0', '"seed": 1'), ('"config"', '"konfig"')]
    )
    def test_a_changed_digit_of_a_configuration(self, capsys, run, old, new):
        text = (run / "config.json").read_text()
        (run / "config.json").write_text(text.replace(old, new, 1))
        assert main(["sample", str(run), "--n", "1"]) == 0
        assert "config.json is damaged" in capsys.readouterr().err

    def test_a_configuration_that_cannot_be_read(self, capsys, tmp_path):
        (tmp_path / "a" / "config.json").mkdir(parents=True)
        assert "cannot be read" in fails(capsys, "train", "--resume", "--out", "a")

    @pytest.mark.slow
    def test_any_value_of_a_configuration_replaced_is_a_sentence_at_most(self, capsys, run):
        """Nobody writes such files, but an error in there must not be a traceback."""
        original = json.loads((run / "config.json").read_text())
        for path in (run / "checkpoints").iterdir():
            torch.save({**torch.load(path, weights_only=True), "record": ""}, path)
        for name in original["config"]:
            for junk in ("junk", -3, None, [], {"name": "junk"}, {}, {"nama": "ring8"}):
                content = {**original, "config": {**original["config"], name: junk}}
                write_record(run / "config.json", content)
                try:
                    assert main(["sample", str(run), "--n", "1"]) in (0, 2)
                    assert main(["train", "--out", str(run), "--resume", "--dry-run"]) in (0, 2)
                except SystemExit as exit:
                    assert exit.code == 2
                assert "Traceback" not in capsys.readouterr().err

    def test_a_truncated_checkpoint_gives_way_to_the_one_before(self, capsys, run, trained):
        last = run / "checkpoints" / "step-00000004.pt"
        last.write_bytes(last.read_bytes()[:1000])
        assert main(["sample", str(run), "--n", "1"]) == 0
        captured = capsys.readouterr()
        assert "step-00000004.pt is damaged or truncated" in captured.err and "of step 2" in captured.out
        assert main(["train", "--resume", "--out", str(run)]) == 0
        captured = capsys.readouterr()
        assert "damaged" in captured.err and "from step 2 to step 4" in captured.out
        assert identical(checkpoint(run, 4), checkpoint(trained, 4)) and records(run) == records(trained)

    def test_only_truncated_checkpoints(self, capsys, run):
        for file in (run / "checkpoints").iterdir():
            file.write_bytes(file.read_bytes()[:500])
        for argv in (["train", "--resume", "--out", run], ["spectrum", run]):
            assert "holds no checkpoint that can be used" in fails(capsys, *argv)
        assert len(list((run / "checkpoints").iterdir())) == 2 and records(run)
        assert "damaged or truncated" in fails(capsys, "spectrum", run, "--checkpoint", "4")

    def test_a_flipped_bit(self, capsys, run):
        last = run / "checkpoints" / "step-00000004.pt"
        saved = torch.load(last, weights_only=True)
        content = bytearray(last.read_bytes())
        number = saved["parameters"]["generator.layers.0.weight"].numpy().tobytes()
        content[content.index(number)] ^= 1
        last.write_bytes(content)
        assert main(["sample", str(run), "--n", "1"]) == 0
        assert "checksum" in capsys.readouterr().err

    def test_another_architecture(self, capsys, run, tmp_path):
        main(["train", *RING, *QUIET, "--network.width", "5", "--steps", "4", "--out", "wide"])
        other = tmp_path / "wide" / "checkpoints" / "step-00000004.pt"
        (run / "checkpoints" / "step-00000004.pt").write_bytes(other.read_bytes())
        before = records(run)
        for argv in (["train", "--resume", "--out", run], ["sample", run]):
            assert "was written with network.width = 5, but config.json says 4" in fails(capsys, *argv)
        saved = torch.load(other, weights_only=True)
        torch.save({**saved, "record": ""}, run / "checkpoints" / "step-00000004.pt")
        for argv in (["train", "--resume", "--out", run], ["sample", run]):
            err = fails(capsys, *argv)
            assert "another architecture" in err and "(5,) float32 there, (4,) float32 here" in err
        assert records(run) == before

    def test_a_users_file_that_changed(self, capsys, tmp_path):
        path = own_file(tmp_path)
        main(["train", f"{path}:shuffled", *QUIET, "--optimizer", "simultaneous", "--steps", "3", "--out", "a"])
        text = (tmp_path / "own.py").read_text()
        (tmp_path / "own.py").write_text(text.replace("def data(n=20)", "def data(n=4)"))
        again = ["train", "--resume", "--out", "a", "--steps", "9"]
        assert "own.py changed since" in fails(capsys, *again)
        assert "with the data that it began with" in fails(capsys, *again, "--code", "current")
        (tmp_path / "own.py").write_text(text.replace("nn.Linear(3, 4)", "nn.Linear(3, 6)").replace("(4, 1)", "(6, 1)"))
        assert "another architecture" in fails(capsys, *again, "--code", "current")
        assert len(records(tmp_path / "a")) == 3

    def test_another_optimizers_state(self, capsys, run, tmp_path):
        main(["train", *RING, *QUIET, "--optimizer.base", "adam", "--steps", "4", "--out", "adam"])
        other = tmp_path / "adam" / "checkpoints" / "step-00000004.pt"
        (run / "checkpoints" / "step-00000004.pt").write_bytes(other.read_bytes())
        assert "was written with optimizer = consensus" in fails(capsys, "train", "--resume", "--out", run)
        torch.save({**torch.load(other, weights_only=True), "record": ""}, run / "checkpoints" / "step-00000004.pt")
        assert "does not fit Simultaneous" in fails(capsys, "train", "--resume", "--out", run)

    def test_what_is_no_checkpoint_of_ours(self, capsys, run):
        torch.save({"model": torch.ones(3)}, run / "checkpoints" / "step-00000004.pt")
        assert "is not a gantools checkpoint" in fails(capsys, "sample", run, "--checkpoint", "4")

    def test_a_pickle_that_runs_code_is_refused(self, capsys, run, tmp_path):
        class Malice:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "owned"),)

        for save in (torch.save, lambda content, path: path.write_bytes(pickle.dumps(content))):
            save({"step": 4, "parameters": Malice()}, run / "checkpoints" / "step-00000004.pt")
            fails(capsys, "sample", run, "--checkpoint", "4")
            assert not (tmp_path / "owned").exists()


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
