"""Open a run for analysis, at any of its checkpoints."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from gantools.batches import widened
from gantools.data.random_state import random_state_kept, seed_global_generators
from gantools.data.streams import GanBatches
from gantools.errors import GantoolsError
from gantools.games.game import Game
from gantools.runs.code.stored import Code
from gantools.runs.code.trust import CodeChoice, chosen_code
from gantools.runs.config import TrainConfig
from gantools.runs.experiment import Experiment, build
from gantools.runs.record import Record, damaged
from gantools.runs.store.atomic import say
from gantools.runs.store.checkpoint import MissingCheckpointError, experiment_state, load_checkpoint, missing_checkpoint
from gantools.runs.store.folder import RunFolder
from gantools.trainers.optimizer import GameOptimizer

READS = 5  # of a folder that is being written, before it is called inconsistent


@dataclasses.dataclass(frozen=True, repr=False)
class Run:
    """A run opened for analysis: the game at a checkpoint, with its optimizer and batches.

    Attributes:
        path: the run folder.
        config: its configuration.
        experiment: everything that the configuration builds, in the state of the checkpoint.
        step: the step of the checkpoint.
        steps: all steps that have a checkpoint, and that before which the run stopped at NaN.
        record: config.json as it was at the checkpoint, where a folder was opened.
        opened: the other arguments of `load`.
    """

    path: Path
    config: TrainConfig
    experiment: Experiment
    step: int
    steps: list[int]
    record: Record | None = None
    opened: dict[str, Any] = dataclasses.field(default_factory=dict)

    def __repr__(self) -> str:
        """Return what was trained, up to which step, and the game."""
        what = self.config.target or self.config.data.name
        return f"Run {self.path} of {what} at step {self.step}, checkpoints at {self.steps}\n{self.game!r}"

    @property
    def game(self) -> Game:
        """The game, in the state of the checkpoint."""
        return self.experiment.game

    @property
    def optimizer(self) -> GameOptimizer:
        """The optimizer, its state as at the checkpoint."""
        return self.experiment.optimizer

    @property
    def batches(self) -> Any:
        """The batches of the run, with schedules of regularizers at their value of the checkpoint.

        They are indexable; iterating walks over one epoch, ten batches of an endless data set.
        """
        batches = self.experiment.batches
        return batches.standing_at(self.step) if isinstance(batches, GanBatches) else batches

    def sample(self, n: int, seed: int = 0, averaged: bool = True) -> torch.Tensor:
        """Return n samples of the generator, (n, ...), on the CPU; of the average of the iterates if there is one."""
        return self.experiment.sample(n, seed, averaged)

    def at(self, step: int) -> "Run":
        """Return the same run at another checkpoint; the modules are shared, so this one moves along."""
        folder = RunFolder(self.path)
        if step not in self.steps:
            raise no_such_step(self.path, step, self.steps)
        saved = folder.read(step)
        record = folder.record().at(saved, folder.checkpoint_path(step))
        known = self.record is None or record.code == self.record.code
        if not known and self.opened.get("code") != "current":  # another text is another game
            opened: dict[str, Any] = {**self.opened, "code": self.opened.get("code") or "stored"}
            other = load(self.path, step, **opened)
            return other.double() if self.experiment.wide else other
        config = dataclasses.replace(record.config, device=self.config.device)
        with random_state_kept():
            self.experiment.reconfigure(config)
            saved = widened(saved) if self.experiment.wide else saved
            load_checkpoint(folder.checkpoint_path(step), saved, self.experiment)
        return dataclasses.replace(self, step=step, config=config, record=record)

    def double(self) -> "Run":
        """Return the same run in float64: a game of its own, its optimizer's state, its average, and its batches.

        Everything is built anew in the run's precision, data included, and made float64 then: the numbers are the same.
        This run stays as it is; `at` of the new one stays in float64.

        Raises:
            GantoolsError: for losses that bring tensors of another precision along.
        """
        path = RunFolder(self.path).checkpoint_path(self.step)
        with random_state_kept():
            seed_global_generators(self.config.seed)
            experiment = build(self.config, False, self.experiment.code, wide=True)
            load_checkpoint(path, widened(experiment_state(self.step, self.experiment)), experiment)
            try:
                experiment.game.field(experiment.analysis_batch(step=self.step))
            except RuntimeError as error:
                raise GantoolsError(
                    f"This game does not compute in float64 ({str(error).splitlines()[0]}): let its modules register "
                    "their tensors as buffers, and its losses make theirs of the players' dtype (x.to(y))."
                ) from error
        return dataclasses.replace(self, experiment=experiment)

    def each(self, steps: list[int]) -> Iterator["Run"]:
        """Yield the run at each of these checkpoints; one that was deleted meanwhile, as training goes on, is named."""
        present = self
        for step in steps:
            try:
                # Where it stands already, its file may be gone by now.
                present = present if step == present.step else present.at(step)
            except MissingCheckpointError:
                say(f"The checkpoint of step {step} was deleted meanwhile, by the rule of the run that goes on.")
                continue
            yield present

    def chosen_steps(self, text: str) -> list[int]:
        """Return the steps that a command line's "last", "all" or number names."""
        if text == "last":
            return [self.step]
        if text == "all":
            every = self.config.checkpoint_every
            gone = [step for step in sorted(RunFolder(self.path).measured()) if step and every and step % every == 0]
            if gone := [str(step) for step in gone if step < self.steps[-1] and step not in self.steps]:
                say(f"The checkpoints of steps {', '.join(gone)}, which spectra refer to, are gone.")
            return self.steps
        if not text.isdigit():
            raise GantoolsError(f"--checkpoint {text!r} is neither last, all, nor a step of this run.")
        if int(text) not in self.steps:
            raise no_such_step(self.path, int(text), self.steps)
        return [int(text)]


