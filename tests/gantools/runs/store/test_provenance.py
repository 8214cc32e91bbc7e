"""The git revision of a run: read without running a program that the checkout names."""

import subprocess

import pytest

from gantools.runs.store.provenance import git_revision


def git(folder, *args):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b"]
    return subprocess.run(["git", *identity, *args], cwd=folder, check=True, capture_output=True, text=True).stdout


def committed(folder):
    """Make a checkout with one file and one commit."""
    folder.mkdir()
    git(folder, "init", "-q")
    (folder / "a.txt").write_text("a\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "first")
    return folder


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    folder = committed(tmp_path / "checkout")
    monkeypatch.chdir(folder)
    return folder


def test_a_revision_and_whether_files_differ_from_it(checkout):
    revision = git(checkout, "rev-parse", "HEAD").strip()
    assert git_revision() == revision
    (checkout / "b.txt").write_text("not under git\n")
    assert git_revision() == revision
    (checkout / "a.txt").write_text("b, longer\n")
    assert git_revision() == revision + "+"
    git(checkout, "add", "a.txt")
    assert git_revision() == revision + "+"


def test_no_checkout(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert git_revision() is None


@pytest.mark.parametrize("place", ["fsmonitor", "hooks", "clean", "process", "textconv", "external", "submodule"])
def test_nothing_of_a_foreign_checkout_is_run(checkout, tmp_path, place):
    """Each of these makes `git status` or `git diff` run a program; the file is touched so that git would look."""
    marker, program = tmp_path / "marker", tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {marker}\ncat\n")
    program.chmod(0o755)
    where = checkout
    if place == "submodule":
        where = committed(checkout / "sub")
        git(checkout, "add", "sub")
        git(checkout, "commit", "-qm", "second")
    settings = {
        "fsmonitor": "core.fsmonitor",
        "submodule": "core.fsmonitor",
        "clean": "filter.x.clean",
        "process": "filter.x.process",
        "textconv": "diff.x.textconv",
        "external": "diff.x.command",
    }
    if place == "hooks":
        for name in ("post-index-change", "fsmonitor-watchman", "reference-transaction"):
            hook = checkout / ".git" / "hooks" / name
            hook.parent.mkdir(exist_ok=True)
            hook.write_bytes(program.read_bytes())
            hook.chmod(0o755)
    else:
        git(where, "config", settings[place], str(program))
        (checkout / ".git" / "info").mkdir(exist_ok=True)
        (checkout / ".git" / "info" / "attributes").write_text("*.txt filter=x diff=x\n")
    (where / "a.txt").write_text("z\n")
    assert git_revision()
    assert not marker.exists()
