"""A user's own file: how it is imported, and where its errors are found."""

import sys

import pytest

from gantools.cli import main
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


AT_ONE_DEVICE = "give --device cpu, or move your tensors to the game's device"


@pytest.mark.parametrize(
    "text",
    [  # of PyTorch 2.13, on a GPU
        "Expected all tensors to be on the same device, but found at least two devices, cuda:0 and cpu!",
        "Expected all tensors to be on the same device, but got mat2 is on cpu, different from other tensors on cuda:0 "
        "(when checking argument in method wrapper_CUDA_mm)",
        "Input type (torch.cuda.FloatTensor) and weight type (torch.FloatTensor) should be the same",
        "Input type (torch.FloatTensor) and weight type (torch.cuda.FloatTensor) should be the same or input should be "
        "a MKLDNN tensor and weight is a dense tensor",
        "indices should be either on cpu or on the same device as the indexed tensor (cpu)",
        "Expected a 'cuda' device type for generator but found 'cpu'",
        "Input and parameter tensors are not at the same device, found input tensor at cuda:0 and parameter "
        "tensor at cpu",
        "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first.",
    ],
)
def test_tensors_on_two_devices_have_a_remedy(text):
    with (
        pytest.raises(GantoolsError, match="mine.py:build failed: RuntimeError") as caught,
        own_errors("mine.py:build"),
    ):
        raise RuntimeError(text)
    assert AT_ONE_DEVICE in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "Input type (torch.cuda.FloatTensor) and weight type (torch.cuda.HalfTensor) should be the same",
        "CUDA error: device-side assert triggered",
        "expected scalar type Float but found Double",
        "Unexpected device in the configuration file",
    ],
)
def test_other_errors_have_no_remedy_for_devices(text):
    with pytest.raises(GantoolsError) as caught, own_errors("mine.py:build"):
        raise RuntimeError(text)
    assert "--device" not in str(caught.value)


@pytest.mark.parametrize("command", ["train", "index", "diagnose"])
def test_a_loss_with_a_tensor_of_another_device(tmp_path, monkeypatch, capsys, command):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(
        "import torch, gantools as gt\n"
        "weights = torch.ones(3, device='meta')\n"  # the device that every machine has beside the CPU
        "def build():\n"
        "    model = torch.nn.Linear(2, 3)\n"
        "    return gt.minimization(model, lambda m, x: (weights * m(x)).mean()), torch.ones(4, 2)\n"
    )
    assert main([command, "own.py:build", "--device", "cpu"]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert "own.py:build failed: RuntimeError: Tensor on device" in said and "(line 5 of own.py)" in said
    assert AT_ONE_DEVICE in said


def test_a_file_that_ends_the_program_is_told(tmp_path):
    for name, text in (("inside", "import sys\ndef build():\n    sys.exit(3)\n"), ("above", "raise SystemExit(3)\n")):
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        with pytest.raises(GantoolsError, match="SystemExit: 3"):
            load_target(f"{path}:build")
