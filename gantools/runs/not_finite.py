"""A step of a run that is not finite: where it arose, and what is kept of it for analysis."""

from __future__ import annotations

import io
from typing import Any

import torch

from gantools.errors import GantoolsError
from gantools.games.origins.origin import Origin
from gantools.runs.experiment import Experiment
from gantools.runs.store.atomic import step_name, write_atomically
from gantools.runs.store.checkpoint import save_checkpoint
from gantools.runs.store.folder import RunFolder
from gantools.trainers.step_origin import step_origin


def origin_of_step(experiment: Experiment, batches: tuple[Any, ...], random: torch.Tensor) -> Origin | None:
    """Return where a refused step arose; None where it cannot be told.

    Args:
        experiment: as it stands before the step.
        batches: of the step.
        random: torch's random state before the step.
    """
    if not experiment.game.vector().isfinite().all():
        return None
    try:
        with torch.random.fork_rng([]):
            torch.set_rng_state(random)
            return step_origin(experiment.optimizer, *batches)
    except Exception:  # whatever a user's code raises when it is looked at: the run ends with its sentence all the same
        return None


def keep(folder: RunFolder, step: int, experiment: Experiment, batches: tuple[Any, ...]) -> str:
    """Write the state before a refused step, and its batches, into the run folder; return where, in a sentence."""
    if not experiment.game.vector().isfinite().all():
        return ""
    try:
        folder.not_finite.mkdir(exist_ok=True)
        save_checkpoint(folder.not_finite / step_name(step, "pt"), step, experiment, folder.record().to_json())
        if content := _saved(batches):
            write_atomically(folder.not_finite / f"batch-{step_name(step, 'pt')}", content)
    except (OSError, GantoolsError):
        return ""
    return f"the state before that step and its batch are in {folder.not_finite} (--checkpoint {step} opens it)"


def _saved(batches: tuple[Any, ...]) -> bytes:
    buffer = io.BytesIO()
    try:
        torch.save(batches, buffer)
    except Exception:  # pickle: a batch may hold anything
        return b""
    return buffer.getvalue()
