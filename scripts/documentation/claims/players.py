"""Claims on the players of a GAN on the ring: activations, a generator that flows, unitary and orthogonal maps."""

from pathlib import Path

import activations
import complex_parametrizations
from complex_parametrizations import EQUAL, FREE, ORTHOGONAL, UNITARY, WIDE
from harness import study
from nets import flowing_generators

from claims import Row, compared, read

UNDER = {"consensus": "consensus", "simultaneous": "simultaneous gradient"}


def player_rows(out: Path) -> list[Row]:
    """Return the rows of all three studies."""
    return [*activation_rows(out), *flow_rows(out), *unitary_rows(out)]


def activation_rows(out: Path) -> list[Row]:
    """Activations under consensus and under simultaneous gradient."""
    results = read(activations.STUDY, activations.PAGE, out)
    rows = []
    for method, both in activations.IN_BOTH.items():
        claim = f"On ring8 players with ESP cover more modes than with ReLU, under {UNDER[method]} "
        claim += f"({activations.STEPS} steps)"
        rows.append(_row(results, claim, f"esp {both}", f"relu {both}"))
    return rows


def flow_rows(out: Path) -> list[Row]:
    """A generator that flows against a fully connected one."""
    results = read(flowing_generators.STUDY, flowing_generators.PAGE, out)
    return [
        _row(
            results,
            f"On ring8 a generator that flows covers more modes than a fully connected one, under {UNDER[method]} "
            f"({flowing_generators.STEPS} steps)",
            f"flow, {method}",
            f"fully connected, {method}",
        )
        for method in flowing_generators.OPTIMIZERS
    ]


def unitary_rows(out: Path) -> list[Row]:
    """Unitary and orthogonal maps in the players of a GAN, against controls that each lack one thing."""
    results = read(complex_parametrizations.STUDY, complex_parametrizations.PAGE, out)
    unitary, orthogonal = "Unitary maps with CReLU", "Orthogonal maps with ReLU"
    return [
        _row(
            results,
            f"{maps} put 25 of 2560 samples into more of the eight modes after {complex_parametrizations.STEPS} steps "
            f"than {words}, under simultaneous gradient",
            player,
            other,
        )
        for player, maps, other, words in (
            (UNITARY, unitary, EQUAL, "real players of as many parameters"),
            (UNITARY, unitary, FREE, "the same complex players with free weights"),
            (UNITARY, unitary, ORTHOGONAL, "real players of as many real units with orthogonal maps"),
            (ORTHOGONAL, orthogonal, WIDE, "the same real players with free weights"),
        )
    ]


def _row(results: study.Results, claim: str, cell: str, baseline: str) -> Row:
    """Return the row on the modes of two cells, with their quality and the settings that were chosen for them."""
    text, verdict = compared(results, cell, baseline, "modes", 1)
    if (results.values(baseline, "modes") == 8).all():
        text = (
            f"{results.contrast(cell, baseline, 'modes')}; the latter have all 8 with every seed, so that more could "
        )
        text += "not be seen"
    both = cell, baseline
    quality = " against ".join(results.shown(name, "quality") for name in both)
    chosen = (next(trial.settings for trial in results.tried[name] if trial.chosen) for name in both)
    words = [", ".join(f"{name} {value:g}" for name, value in settings.items()) for settings in chosen]
    found = f"modes {text}; quality {quality}, {results.contrast(*both, 'quality')}; chosen {' and '.join(words)}"
    return Row(claim, "ours", found, len(results.study.seeds), verdict, results.study.name)
