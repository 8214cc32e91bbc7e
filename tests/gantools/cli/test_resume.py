"""Runs that are resumed: changed settings, damaged files and checkpoints, each with its sentence."""

import json
import os
import pickle

import pytest
import torch

from gantools.cli import main
from gantools.runs.record import write_record
from tests.quick import few
from tests.runs import QUIET, RING, checkpoint, fails, identical, own_file, records

pytestmark = pytest.mark.usefixtures("in_a_folder_of_its_own")


def identical_files(run):
    return {f: f.read_bytes() for f in run.rglob("*") if f.is_file()}


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
        few(
            [
                "",
                "{",
                "[]",
                "{}",
                '{"config": 3}',
                '{"config": {}}',
                '{"config": {"optimizer": "adam"}}',
                "\0" * 99,
                "ÿ",
            ],
            4,
        ),
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
