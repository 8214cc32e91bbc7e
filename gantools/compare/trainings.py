"""Training runs of several methods on one game from the same seeds, with their final losses, samples and costs."""

import dataclasses
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gantools.compare.cost import measured
from gantools.errors import NonFiniteFieldError
from gantools.metrics.distances import mode_coverage
from gantools.runs.config import Choice, TrainConfig
from gantools.runs.configure import configure
from gantools.runs.experiment import Experiment
from gantools.runs.store.folder import RunFolder
from gantools.runs.together.training import prepare_together
from gantools.runs.training_loop import METRIC_SAMPLES, Outcome, Trainer, prepare
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
    """The result of one run.

    Attributes:
        method: the optimizer's name.
        seed: of parameters, data order and latents.
        settings: learning rate and base, in words.
        steps: updates made.
        stopped: why the run stopped early, if it diverged.
        seconds: median duration of a step; its share of the duration where seeds are trained together.
        cost: of a step at the end, in words; None for a run that diverged.
        evaluations: gradients and products of such a step.
        losses: each player's loss, its mean over the last logged steps.
        field_norm: norm of the field, from the means of each player's over the last logged steps.
        modes: covered modes of a mixture.
        quality: fraction of the samples near a mode of a mixture.
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
    """Raised where a signal stopped a training run; the run is saved and can go on.

    Attributes:
        number: of the signal.
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def configuration(
    method: str, game: str, seed: int, steps: int, lr: float | None = None, device: str = "auto"
) -> TrainConfig:
    """Return the configuration of a method on `RING` or on FILE.py:FUNCTION.

    A user's game has the recommended settings, the ring those of this module.
    """
    own = is_target(game)
    settings = {} if lr is None else {"lr": lr}
    if not own:
        based = any(f.name == "base" for f in dataclasses.fields(OPTIMIZERS[method]))  # type: ignore[arg-type]
        settings = {"lr": RING_LR if based else RING_PLAIN_LR} | RING_SETTINGS.get(method, {}) | settings
    values: dict[str, Any] = {"target": game} if own else {"data": Choice(game), "batch_size": 256}
    values |= {"sample_every": 0, "spectrum_every": 0, "log_every": LOG_EVERY, "checkpoint_every": max(1, steps // 4)}
    return configure(Choice(method, settings), steps=steps, seed=seed, device=device, **values)


def train_one(config: TrainConfig, path: Path) -> Training:
    """Train, or go on with the run in the folder, and return its result.

    Raises:
        Interrupted: after Ctrl-C or SIGTERM; the run goes on from there the next time.
        GantoolsError: for a game that cannot be trained at all.
    """
    trainer = prepare(config, path, resume=RunFolder(path).config_path.exists())
    try:
        outcome: Outcome | NonFiniteFieldError = trainer.run()
    except NonFiniteFieldError as error:
        outcome = error
    return _training(trainer, outcome)


def train_together(configs: Sequence[TrainConfig], paths: Sequence[Path]) -> list[Training]:
    """Train runs that differ in the seed alone in one program, or go on with those in the folders; as `train_one`.

    Raises:
        NotTogetherError: for runs that have to be trained one after another.
    """
    together = prepare_together(configs, paths)
    return [_training(*pair) for pair in zip(together.trainers, together.run(), strict=True)]


def _training(trainer: Trainer, outcome: Outcome | NonFiniteFieldError) -> Training:
    """Return the result of a run that ended, by itself or because its field was not finite."""
    diverged = outcome if isinstance(outcome, NonFiniteFieldError) else None
    if isinstance(outcome, Outcome) and outcome.stopped_by:
        raise Interrupted(outcome.stopped_by)
    config, experiment, records = trainer.config, trainer.experiment, trainer.folder.metrics()
    cost = None if diverged else measured(experiment.optimizer, experiment.first)
    last = records[-LAST:]
    losses = {player: _mean(last, f"loss/{player}") for player in experiment.game.slices}
    norms = [_mean(last, f"field_norm/{player}") for player in experiment.game.slices]
    modes, quality = _coverage(experiment)
    seconds = [record["step_seconds"] for record in records if "step_seconds" in record]
    return Training(
        method=config.optimizer.name,
        seed=config.seed,
        settings=describe(config),
        steps=config.steps if diverged is None or diverged.step is None else diverged.step,
        stopped=None if diverged is None else diverged.finding,
        seconds=statistics.median(seconds) if seconds else math.nan,
        cost=None if cost is None else str(cost),
        evaluations=None if cost is None else cost.evaluations,
        losses=losses,
        field_norm=math.hypot(*norms),
        modes=modes,
        quality=quality,
    )


def describe(config: TrainConfig) -> str:
    """Return the learning rate, the base and the other `RING_SETTINGS` of a run in words."""
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
