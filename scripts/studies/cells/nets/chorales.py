"""Bach's chorales as sound: scores from music21 played by FluidSynth, or tones of our own; windows and their notes.

None of it is part of this repository: music21 (BSD; its scores have terms of their own) brings the scores, the system
FluidSynth (LGPL) and a sound font, and what is played is kept in runs/chorales, which git ignores.
"""

import functools
import io
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from cells.nets import music
from torch import Tensor

from gantools.data.seeds import random_stream
from gantools.errors import MissingDependencyError
from gantools.runs.store.atomic import write_atomically
from gantools.sweeps.once import held

RATE, WINDOW, BINS = 11025, 4096, 1024  # samples a second, and of a window (0.372 s); lowest bins, up to 2.76 kHz
LOWEST, NOTES = 36, 46  # MIDI: C2 (65 Hz) to A5 (880 Hz)
KEPT = Path(__file__).parents[4] / "runs" / "chorales"
PARTS = {"train": (0, 4), "validation": (4, 5), "test": (5, 6)}  # sixths of the pieces
# General MIDI's numbers, from 0, for soprano, alto, tenor and bass.
ENSEMBLES = {
    "piano": (0, 0, 0, 0), "organ": (19, 19, 19, 19), "choir": (52, 52, 52, 52), "harpsichord": (6, 6, 6, 6),
    "strings": (40, 40, 41, 42), "winds": (73, 68, 71, 70),
}  # fmt: skip
OPENING = 6  # steps of a melody by which it is known
FONTS = [
    Path("/usr/share") / folder / name
    for name in ("TimGM6mb.sf2", "FluidR3_GM.sf2", "default-GM.sf2", "default.sf2")
    for folder in ("sounds/sf2", "soundfonts")
]
NEEDED = (
    'The chorales need {}: pip install "gantools[chorales]" for music21\'s scores, and FluidSynth with a sound font '
    "from the system, on Debian: apt-get install fluidsynth timgm6mb-soundfont."
)


class Piece(NamedTuple):
    """Music with its notes.

    Attributes:
        sound: samples (S,) int16.
        notes: (N, 4): start and end in seconds, MIDI's number, and the voice, 0 for the soprano.
    """

    sound: np.ndarray
    notes: np.ndarray


# Scores --------------------------------------------------------------------------------------------------------------


def scores(count: int) -> Iterator[np.ndarray]:
    """Yield notes (N, 4) in quarters of so many chorales of four voices, in an order that does not change.

    Of chorales whose melodies begin alike only the first is taken, so that no melody is in two parts of the data.
    """
    corpus, converter = _music21()
    paths = sorted(path for path in corpus.getComposer("bach") if path.name.startswith("bwv"))
    melodies: set[tuple[int, ...]] = set()
    for place in random_stream(0, "chorales").permutation(len(paths)):
        if len(melodies) == count:
            return
        notes = _voices(converter.parse(paths[place]))
        if notes is None:
            continue
        tune = notes[notes[:, 3] == 0, 2][: OPENING + 1]
        steps = tuple(np.diff(tune).astype(int).tolist())
        if steps not in melodies:
            melodies.add(steps)
            yield notes
    if len(melodies) < count:
        raise ValueError(f"music21 has {len(melodies)} chorales of different melodies, fewer than {count}.")


def _voices(score: Any) -> np.ndarray | None:
    """Return the notes of a score in quarters; None where it has not four voices of single notes within the range."""
    if len(score.parts) != 4:
        return None
    notes = []
    for voice, part in enumerate(score.parts):
        for note in part.flatten().stripTies().notes:
            if not note.isNote or note.quarterLength == 0:
                return None
            notes.append((float(note.offset), float(note.offset + note.quarterLength), note.pitch.midi, voice))
    found = np.array(notes, dtype=float)
    inside = (found[:, 2] >= LOWEST) & (found[:, 2] < LOWEST + NOTES)
    return found if inside.all() else None


def _music21() -> tuple[Any, Any]:
    try:
        from music21 import converter, corpus
    except ImportError:
        raise MissingDependencyError(NEEDED.format("music21, which is not installed")) from None
    return corpus, converter


# Sound ---------------------------------------------------------------------------------------------------------------


def midi(notes: np.ndarray, programs: tuple[int, ...], loudness: np.ndarray) -> bytes:
    """Return a MIDI file of notes (N, 4) in seconds, exact to a millisecond, a channel for each voice."""
    events = [(0, 1, bytes([0xC0 + voice, program])) for voice, program in enumerate(programs)]
    for start, end, pitch, voice in notes:
        channel, key = int(voice), int(pitch)
        events.append((round(1000 * start), 2, bytes([0x90 + channel, key, int(loudness[channel])])))
        events.append((round(1000 * end), 0, bytes([0x80 + channel, key, 0])))  # before the same note begins again
    track, now = b"", 0
    for at, _, event in sorted(events):
        track += _length(at - now) + event
        now = at
    track += _length(1000) + b"\xff\x2f\x00"  # what still sounds fades
    # At MIDI's 120 quarters a minute, 500 ticks for a quarter are milliseconds.
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, 500) + b"MTrk" + struct.pack(">I", len(track)) + track


def _length(ticks: int) -> bytes:
    """Return a number in MIDI's form: seven bits a byte, the highest first, the eighth bit on all but the last."""
    found = [ticks & 0x7F]
    while ticks := ticks >> 7:
        found.insert(0, 0x80 | (ticks & 0x7F))
    return bytes(found)


