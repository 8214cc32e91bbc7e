"""Chorales as sound: files, windows and labels against closed forms, and what a missing program is told."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from cells.nets import chorale_cells, chorales, complex_cells
from harness import catalogue
from nets import complex_classifier

from gantools.errors import MissingDependencyError
from tests.draws import seeded
from tests.quick import few

CHORALES, PAGE = complex_classifier.FORMS["chorales"]


def loudest(sound):
    """Return the frequency of a sound's largest harmonic in Hz."""
    sizes = np.abs(np.fft.rfft(sound * np.hanning(len(sound))))
    return float(sizes.argmax() * chorales.RATE / len(sound))


# Files and sounds ----------------------------------------------------------------------------------------------------


def test_a_midi_file_has_the_bytes_of_the_standard():
    """Lengths are those of the standard's own table; a note ends before it begins again."""
    for ticks, found in ((0, "00"), (127, "7f"), (128, "8100"), (16383, "ff7f"), (16384, "818000")):
        assert chorales._length(ticks) == bytes.fromhex(found)
    notes = np.array([[0.0, 0.2, 69, 0], [0.2, 0.3, 69, 0]])
    track = "00c013" + "0090455a" + "8148804500" + "0090455a" + "64804500" + "8768ff2f00"
    length = f"{len(bytes.fromhex(track)):08x}"
    expected = "4d546864" + "00000006" + "0000" + "0001" + "01f4" + "4d54726b" + length + track
    assert chorales.midi(notes, (19,), np.array([90])) == bytes.fromhex(expected)


def test_a_tone_has_its_pitch_from_its_start_to_its_end():
    sound = chorales.toned(np.array([[0.5, 1.5, 57, 0]]), np.random.default_rng(0))  # A3, 220 Hz
    first, last = round(0.5 * chorales.RATE), round(1.5 * chorales.RATE)
    assert len(sound) == round(2.5 * chorales.RATE) and not sound[:first].any() and not sound[last:].any()
    assert loudest(sound[first:last].astype(float)) == pytest.approx(220, abs=1.1)


# Windows -------------------------------------------------------------------------------------------------------------


@pytest.fixture
def known(monkeypatch):
    """Six pieces, each of one note of its own, which sounds as a constant in the second of its two seconds."""
    rate = chorales.RATE
    silent, held = np.zeros(rate, np.int16), np.full(rate, 500, np.int16)
    pieces = [
        chorales.Piece(np.concatenate([silent, held, silent]), np.array([[1.0, 2.0, chorales.LOWEST + at, 0]]))
        for at in range(6)
    ]
    monkeypatch.setitem(chorales.MUSIC, "known", lambda count: pieces[:count])
    chorales.windows.cache_clear()
    yield pieces
    chorales.windows.cache_clear()


def test_a_label_is_what_sounds_in_the_middle_of_its_window(known):
    sounds, labels = chorales.windows("known", 6, "train", 0, 40)
    assert sounds.shape == (160, chorales.WINDOW) and labels.shape == (160, chorales.NOTES)
    middle = chorales.WINDOW // 2
    around = sounds[:, [middle - 1, middle + 1]] > 0  # a middle within half a sample of an edge may be either
    sure = around[:, 0] == around[:, 1]
    assert sure.sum() > 150 and torch.equal(labels.sum(1)[sure] == 1, around[sure, 0])
    assert 20 < int(around[:, 0].sum()) < 140
    power = sounds.square().mean(1)
    assert torch.allclose(power[power > 0], torch.ones(1), atol=1e-4)


def test_each_seed_divides_the_pieces_anew_and_none_is_in_two_parts(known):
    divisions = []
    for seed in range(4):
        labels = {part: chorales.windows("known", 6, part, seed, 40)[1] for part in chorales.PARTS}
        heard = {part: frozenset(found.any(0).nonzero().ravel().tolist()) for part, found in labels.items()}
        assert {part: len(notes) for part, notes in heard.items()} == {"train": 4, "validation": 1, "test": 1}
        assert frozenset.union(*heard.values()) == set(range(6))
        divisions.append(tuple(heard.values()))
    assert len(set(divisions)) > 1


def test_a_note_sounds_from_its_start_on_and_no_longer_at_its_end():
    notes = np.array([[0.0, 1.0, 60, 0], [1.0, 2.0, 62, 0], [0.5, 3.0, 48, 3]])
    assert [sorted(chorales.sounding(notes, t).tolist()) for t in (0.0, 0.5, 1.0, 2.0, 3.0)] == [
        [60], [48, 60], [48, 62], [48], [],
    ]  # fmt: skip


# Cells ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", few(CHORALES.quick, 3))
def test_every_cell_hears_tones_through_the_same_code(name):
    found = CHORALES.run(CHORALES.quick[name], 1, Path())
    assert found.keys() >= CHORALES.columns.keys() and found["rate"] in CHORALES.quick[name]["rates"]
    assert all(np.isfinite(value) for key, value in found.items() if key != "curves")
    assert len(found["curves"]["precision"]) == len(complex_cells.RECALLS)
    full = CHORALES.cells[name]
    assert {key: full[key] for key in ("input", "activation", "width", "rates")}.items() <= CHORALES.quick[name].items()


