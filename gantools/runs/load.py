"""Open a run for analysis, at any of its checkpoints."""

import dataclasses
from pathlib import Path
from typing import Any

import torch

from gantools.data.random_state import random_state_kept, seed_global_generators
from gantools.data.streams import GanBatches
from gantools.errors import GantoolsError
from gantools.games.game import Game
from gantools.runs.config import TrainConfig, read_config
from gantools.runs.experiment import Experiment, build
from gantools.runs.store.folder import RunFolder
from gantools.trainers.optimizer import GameOptimizer


@dataclasses.dataclass(frozen=True)
class Run:
    """A run opened for analysis: the game at a checkpoint, with its optimizer and batches.

    Attributes:
        path: the run folder.
        config: its configuration.
        experiment: everything that the configuration builds, in the state of the checkpoint.
        step: the step of the checkpoint.
        steps: all steps that have a checkpoint.
    """

    path: Path
    config: TrainConfig
    experiment: Experiment
    step: int
    steps: list[int]

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
        with random_state_kept():
            folder.load(step, self.experiment)
        return dataclasses.replace(self, step=step)

    def chosen_steps(self, text: str) -> list[int]:
        """Return the steps that a command line's "last", "all" or number names."""
        if text == "last":
            return [self.step]
        if text == "all":
            return self.steps
        if not text.isdigit():
            raise GantoolsError(f"--checkpoint {text!r} is neither last, all, nor a step of this run.")
        if int(text) not in self.steps:
            raise no_such_step(self.path, int(text), self.steps)
        return [int(text)]


def no_such_step(path: Path, step: int, steps: list[int]) -> GantoolsError:
    """Return the sentence for a step without a checkpoint."""
    return GantoolsError(f"{path} has no checkpoint of step {step}: it has {', '.join(map(str, steps)) or 'none'}.")


def load(path: str | Path, step: int | None = None, device: str | None = None) -> Run:
    """Open a run folder at its last checkpoint, or at that of `step`; the global random state is left alone."""
    folder = RunFolder(path)
    config = read_config(folder.config_path)
    if device is not None:
        config = dataclasses.replace(config, device=device)
    steps = folder.steps()
    if not steps:
        raise GantoolsError(f"{folder.path} holds no checkpoint yet: let `gantools train` write one first.")
    if step is not None and step not in steps:
        raise no_such_step(folder.path, step, steps)
    with random_state_kept():
        # A user's function may draw its data: from the seed that it had when it was trained.
        seed_global_generators(config.seed)
        experiment = build(config, optimizer=False)
        if step is None:
            step = folder.load_last(experiment)
        else:
            folder.load(step, experiment)
    return Run(folder.path, config, experiment, step, steps)