def played(file: bytes) -> np.ndarray:
    """Return what FluidSynth plays from a MIDI file: samples (S,) int16, the mean of its two channels."""
    program, font = synthesizer()
    with tempfile.NamedTemporaryFile(suffix=".mid") as kept:
        kept.write(file)
        kept.flush()
        options = ["-niq", "-r", str(RATE), "-T", "raw", "-O", "s16", "-E", "little", "-F", "-"]
        done = subprocess.run([program, *options, str(font), kept.name], capture_output=True, check=True)
    stereo = np.frombuffer(done.stdout, "<i2")
    return stereo.reshape(-1, 2).mean(1).astype(np.int16)


def synthesizer() -> tuple[str, Path]:
    """Return the program and its sound font; raises `MissingDependencyError` where one is missing."""
    program = shutil.which("fluidsynth")
    if program is None:
        raise MissingDependencyError(NEEDED.format("the program fluidsynth, which is not found"))
    font = next((path for path in FONTS if path.exists()), None)
    if font is None:
        raise MissingDependencyError(NEEDED.format("a General MIDI sound font, and none is below /usr/share"))
    return program, font


def toned(notes: np.ndarray, stream: np.random.Generator) -> np.ndarray:
    """Return notes (N, 4) in seconds as decaying sums of six harmonics with random phases: samples (S,) int16."""
    sound = np.zeros(round(RATE * (notes[:, 1].max() + 1)))
    for start, end, pitch, _ in notes:
        t = np.arange(round(RATE * (end - start))) / RATE
        first, frequency = round(RATE * start), 440 * 2 ** ((pitch - 69) / 12)
        for k in range(1, 7):
            wave = np.sin(2 * np.pi * (k * frequency * t + stream.random()))
            sound[first : first + len(t)] += 0.6**k * np.exp(-2 * t) * wave
    return (3000 * sound).astype(np.int16)


# Pieces and windows --------------------------------------------------------------------------------------------------


@functools.cache
def tones(count: int) -> list[Piece]:
    """Return so many short pieces of chords by a rule, of our own tones: what needs no other program."""
    pieces = []
    for place in range(count):
        stream = random_stream(0, "tones", place)
        chords = enumerate(music.progression(stream, 8))
        notes = [(at / 2, at / 2 + 0.5, pitch, voice) for at, chord in chords for voice, pitch in enumerate(chord)]
        pieces.append(Piece(toned(np.array(notes), stream), np.array(notes)))
    return pieces


@functools.cache
def chorales(count: int) -> list[Piece]:
    """Return so many chorales as FluidSynth plays them; they are kept, and played once for all processes."""
    path = KEPT / f"{count}-chorales-{RATE}-{synthesizer()[1].stem}.npz"
    with held(path):
        if not path.exists():
            found = [performed(notes, random_stream(0, "played", place)) for place, notes in enumerate(scores(count))]
            arrays = {f"{name}{at}": getattr(piece, name) for at, piece in enumerate(found) for name in Piece._fields}
            file = io.BytesIO()
            np.savez(file, **arrays)
            write_atomically(path, file.getvalue())
    with np.load(path) as kept:
        return [Piece(*(kept[f"{name}{at}"] for name in Piece._fields)) for at in range(count)]


def performed(notes: np.ndarray, stream: np.random.Generator) -> Piece:
    """Return a score (N, 4) in quarters as a piece: a tempo, an ensemble and the voices' loudness are drawn for it."""
    tempo = stream.uniform(60, 90)
    programs = ENSEMBLES[str(stream.choice(list(ENSEMBLES)))]
    timed = notes * [60 / tempo, 60 / tempo, 1, 1]
    return Piece(played(midi(timed, programs, stream.integers(70, 111, 4))), timed)


MUSIC = {"chorales": chorales, "tones": tones}


@functools.lru_cache(maxsize=3)  # the parts of one seed, which all cells share
def windows(source: str, count: int, part: str, seed: int, each: int) -> tuple[Tensor, Tensor]:
    """Return windows (N, WINDOW) of some of the pieces, and which notes sound in their middle (N, NOTES), float32.

    Args:
        source: "chorales" or "tones".
        count: pieces in all; each seed divides them anew into four sixths, one and one.
        part: "train", "validation" or "test".
        seed: of the division, and of the windows' places.
        each: windows of a piece, at random places.
    """
    pieces, stream = MUSIC[source](count), random_stream(seed, "windows", part)
    first, last = (count * sixths // 6 for sixths in PARTS[part])
    sounds, labels = [], []
    for place in random_stream(seed, "split").permutation(count)[first:last]:
        sound, notes = pieces[place]
        for middle in stream.uniform(WINDOW / 2 / RATE, notes[:, 1].max() - WINDOW / 2 / RATE, each):
            begin = round(middle * RATE) - WINDOW // 2
            window = sound[begin : begin + WINDOW].astype(np.float32)
            sounds.append(window / max(float(np.sqrt((window**2).mean())), 1.0))
            labels.append(np.isin(np.arange(LOWEST, LOWEST + NOTES), sounding(notes, middle)))
    return torch.from_numpy(np.array(sounds)), torch.from_numpy(np.array(labels)).float()


def sounding(notes: np.ndarray, time: float) -> np.ndarray:
    """Return the numbers of the notes (N, 4) that are held at a time."""
    return notes[(notes[:, 0] <= time) & (time < notes[:, 1]), 2]
