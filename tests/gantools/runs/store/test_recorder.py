"""What training reports: every record in its place, NaN as null, and a progress that suits the screen."""

import io
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from gantools.board.pictures import png, samples_picture
from gantools.cli.terminal import command, wrapped
from gantools.errors import GantoolsError
from gantools.runs.store.events import rebuild, records
from gantools.runs.store.folder import RunFolder
from gantools.runs.store.progress import Progress
from gantools.runs.store.recorder import Recorder
from tests.quick import few


@pytest.fixture
def recorder(tmp_path):
    recorder = Recorder(RunFolder(tmp_path), 0, 10)
    yield recorder
    recorder.abandon()


def test_a_record_is_out_when_it_is_made(tmp_path, recorder):
    recorder.scalars(3, {"a": 1.5, "b": float("nan"), "c": -float("inf")})
    assert RunFolder(tmp_path).metrics() == [{"step": 3, "a": 1.5, "b": None, "c": None}]


def test_a_note_is_a_line_an_event_and_printed(tmp_path, recorder, capsys):
    recorder.note(7, "gamma 1 -> 2.")
    recorder.close()
    assert "step 7: gamma 1 -> 2." in "".join(capsys.readouterr())
    assert RunFolder(tmp_path).metrics() == [{"step": 7, "note": "gamma 1 -> 2."}]
    (written,) = tmp_path.glob("events*")
    texts = [event for _, event in records(written.read_bytes()) if event.summary.value]
    written.unlink()
    rebuild(tmp_path, RunFolder(tmp_path).metrics())  # as after damage
    (again,) = tmp_path.glob("events*")
    for found in (texts, [event for _, event in records(again.read_bytes()) if event.summary.value]):
        assert [(event.step, event.summary.value[0].tensor.string_val) for event in found] == [(7, [b"gamma 1 -> 2."])]


def test_closing_twice_is_once(tmp_path, recorder):
    recorder.scalars(1, {"a": 1.0})
    recorder.close()
    recorder.close()
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 1


def test_a_place_that_cannot_be_written(tmp_path):
    with pytest.raises(GantoolsError, match="cannot be written"):
        Recorder(RunFolder(tmp_path / "missing"), 0, 1)


@pytest.mark.slow
def test_pictures_of_a_resumed_run_have_the_axes_of_one_that_never_stopped(tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("gantools.runs.store.recorder.png", lambda figure: seen.append(figure.axes[0]) or b"")

    def last_axes(folder, steps):
        recorder = Recorder(folder, steps[0], 10)
        for step in steps:
            values = np.array([2.0 + 1j, 2 - 1j, -0.01]) * (9 - step)
            recorder.spectrum(step, SimpleNamespace(values=values, to_numpy=lambda values=values: {"values": values}))
        recorder.close()
        return seen[-1].get_xlim(), seen[-1].get_ylim()

    whole, parts = RunFolder(tmp_path / "whole"), RunFolder(tmp_path / "parts")
    for folder in (whole, parts):
        folder.spectra.mkdir(parents=True)
    expected = last_axes(whole, [0, 1, 7])
    last_axes(parts, [0, 1])
    (parts.spectra / "game-jacobian-step-00000009.npz").write_bytes(b"damaged")
    assert last_axes(parts, [7]) == expected
    assert expected[0][1] > 18  # of step 0, whose largest eigenvalue is 18, while that of step 7 is 4


@pytest.mark.parametrize(
    ("samples", "reference"),
    few(
        [
            (torch.rand(70, 1, 8, 8) * 2 - 1, torch.rand(5, 1, 8, 8)),
            (torch.rand(3, 3, 40, 40), torch.rand(5, 3, 40, 40)),
            (torch.randn(50, 2), torch.randn(40, 2)),
            (torch.randn(50, 1), torch.randn(40, 1)),
            (torch.randn(50, 4, 3), torch.randn(40, 4, 3)),
            (torch.full((50, 2), float("nan")), torch.randn(40, 2)),
            (torch.full((50, 1), float("inf")), torch.randn(40, 1)),
            (torch.full((4, 1, 8, 8), float("nan")), torch.rand(5, 1, 8, 8)),
        ],
        3,
    ),
)
def test_samples_of_every_shape_are_drawn(samples, reference):
    pixels = samples_picture(samples.numpy(), reference.numpy(), "title")
    with Image.open(io.BytesIO(png(pixels))) as image:
        assert np.array_equal(np.asarray(image.convert("RGB")), pixels)


def test_progress_is_at_most_a_line_every_ten_seconds(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr("gantools.runs.store.progress.time", SimpleNamespace(monotonic=lambda: now[0]))
    progress = Progress(0, 100)
    for step in range(100):
        now[0] = step / 4
        progress.show(step, {"loss": 0.123456})
    progress.close()
    assert capsys.readouterr().out.splitlines() == ["step 40/100  loss 0.1235", "step 80/100  loss 0.1235"]


def test_commands_can_be_copied(monkeypatch):
    monkeypatch.setattr("gantools.cli.terminal.shutil.which", lambda name: "/bin/gantools")
    assert command("board", "a b") == "gantools board 'a b'"


def test_wrapped():
    lines = wrapped("word " * 60, 4).splitlines()
    assert all(len(line) <= 110 for line in lines) and lines[1].startswith("    word")
