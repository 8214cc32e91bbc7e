"""Runs from before checksums, stored code and pruning (commit db7bb30): they open, and go on, with a word on that."""

import json
import zipfile
from pathlib import Path

import pytest
import torch

import gantools as gt
from gantools.cli import main
from gantools.runs.record import read_record
from gantools.runs.store.folder import RunFolder
from tests.quick import few
from tests.runs import cheapen_looks, checkpoint, events

ARCHIVE = Path(__file__).with_name("old_runs.zip")


@pytest.fixture
def old(tmp_path, monkeypatch):
    with zipfile.ZipFile(ARCHIVE) as archive:
        archive.extractall(tmp_path)
    monkeypatch.chdir(tmp_path)
    cheapen_looks(monkeypatch)
    return tmp_path


def until(last, tags):
    """Return by tag the steps up to a last one."""
    kept = {tag: [step for step in steps if step <= last] for tag, steps in tags.items()}
    return {tag: steps for tag, steps in kept.items() if steps}


def test_a_gan_opens_and_goes_on_as_before(old, capsys):
    before = checkpoint(old / "old-ring", 6)
    logged, shown = RunFolder(old / "old-ring").metrics(), events(old / "old-ring")
    assert gt.load("old-ring").steps == [3, 6]
    assert main(["spectrum", "old-ring", "--k", "2"]) == main(["sample", "old-ring", "--n", "2"]) == 0
    assert capsys.readouterr().err.count("before there were checksums") == 3
    (old / "old-ring" / "checkpoints" / "step-00000006.pt").unlink()
    assert main(["train", "--resume", "--out", "old-ring"]) == 0
    assert "before there were checksums" in capsys.readouterr().err
    for name, value in checkpoint(old / "old-ring", 6)["parameters"].items():
        torch.testing.assert_close(value, before["parameters"][name])
    for tags, tags_before in zip(events(old / "old-ring"), shown, strict=True):
        assert until(2, tags) == until(2, tags_before)  # what is logged from step 3 on has the tags of today
    assert RunFolder("old-ring").metrics()[:4] == logged[:4]  # those of before the checkpoint are the same lines
    losses = [
        [line["step"] for line in lines if "loss/generator" in line]
        for lines in (RunFolder("old-ring").metrics(), logged)
    ]
    assert losses[0] == losses[1]
    assert read_record(old / "old-ring" / "config.json").checked
    assert main(["train", "--resume", "--out", "old-ring", "--steps", "40", "--checkpoint-every", "1"]) == 0
    assert len(RunFolder(old / "old-ring").steps()) == 36  # its configuration had no rule: all are kept


def test_a_users_file_is_executed_where_it_is_trusted_and_said_to_be_as_it_is_now(old, capsys):
    assert main(["spectrum", "old-own"]) == 2
    assert "add --trust" in capsys.readouterr().err
    assert main(["spectrum", "old-own", "--trust"]) == 0
    assert "own.py is taken as it is now, changed or not" in capsys.readouterr().err
    assert main(["train", "--resume", "--out", "old-own", "--steps", "6"]) == 0
    files = read_record(old / "old-own" / "config.json").code["files"]
    assert set(files) == {"own.py", "own_helper.py"} and len(list((old / "old-own" / "code").glob("*/*"))) == 2


@pytest.mark.parametrize("line", few(['{"step": null}', '{"step": "3"}', "{", "[]", '{"loss": 1}'], 2))
def test_a_line_of_metrics_that_is_none_is_named(old, capsys, line):
    path = old / "old-ring" / "metrics.jsonl"
    whole = path.read_text().splitlines()
    path.write_text("\n".join([*whole[:2], line, *whole[2:]]) + "\n")
    assert RunFolder("old-ring").metrics() == [json.loads(text) for text in whole]
    assert "1 of its lines are damaged" in capsys.readouterr().err
    assert main(["train", "--resume", "--out", "old-ring"]) == 0
    assert "1 of its lines are damaged" in capsys.readouterr().err
    (aside,) = old.glob("old-ring/set-aside/*/metrics.jsonl")
    assert line in aside.read_text().splitlines()


def test_a_damaged_event_is_named_and_made_again(old, capsys):
    (path,) = old.glob("old-ring/events.*")
    shown = events(old / "old-ring")
    data = bytearray(path.read_bytes())
    data[data.index(b"loss/generator") - 20] ^= 64
    path.write_bytes(data)
    assert main(["train", "--resume", "--out", "old-ring"]) == 0
    err = capsys.readouterr().err
    assert "damaged or missing; the events are made again" in err
    assert until(5, events(old / "old-ring")[0]) == until(5, shown[0])
