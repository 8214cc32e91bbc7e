"""A user's file in a run: stored with what it imports, executed as it was stored, and only where it is trusted."""

import json
import shutil
import sys

import pytest

import gantools as gt
from gantools.cli import main
from gantools.runs.code.stored import Code, digest, read_code, stored_code
from gantools.runs.record import read_record
from tests.quick import few
from tests.runs import QUIET, checkpoint, fails, identical

ENTRY = """
import torch
from torch import nn
import gantools as gt
import pathlib
from helper import scale
from package import inner


def build():
    from late import shift

    assert pathlib.Path(__file__).with_name("data.txt").read_text()
    rng = torch.Generator().manual_seed(1)
    data = torch.randn(5, 2, generator=rng), torch.randn(5, 1, generator=rng)
    model = nn.Linear(2, 1)
    return gt.minimization(model, lambda m, b: scale * inner.factor * (m(b[0]) - b[1] + shift).square().mean()), [data]
"""
FILES = {
    "own.py": ENTRY,
    "helper.py": "scale = 2.0\n",
    "late.py": "shift = 0.0\n",
    "package/__init__.py": "",
    "package/inner.py": "from . import deep\nfactor = deep.factor\n",
    "package/deep.py": "factor = 1.0\n",
    "data.txt": "data",
    "unused.py": "raise RuntimeError\n",
}
STORED = {name for name in FILES if name.endswith(".py")} - {"unused.py"}


