"""Settings of a study's cells, chosen from a grid on seeds that are not reported."""

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from harness.study_results import Cell, Result, Results, Study, Trial, Tuning, markdown


def trials(study: Study) -> Study:
    """Return the study of what is tried: every cell with each of its settings, shorter, on the seeds of the tuning."""
    tuning = _of(study)
    if shared := set(tuning.seeds) & set(study.seeds):
        raise ValueError(f"Seeds {sorted(shared)} are reported, so that nothing may be chosen on them.")
    cells: dict[str, Cell] = {}
    programs: dict[str, str] = {}
    for name, cell in study.cells.items():
        for settings in tuning.grid(cell):
            cells[_name(name, settings)] = {**cell, **tuning.shorter(cell), **settings}
            programs[_name(name, settings)] = name
    # `together` takes the seeds of one cell, and so of one setting; flags may differ in a program.
    programs = {} if study.together else programs
    changed = {"cells": cells, "programs": programs, "seeds": tuning.seeds, "tuning": None}
    return dataclasses.replace(study, name=f"{study.name}, tuning", **changed)


def tuned(study: Study, found: Results) -> tuple[Study, dict[str, list[Trial]]]:
    """Return the study with the settings of highest mean score in each cell (of equals the first), and all trials."""
    tuning, tried = _of(study), {}
    for name, cell in study.cells.items():
        own = [_trial(tuning, settings, found.by_cell[_name(name, settings)]) for settings in tuning.grid(cell)]
        best = int(np.argmax([np.mean(trial.scores) for trial in own]))
        tried[name] = [dataclasses.replace(trial, chosen=place == best) for place, trial in enumerate(own)]
    return with_chosen(study, tried), tried


def with_chosen(study: Study, tried: Mapping[str, Sequence[Trial]]) -> Study:
    """Return the study with the settings that were chosen in its cells."""
    chosen = {name: next(trial.settings for trial in tried[name] if trial.chosen) for name in study.cells}
    return dataclasses.replace(study, cells={name: {**cell, **chosen[name]} for name, cell in study.cells.items()})


def told(results: Results) -> list[str]:
    """Return what was tried, mean scores and what was chosen, as paragraphs, a table for each list of settings."""
    tuning, tried = _of(results.study), results.tried
    tables: dict[tuple[str, ...], list[list[str]]] = {}
    ends = []
    for name, own in tried.items():
        columns = tuple(_words(trial.settings) for trial in own)
        scores = [f"**{np.mean(t.scores):.3f}**" if t.chosen else f"{np.mean(t.scores):.3f}" for t in own]
        tables.setdefault(columns, []).append([name, *scores])
        chosen = next(trial for trial in own if trial.chosen)
        ends += [f"{name} ({at})"] if (at := _at_an_end(chosen.settings, [trial.settings for trial in own])) else []
    counts = sorted({len(own) for own in tried.values()})
    text = (
        f"Every cell has its own settings, chosen from {' or '.join(map(str, counts))} before it was run, on seeds "
        f"{', '.join(map(str, tuning.seeds))}, which are not reported. {tuning.rule} Mean scores, the chosen one bold:"
    )
    border = f"Chosen at an end of what was tried, so that a wider grid may do better: {'; '.join(ends) or 'none'}."
    return [text, *(markdown(["cell", *columns], rows) for columns, rows in tables.items()), border]


def _at_an_end(chosen: Cell, settings: Sequence[Cell]) -> str:
    """Return which of the chosen numbers are the least or the largest of several that were tried."""
    found = []
    for name, value in chosen.items():
        values = sorted({other[name] for other in settings})
        if len(values) > 1 and value in (values[0], values[-1]):
            found.append(f"{name} {value}")
    return ", ".join(found)


def _of(study: Study) -> Tuning:
    assert study.tuning is not None
    return study.tuning


def _trial(tuning: Tuning, settings: Cell, results: Mapping[int, Result]) -> Trial:
    seconds = sum(results[seed].get("seconds", math.nan) for seed in tuning.seeds)
    return Trial(settings, [_score(tuning, results[seed]) for seed in tuning.seeds], seconds=seconds)


def _score(tuning: Tuning, result: Mapping[str, object]) -> float:
    return tuning.worst if "failed" in result else float(tuning.score(dict(result)))


def _words(settings: Cell) -> str:
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def _name(cell: str, settings: Cell) -> str:
    return f"{cell}, {_words(settings)}"
