"""A user's own file: how it is imported, and where its errors are found."""

import sys

import pytest

from gantools.errors import GantoolsError
from gantools.games.game import Game
from gantools.runs.user_file import is_target, load_target, own_errors

HEAD = """
from __future__ import annotations
import torch, gantools as gt
from torch import nn
"""
GAME = "gt.minimization(nn.Linear(2, 1), lambda m, b: m(b).mean()), torch.ones(3, 2)\n"


def write(folder, text, name="mine.py"):
    (folder / name).write_text(HEAD + text)
    return f"{folder / name}:build"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a.py:f", True), ("a.py", True), ("b/a.py:f", True), ("runs/a", False), ("folder:x", False), ("a.npy", False)],
)
def test_what_names_a_function(text, expected):
    assert is_target(text) is expected


def test_its_neighbours_are_found_at_import_and_when_called(tmp_path):
    (tmp_path / "neighbour_a.py").write_text("x = 1\n")
    (tmp_path / "neighbour_b.py").write_text("x = 2\n")
    text = f"import neighbour_a\ndef build():\n    import neighbour_b\n    return {GAME}"
    before = list(sys.path)
    game, _ = load_target(write(tmp_path, text))
    assert isinstance(game, Game) and sys.path == before


def test_a_file_that_changes_the_path_itself(tmp_path):
    before = list(sys.path)
    load_target(write(tmp_path, f"import sys\nsys.path.insert(0, '/own')\ndef build():\n    return {GAME}"))
    assert [p for p in sys.path if p != "/own"] == before
    sys.path.remove("/own")


def test_dataclasses_work_in_it(tmp_path):
    text = "import dataclasses\n@dataclasses.dataclass\nclass C:\n    x: int = 3\n"
    text += f"def build():\n    C()\n    return {GAME}"
    assert isinstance(load_target(write(tmp_path, text))[0], Game)


def test_it_does_not_take_the_place_of_a_module(tmp_path):
    import random

    load_target(write(tmp_path, f"def build():\n    return {GAME}", name="random.py"))
    assert sys.modules["random"] is random


def test_errors_name_the_line_of_a_relative_path(tmp_path, monkeypatch):
    write(tmp_path, "def build():\n    inner()\ndef inner():\n    {}['key']\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GantoolsError, match=r"KeyError: 'key' \(line 8 of mine.py\)"):
        load_target("mine.py:build")


def test_own_errors_leave_ours_and_interrupts_alone():
    for error in (GantoolsError("ours"), KeyboardInterrupt()):
        with pytest.raises(type(error)) as caught, own_errors("a.py:f"):
            raise error
        assert caught.value is error
    with pytest.raises(RuntimeError), own_errors(None):
        raise RuntimeError("a bug of ours")
    with pytest.raises(GantoolsError, match="a.py:f failed: RuntimeError: theirs"), own_errors("a.py:f"):
        raise RuntimeError("theirs")


def test_an_error_of_many_lines_is_one_sentence():
    with pytest.raises(GantoolsError) as caught, own_errors("a.py:f"):
        raise RuntimeError("first\nsecond")
    assert "\n" not in str(caught.value)


def test_memory_has_a_sentence_of_its_own():
    import torch

    ours = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 4 bytes."
    for error in (torch.OutOfMemoryError("CUDA out of memory"), RuntimeError(ours), MemoryError()):
        with pytest.raises(GantoolsError, match="too little memory") as caught, own_errors("mine.py:build"):
            raise error
        assert "mine.py" not in str(caught.value)


def test_a_file_that_ends_the_program_is_told(tmp_path):
    for name, text in (("inside", "import sys\ndef build():\n    sys.exit(3)\n"), ("above", "raise SystemExit(3)\n")):
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        with pytest.raises(GantoolsError, match="SystemExit: 3"):
            load_target(f"{path}:build")
