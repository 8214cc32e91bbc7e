"""Synthetic music: chord progressions of four voices, rendered by sums of harmonics; windows of it and their notes."""

import functools

import numpy as np
import torch
from torch import Tensor

from gantools.data.seeds import random_stream

RATE, WINDOW = 4000, 1024  # samples a second, and of a window: 0.256 s
LOWEST, NOTES = 48, 25  # MIDI: C3 (131 Hz) to C5 (523 Hz)
HARMONICS, NOISE = 6, 0.5
MAJOR = (0, 2, 4, 5, 7, 9, 11)
# From each degree of the scale, the degrees that may follow.
FOLLOWS = {0: (1, 3, 4, 5), 1: (4,), 3: (0, 1, 4), 4: (0, 5), 5: (1, 3)}


def progression(stream: np.random.Generator, chords: int) -> list[list[int]]:
    """Return the MIDI numbers of four voices for each chord: a root below, and three notes each near its last one."""
    key, degree, voices, found = int(stream.integers(12)), 0, [55, 60, 66], []
    for _ in range(chords):
        tones = {(key + MAJOR[(degree + third) % 7]) % 12 for third in (0, 2, 4)}
        root = LOWEST + (key + MAJOR[degree] - LOWEST) % 12
        free = [note for note in range(LOWEST, LOWEST + NOTES) if note % 12 in tones]
        voices = [min(free, key=lambda note, last=voice: (abs(note - last), stream.random())) for voice in voices]
        found.append([root, *voices])
        degree = int(stream.choice(FOLLOWS[degree]))
    return found


def rendered(notes: list[int], stream: np.random.Generator) -> np.ndarray:
    """Return a window (WINDOW,) of a chord some time after its onset, harmonics with random phases, and noise."""
    start = stream.uniform(0, 0.25)
    t = start + np.arange(WINDOW) / RATE
    sound = NOISE * stream.standard_normal(WINDOW)
    for note in set(notes):
        pitch = 440 * 2 ** ((note - 69 + 0.03 * stream.standard_normal()) / 12)
        loudness, brightness, decay = stream.uniform(0.4, 1), stream.uniform(0.4, 0.8), stream.uniform(0.3, 1)
        for k in range(1, HARMONICS + 1):
            if k * pitch < RATE / 2:
                size = loudness * brightness ** (k - 1)
                sound += size * np.exp(-t * k**0.5 / decay) * np.sin(2 * np.pi * (k * pitch * t + stream.random()))
    return sound / np.sqrt((sound**2).mean())


@functools.cache
def windows(part: str, seed: int, pieces: int, chords: int = 16) -> tuple[Tensor, Tensor]:
    """Return windows (N, WINDOW), two of each chord, and which of the notes sound (N, NOTES), float32."""
    stream, sounds, labels = random_stream(seed, "music", part), [], []
    for _ in range(pieces):
        for notes in progression(stream, chords):
            for _ in range(2):
                sounds.append(rendered(notes, stream))
                labels.append(np.isin(np.arange(LOWEST, LOWEST + NOTES), notes))
    return torch.from_numpy(np.array(sounds)).float(), torch.from_numpy(np.array(labels)).float()


def spectra(sounds: Tensor, bins: int = 256) -> Tensor:
    """Return the lowest bins (N, bins) of the windows' spectra, complex64, of mean square 1 over all."""
    found = torch.fft.rfft(sounds * torch.hann_window(sounds.shape[1]))[:, 1 : bins + 1]
    return found / found.abs().square().mean().sqrt()
