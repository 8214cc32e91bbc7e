"""GANs of several cells and seeds trained in one program, before a study measures each of them."""

import re
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from harness.study_results import Study

from gantools import GantoolsError
from gantools.cli.flags import parse_train
from gantools.runs.store.folder import RunFolder
from gantools.runs.together.training import prepare_together


def result_path(root: Path, cell: str, seed: int) -> Path:
    """Return where the result of a cell and a seed is kept."""
    return root / f"{re.sub(r'[^A-Za-z0-9.=-]+', '_', cell)}-seed{seed}.json"


def train_together(study: Study, root: Path, group: Sequence[tuple[str, int]]) -> None:
    """Train the GANs of cells and seeds in one program where they can be; `study.run` finds them trained."""
    torch.set_num_threads(1)
    assert study.flags is not None
    paths = [result_path(root, cell, seed).with_suffix("") for cell, seed in group]
    flags = [study.flags(dict(study.cells[cell]), seed) for cell, seed in group]
    if not all(flags):
        return
    begun = time.perf_counter()
    try:
        runs = [(parse_train(one).config, path) for one, path in zip(flags, paths, strict=True)]
        runs = [(config, path) for config, path in runs if config.steps not in RunFolder(path).steps()]
        outcomes = prepare_together(*zip(*runs, strict=True)).run() if runs else []
    except GantoolsError:  # runs that have to be trained one after another, or a mistake that `study.run` meets again
        return
    seconds = time.perf_counter() - begun
    for _, path in runs:
        _seconds(path).write_text(str(trained_before(path) + seconds / len(runs)))
    if any(getattr(outcome, "stopped_by", None) for outcome in outcomes):
        raise KeyboardInterrupt


def trained_before(folder: Path) -> float:
    """Return a run's share of the seconds of the programs that trained it with others; 0 where none did."""
    path = _seconds(folder)
    return float(path.read_text()) if path.exists() else 0.0


def _seconds(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}.seconds")