def no_such_step(path: Path, step: int, steps: list[int]) -> GantoolsError:
    """Return the sentence for a step without a checkpoint."""
    return GantoolsError(f"{path} has no checkpoint of step {step}: it has {', '.join(map(str, steps)) or 'none'}.")


def load(
    path: str | Path,
    step: int | None = None,
    device: str | None = None,
    code: CodeChoice | None = None,
    trust: bool = False,
) -> Run:
    """Open a run folder at its last checkpoint, or at that of `step`; the global random state is left alone.

    Args:
        path: the run folder. Another process may be training in it.
        step: of the checkpoint.
        device: by default the run's own.
        code: for a run of a user's file that was changed since: "stored" for the text that it was trained with,
            "current" for the file as it is now.
        trust: whether to execute a user's file that the run brings along and this machine never executed before.

    Raises:
        GantoolsError: for what is no run, is damaged, or is not trusted.
    """
    folder = RunFolder(path)
    folder.require_no_links()
    record, steps, step, saved = _checkpoint(folder, step)
    then = record.at(saved, folder.checkpoint_path(step))
    say_if_unchecked(folder, record)
    text = chosen_code(then, folder.code, code, trust) if then.config.target else None
    config = then.config if device is None else dataclasses.replace(then.config, device=device)
    with random_state_kept():
        # A user's function may draw its data: from the seed that it had when it was trained.
        seed_global_generators(config.seed)
        experiment = build_stored(config, folder, text)
        load_checkpoint(folder.checkpoint_path(step), saved, experiment)
    if then.data not in (None, experiment.data_digest()):
        say(f"{other_data(config)}; what is computed now is of these.")
    return Run(folder.path, config, experiment, step, steps, then, {"device": device, "code": code, "trust": trust})


def other_data(config: TrainConfig) -> str:
    """Return the beginning of the sentence for a data set that changed."""
    return f"The data of {config.data.name} are not those that this run was trained on"


def say_if_unchecked(folder: RunFolder, record: Record) -> None:
    """Say of a run from before checksums what it lacks."""
    if not record.checked:
        say(f"{folder.path} was made before there were checksums: damage to it may go unnoticed. --resume adds them.")


def _checkpoint(folder: RunFolder, step: int | None) -> tuple[Record, list[int], int, dict[str, Any]]:
    """Return config.json, the steps that have a checkpoint, the one wanted, and its content, all of one moment."""
    for attempt in range(READS):
        record, logged, steps = folder.record(), folder.last_logged(), folder.steps()
        every = folder.open_steps()
        if not every:
            raise GantoolsError(f"{folder.path} holds no checkpoint yet: let `gantools train` write one first.")
        if step is not None and step not in every:
            raise no_such_step(folder.path, step, every)
        try:
            chosen, saved = folder.read_last(steps or every) if step is None else (step, folder.read(step))
            record.at(saved, folder.checkpoint_path(chosen))
            if step is None and steps and (gone := missing_checkpoint(record.config, steps, logged)):
                say(f"The checkpoint of step {gone} is gone; the last one of {folder.path} is of step {steps[-1]}.")
            return record, every, chosen, saved
        except GantoolsError:
            # Training goes on: what was listed may have been deleted by its rule, or resumed with another rate.
            if attempt + 1 == READS or (folder.steps() == steps and folder.record().content == record.content):
                raise
    raise AssertionError


def build_stored(config: TrainConfig, folder: RunFolder, code: Code | None, optimizer: bool = False) -> Experiment:
    """Build what a run folder describes; a configuration that describes nothing is a damaged one."""
    try:
        return build(config, optimizer, code)
    except GantoolsError:
        raise
    except (AttributeError, TypeError, KeyError, ValueError, AssertionError) as error:
        raise damaged(folder.config_path, f"{type(error).__name__}: {error}") from error