def test_the_rate_that_is_best_in_validation_is_judged(monkeypatch):
    precisions = iter([0.3, 0.8, 0.9, 0.1, 0.5, 0.7])  # validation and test of each rate
    monkeypatch.setattr(complex_cells, "judged", lambda labels, scores: {"precision": next(precisions)})
    monkeypatch.setattr(complex_cells, "trained", lambda net, x, y, cell, rng: 100 * cell["rate"] / cell["width"])
    cell = CHORALES.quick["real, equal width"]
    found = chorale_cells.run(cell, 0, Path())
    assert (found["rate"], found["validation"], found["precision"]) == (cell["rates"][1], 0.9, 0.1)
    assert found["step"] == pytest.approx(2)  # of 6 filters beside 12, at the same rate


def test_complex_and_real_nets_have_about_equal_parameters():
    def count(cell):
        return sum(p.numel() for p in complex_cells.listener(cell, seeded(0)).parameters())

    for name, cell in CHORALES.cells.items():
        if "width" not in name:
            assert count(cell) == pytest.approx(count(complex_cells.reference(cell)), rel=0.06), name


def test_what_the_page_shows_and_compares_is_in_the_study():
    for section in PAGE.sections:
        assert section.columns.keys() <= CHORALES.columns.keys() and set(section.compared) <= section.columns.keys()
        assert {cell for pair in section.pairs for cell in pair} <= CHORALES.cells.keys() == CHORALES.quick.keys()


# What is not there ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lacking", ["music21", "fluidsynth", "sound font"])
def test_what_is_missing_is_said_with_how_to_install_it(lacking, monkeypatch, tmp_path, capsys):
    font = tmp_path / "font.sf2"
    font.touch()
    monkeypatch.setattr(chorales, "KEPT", tmp_path)
    monkeypatch.setattr(chorales, "FONTS", [] if lacking == "sound font" else [font])
    monkeypatch.setattr(chorales.shutil, "which", lambda name: None if lacking == "fluidsynth" else name)
    monkeypatch.setitem(sys.modules, "music21", None)
    chorales.chorales.cache_clear()
    with pytest.raises(SystemExit) as stopped:
        catalogue.main(["complex_classifier", "--chorales", "--root", str(tmp_path / "runs"), "--out", str(tmp_path)])
    said = capsys.readouterr().err
    assert stopped.value.code == 2 and lacking in said.split(":")[0]
    assert "gantools[chorales]" in said and "apt-get install fluidsynth" in said


def there():
    try:
        chorales.synthesizer()
    except MissingDependencyError:
        return False
    return importlib.util.find_spec("music21") is not None


@pytest.mark.slow
@pytest.mark.skipif(not there(), reason=f"not installed: {chorales.NEEDED.split(': ')[1]}")
def test_chorales_are_of_four_voices_and_sound_at_their_pitches(monkeypatch, tmp_path):
    found = list(chorales.scores(3))
    for notes in found:
        assert set(notes[:, 3]) == {0, 1, 2, 3} and (notes[:, 1] > notes[:, 0]).all() and notes[:, 0].min() == 0
        assert notes[:, 2].min() >= chorales.LOWEST and notes[:, 2].max() < chorales.LOWEST + chorales.NOTES
        for voice in range(4):
            own = notes[notes[:, 3] == voice]
            assert (own[1:, 0] >= own[:-1, 1] - 1e-9).all()  # one note at a time
    openings = {tuple(np.diff(notes[notes[:, 3] == 0, 2][: chorales.OPENING + 1])) for notes in found}
    assert len(openings) == 3
    sound = chorales.played(chorales.midi(np.array([[1.0, 3.0, 69, 0]]), (73,), np.array([100]))).astype(float)  # flute
    rate = chorales.RATE
    assert loudest(sound[round(1.5 * rate) : round(2.5 * rate)]) == pytest.approx(440, abs=5)
    assert np.abs(sound[: round(0.95 * rate)]).max() < 0.02 * np.abs(sound).max()
    monkeypatch.setattr(chorales, "KEPT", tmp_path)
    chorales.chorales.cache_clear()
    (kept,) = chorales.chorales(1)
    monkeypatch.setattr(chorales, "scores", lambda count: pytest.fail("played again"))
    chorales.chorales.cache_clear()
    (again,) = chorales.chorales(1)
    chorales.chorales.cache_clear()
    assert np.array_equal(kept.sound, again.sound) and np.array_equal(kept.notes, again.notes)
    assert len(kept.sound) > kept.notes[:, 1].max() * rate


@pytest.mark.slow
def test_the_quick_form_needs_none_of_it(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(chorales, "_music21", lambda: pytest.fail("asked for music21"))
    monkeypatch.setattr(chorales, "synthesizer", lambda: pytest.fail("asked for FluidSynth"))
    catalogue.main(["complex_classifier", "--chorales", "--quick", "--root", str(tmp_path)])
    table, page = capsys.readouterr().out, (tmp_path / f"{CHORALES.name}.md").read_text()
    assert "±" in table and page.count("\n|") > 10 and "{" not in page
    assert {path.name for path in tmp_path.glob("*.png")} == {
        f"{CHORALES.name}-{figure}.png" for figure in ("curves", "precision")
    }
