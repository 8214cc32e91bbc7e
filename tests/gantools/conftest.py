"""What tests of the command line share."""

import shutil

import pytest

from gantools.cli import main
from tests.runs import QUIET, RING, cheapen_looks


@pytest.fixture
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    cheapen_looks(monkeypatch)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run with checkpoints at 0 < 2 < 4; tests must not change it."""
    path = tmp_path_factory.mktemp("trained") / "run"
    args = [*RING, *QUIET, "--optimizer", "simultaneous", "--checkpoint-every", "2", "--steps", "4"]
    assert main(["train", "--out", str(path), *args]) == 0
    return path


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the run that a test may damage."""
    return shutil.copytree(trained, tmp_path / "run")
