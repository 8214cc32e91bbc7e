"""A step of a run that is not finite: where it arose, and what is kept of it for analysis."""

from __future__ import annotations

import io
from typing import Any

import torch

from gantools.data.random_state import random_state_kept
from gantools.errors import GantoolsError, NonFiniteFieldError
from gantools.games.origins.origin import Origin
from gantools.runs.experiment import Experiment
from gantools.runs.store.atomic import step_name, write_atomically
from gantools.runs.store.checkpoint import save_checkpoint
from gantools.runs.store.folder import RunFolder
from gantools.trainers.step_origin import step_origin


def refusal(
    experiment: Experiment,
    folder: RunFolder,
    what: str,
    player: str,
    step: int,
    begun: tuple[tuple[Any, ...], torch.Tensor] | None,
    kept: str,
) -> NonFiniteFieldError:
    """Return the error for a step that is not finite, with where that arose, and keep what it arose from.

    Args:
        experiment: as it stands before the step, if `begun` is given.
        folder: of the run.
        what: "field" or "step".
        player: whose field or step is not finite.
        step: the step.
        begun: batches of the step and torch's random state before it; None where later steps have been taken.
        kept: a phrase on the checkpoints that there are.
    """
    origin = None
    if begun is not None:
        with random_state_kept():
            origin = _origin(experiment, *begun)
        kept = "; ".join(filter(None, [kept, _keep(folder, step, experiment, begun[0])]))
    player = player if origin is None else origin.player
    finding = f"The {what} of player {player!r} is NaN or infinite at step {step}"
    where = "" if origin is None else f": {origin}"
    remedy = _remedy(experiment, origin is not None and origin.in_data)
    return NonFiniteFieldError(finding + where, f"training stopped, {kept}. {remedy}", player, step)


def _remedy(experiment: Experiment, in_data: bool) -> str:
    if in_data:
        return "Mend the data, or leave that sample out."
    if experiment.source is None:
        return "Lower the learning rate, or look for a division, root or logarithm at 0 in the losses, or NaN data."
    return (
        "Lower the learning rate (--optimizer.lr, with --resume from that checkpoint on), try --optimizer "
        "consensus or extragradient, or add a regularizer (--regularizer r1)."
    )


def _origin(experiment: Experiment, batches: tuple[Any, ...], random: torch.Tensor) -> Origin | None:
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


def _keep(folder: RunFolder, step: int, experiment: Experiment, batches: tuple[Any, ...]) -> str:
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
