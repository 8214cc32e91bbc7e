"""Training runs side by side: every method on one game from the same seeds, and what became of each."""

import dataclasses
import math
import statistics
from pathlib import Path
from typing import Any

import torch

from gantools.cli.flags import parse_train
from gantools.compare.cost import measured
from gantools.errors import NonFiniteFieldError
from gantools.metrics.distances import mode_coverage
from gantools.runs.config import TrainConfig
from gantools.runs.experiment import Experiment
from gantools.runs.store.folder import RunFolder
from gantools.runs.training_loop import METRIC_SAMPLES, prepare
from gantools.runs.user_file import is_target
from gantools.trainers.optimizer import OPTIMIZERS

RING = "ring8"
RING_STEPS = 2500
# Ten times the rate of the paper, so that a few thousand steps show what 20 000 would. Methods that have no base take
# plain steps, with a rate at which simultaneous ones still train.
RING_LR, RING_PLAIN_LR = 1e-3, 0.1
# What adapts its rates by itself takes that of RMSProp. A solver of ten products keeps a step within the cost of
# a few tens of others.
RING_SETTINGS: dict[str, dict[str, Any]] = {
    "competitive": {"krylov_steps": 10},
    "adaptive_competitive": {"lr": RING_LR, "krylov_steps": 10},
}
LAST = 20  # logged records that the losses and the norm of the field are a mean over
LOG_EVERY = 5


@dataclasses.dataclass(frozen=True)
class Training:
    """What became of one run.

    Attributes:
        settings: learning rate and base, in words.
        steps: updates made. stopped: the sentence that it was stopped with, if it diverged.
        seconds: of a step, their median.
        cost: of a step at the end, in words; None for a run that diverged.
        losses, field_norm: each player's loss, and the norm of the field, means over the end of the run.
        modes, quality: covered modes, and the fraction of samples near one, of a mixture.
    """

    method: str
    seed: int
    settings: str
    steps: int
    stopped: str | None
    seconds: float
    cost: str | None
    evaluations: float | None
    losses: dict[str, float]
    field_norm: float | None
    modes: int | None = None
    quality: float | None = None


class Interrupted(Exception):
    """A signal asked the run to stop; it is saved."""


def configuration(
    method: str, game: str, seed: int, steps: int, lr: float | None = None, device: str = "auto"
) -> TrainConfig:
    """Return the run of a method on `RING` or on FILE.py:FUNCTION: recommended settings, or ours for the ring."""
    flags = [game] if is_target(game) else ["--data", game, "--batch-size", "256"]
    flags += ["--optimizer", method, "--steps", str(steps), "--seed", str(seed), "--device", device]
    flags += ["--sample-every", "0", "--spectrum-every", "0", "--log-every", str(LOG_EVERY)]
    flags += ["--checkpoint-every", str(max(1, steps // 4))]
    settings = {} if lr is None else {"lr": lr}
    if not is_target(game):
        based = any(f.name == "base" for f in dataclasses.fields(OPTIMIZERS[method]))  # type: ignore[arg-type]
        settings = {"lr": RING_LR if based else RING_PLAIN_LR} | RING_SETTINGS.get(method, {}) | settings
    for name, value in settings.items():
        flags += [f"--optimizer.{name.replace('_', '-')}", str(value)]
    return parse_train(flags, prog="gantools compare").config


def train_one(config: TrainConfig, path: Path) -> Training:
    """Train, or go on with what was begun in the folder, and return what became of it.

    Raises:
        Interrupted: after Ctrl-C or SIGTERM; the run goes on from there the next time.
        GantoolsError: for a game that cannot be trained at all.
    """
    folder = RunFolder(path)
    trainer = prepare(config, path, resume=folder.config_path.exists())
    stopped = None
    try:
        outcome = trainer.run()
        if outcome.stopped_by:
            raise Interrupted
    except NonFiniteFieldError as error:
        stopped = str(error).partition("; ")[0]
    records = folder.metrics()
    experiment = trainer.experiment
    cost = None if stopped else measured(experiment.optimizer, experiment.first)
    last = records[-LAST:]
    losses = {player: _mean(last, f"loss/{player}") for player in experiment.game.slices}
    norms = [_mean(last, f"field_norm/{player}") for player in experiment.game.slices]
    modes, quality = _coverage(experiment)
    seconds = [record["step_seconds"] for record in records if "step_seconds" in record]
    return Training(
        method=config.optimizer.name,
        seed=config.seed,
        settings=describe(config),
        steps=config.steps if stopped is None else int(stopped.rpartition(" ")[2]),
        stopped=stopped,
        seconds=statistics.median(seconds) if seconds else math.nan,
        cost=None if cost is None else str(cost),
        evaluations=None if cost is None else cost.evaluations,
        losses=losses,
        field_norm=math.hypot(*norms),
        modes=modes,
        quality=quality,
    )


def describe(config: TrainConfig) -> str:
    """Return in words the learning rate and base of a run, and what else is set for it here."""
    settings = config.optimizer.settings
    words = [f"lr {settings['lr']:g}"]
    if (base := settings.get("base")) is not None:
        words.append(base.name)
    ours = {} if config.target else RING_SETTINGS.get(config.optimizer.name, {})
    return ", ".join([*words, *(f"{name} {settings[name]}" for name in ours if name != "lr")])


def _mean(records: list[dict[str, Any]], name: str) -> float:
    values = [record[name] for record in records if record.get(name) is not None]
    return statistics.fmean(values) if values else math.nan


def _coverage(experiment: Experiment) -> tuple[int | None, float | None]:
    source = experiment.source
    if source is None or source.modes is None or source.radius is None:
        return None, None
    samples = experiment.sample(METRIC_SAMPLES)
    if not samples.isfinite().all():
        return 0, 0.0
    found = mode_coverage(samples, source.modes, source.radius, minimum=None)
    return found.covered, found.high_quality


def device_name(device: str) -> str:
    """Return what the runs are computed on, in words."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.cuda.get_device_name(device) if device.startswith("cuda") else "CPU"