@pytest.fixture
def project(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    args = ["train", "own.py:build", *QUIET, "--optimizer", "simultaneous", "--steps", "4", "--checkpoint-every", "2"]
    assert main([*args, "--out", str(tmp_path / "run")]) == 0
    return folder


@pytest.fixture
def run(project, tmp_path):
    return tmp_path / "run"


def spectrum(run):
    opened = gt.load(run, code="stored")
    return float(gt.analysis.spectrum(gt.analysis.jacobian(opened.game, opened.batches)).values.max())


class TestStored:
    def test_what_is_imported_from_beside_and_nothing_else(self, project, run):
        code = read_record(run / "config.json").code
        assert set(code["files"]) == STORED and code["folder"] == str(project)
        (copy,) = (run / "code").iterdir()
        assert copy.name == digest(code)[:16]
        assert {str(f.relative_to(copy)): f.read_text() for f in copy.rglob("*.py")} == {n: FILES[n] for n in STORED}

    @pytest.mark.parametrize("name", few(["helper.py", "package/deep.py", "own.py", "late.py"], 2))
    def test_a_file_that_changed_is_asked_about(self, project, run, capsys, name):
        before = spectrum(run)
        text = FILES[name].replace("2.0", "8.0").replace("1.0", "4.0").replace("0.0", "1.0").replace("scale *", "9 *")
        (project / name).write_text(text)
        for argv in (["spectrum", run], ["train", "--resume", "--out", run, "--steps", "6"], ["index", run]):
            err = fails(capsys, *argv)
            assert f"{project / name} changed since" in err and "--code stored" in err
        assert spectrum(run) == before
        if name != "late.py":  # which shifts the optimum and leaves the curvature
            opened = gt.load(run, code="current")
            assert float(gt.analysis.spectrum(gt.analysis.jacobian(opened.game, opened.batches)).values.max()) > before

    def test_going_on_with_the_stored_text_is_the_run_that_it_was(self, project, run, tmp_path):
        whole = [
            "train",
            "own.py:build",
            *QUIET,
            "--optimizer",
            "simultaneous",
            "--steps",
            "6",
            "--checkpoint-every",
            "2",
        ]
        assert main([*whole, "--out", str(tmp_path / "whole")]) == 0
        (project / "helper.py").write_text("scale = 9.0\n")
        assert main(["train", "--resume", "--out", str(run), "--steps", "6", "--code", "stored"]) == 0
        assert identical(checkpoint(run, 6), checkpoint(tmp_path / "whole", 6))

    def test_going_on_with_the_file_as_it_is_now_is_recorded(self, project, run, capsys):
        before = spectrum(run)
        (project / "helper.py").write_text("scale = 4.0\n")
        assert main(["train", "--resume", "--out", str(run), "--steps", "6", "--code", "current"]) == 0
        assert "From step 4 on, the text of your file becomes what it is now" in capsys.readouterr().err
        note = json.loads((run / "config.json").read_text())["resumed"][-1]
        assert note["step"] == 4 and set(note["changed"]) == {"code"}
        assert len(list((run / "code").iterdir())) == 2
        opened = gt.load(run)  # the last checkpoint is of the new text, an earlier one of the old
        values = [
            float(gt.analysis.spectrum(gt.analysis.jacobian(at.game, at.batches)).values.max())
            for at in (opened, opened.at(4))
        ]
        assert values == pytest.approx([2 * before, before], rel=1e-4)

    def test_from_another_folder_with_a_file_of_that_name(self, project, run, tmp_path, monkeypatch, capsys):
        before = spectrum(run)
        other = tmp_path / "other"
        other.mkdir()
        (other / "own.py").write_text("raise RuntimeError('another file')\n")
        monkeypatch.chdir(other)
        assert spectrum(run) == before
        shutil.rmtree(project)  # the original is gone, and nothing is asked; its data file has to be brought along
        (copy,) = (run / "code").iterdir()
        (copy / "data.txt").write_text("data")
        assert main(["spectrum", str(run), "--k", "2"]) == 0

    def test_a_damaged_copy_is_replaced_by_the_original_or_named(self, project, run, capsys):
        (path,) = run.glob("code/*/helper.py")
        path.write_text("scale = 3.0\n")
        assert spectrum(run) > 0
        (project / "helper.py").write_text("scale = 3.0\n")
        assert "helper.py is damaged or missing: its hash is not" in fails(capsys, "spectrum", run)

    def test_two_runs_whose_neighbours_have_the_same_name(self, project, run, tmp_path):
        first = spectrum(run)
        shutil.copytree(project, tmp_path / "second")
        (tmp_path / "second" / "helper.py").write_text("scale = 6.0\n")
        target = f"{tmp_path / 'second' / 'own.py'}:build"
        args = ["train", target, *QUIET, "--optimizer", "simultaneous", "--steps", "1", "--out", str(tmp_path / "b")]
        assert main(args) == 0
        assert [spectrum(run), spectrum(tmp_path / "b"), spectrum(run)] == pytest.approx([first, 3 * first, first])

    def test_modules_of_the_program_itself_stay_its_own(self, project, run, monkeypatch):
        monkeypatch.syspath_prepend(str(project))
        sys.modules.pop("helper", None)
        import helper

        spectrum(run)
        assert sys.modules["helper"] is helper
        del sys.modules["helper"]

    def test_what_is_found_by_other_means_is_stored_too(self, project, tmp_path):
        text = FILES["own.py"].replace(
            "from helper import scale", "import importlib\nscale = importlib.import_module('helper').scale"
        )
        (project / "own.py").write_text(text)
        args = ["train", "own.py:build", *QUIET, "--optimizer", "simultaneous", "--steps", "1"]
        assert main([*args, "--out", str(tmp_path / "b")]) == 0
        assert set(read_record(tmp_path / "b" / "config.json").code["files"]) == STORED

    def test_gantools_beside_the_file_is_not_taken_for_a_neighbour(self, tmp_path):
        (tmp_path / "gantools").mkdir()
        (tmp_path / "gantools" / "__init__.py").write_text("raise RuntimeError")
        (tmp_path / "a.py").write_text("import gantools, json, missing\nfrom . import b\n")
        assert set(read_code(tmp_path / "a.py").files) == {"a.py"}

    def test_names_that_lead_out_of_the_run_are_refused(self, tmp_path):
        for name in ("../a.py", "/a.py"):
            with pytest.raises(gt.GantoolsError, match="outside"):
                stored_code({"entry": name, "folder": "/", "files": {name: "0"}}, tmp_path)


class TestTrust:
    def test_code_that_this_machine_does_not_know(self, run, tmp_path, monkeypatch, capsys):
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another machine"))
        for argv in (["spectrum", run], ["train", "--resume", "--out", run], ["path", run], ["density", run]):
            assert "never executed on this machine" in fails(capsys, *argv)
        with pytest.raises(gt.GantoolsError, match="add --trust"):
            gt.load(run)
        assert main(["spectrum", str(run), "--k", "2", "--trust"]) == 0
        assert main(["spectrum", str(run), "--k", "2"]) == 0  # known from now on

    def test_another_function_of_known_code(self, run, capsys):
        from gantools.runs.code.trust import is_known

        code = stored_code(read_record(run / "config.json").code, run / "code")
        assert is_known(code, "build") and not is_known(code, "other")
        assert not is_known(Code("own.py", code.folder, {**code.files, "late.py": b""}, complete=True), "build")

    def test_a_folder_for_what_is_known_that_cannot_be_written(self, project, tmp_path, monkeypatch, capsys):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
        args = ["train", "own.py:build", *QUIET, "--optimizer", "simultaneous", "--steps", "1"]
        assert main([*args, "--out", str(tmp_path / "b")]) == 0
        assert "will need --trust" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", few(["checkpoints", "samples", "analysis", "code", "set-aside", "config.json", "metrics.jsonl"], 3)
)
def test_links_are_not_followed(run, tmp_path, capsys, name):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "victim").write_text("precious")
    path = run / name
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.symlink_to(outside / "victim" if "." in name else outside)
    for argv in (["train", "--resume", "--out", run, "--steps", "6"], ["spectrum", run, "--k", "2"]):
        err = fails(capsys, *argv)
        assert name in err and "is a link" in err
    assert [file.name for file in outside.iterdir()] == ["victim"] and (outside / "victim").read_text() == "precious"
