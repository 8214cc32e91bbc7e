"""Runs that differ in seed, learning rate or consensus' gamma, stepped together; each has an ordinary run folder.

What a run computes does not depend on the others, up to rounding: it has its own parameters, batches and random state,
its own checkpoints and looks, and can be resumed, looked at and compared as a run that was trained alone.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gantools.data.random_state import random_state, random_state_kept, set_random_state
from gantools.errors import GantoolsError, GantoolsWarning, NonFiniteFieldError
from gantools.games.copies.stacked import Stacked
from gantools.runs.config import TrainConfig
from gantools.runs.experiment import made, make_optimizer
from gantools.runs.store.folder import RunFolder
from gantools.runs.store.recorder import writer_errors_once
from gantools.runs.together.each import differing, use_settings_of_each
from gantools.runs.training_loop import Outcome, Trainer, due, prepare
from gantools.runs.user_file import own_errors
from gantools.signals import stop_requested
from gantools.trainers.averages import AVERAGES, Average
from gantools.trainers.compiling.steps import compiled
from gantools.trainers.copies import load_states_of_copies, states_of_copies
from gantools.trainers.optimizer import OPTIMIZERS, State, StepInfo


class NotTogetherError(GantoolsError):
    """Runs that cannot be stepped together, and can each be trained alone."""


def why_not_together(config: TrainConfig) -> str:
    """Return why runs of this configuration cannot be stepped together, as a clause; empty where nothing is known."""
    if couples := OPTIMIZERS[config.optimizer.name].couples:
        return f"{config.optimizer.name} would couple the runs: {couples}"
    return "their batches are accumulated in parts" if config.accumulate > 1 else ""


def prepare_together(configs: Sequence[TrainConfig], paths: Sequence[Path]) -> Together:
    """Build what the configurations describe, each in its run folder; a run that a folder holds is gone on with.

    The folders are locked until the runs have ended.

    Args:
        configs: they differ in the seed, and in the optimizer's settings of `gantools.runs.together.each` alone.
        paths: the run folders.

    Raises:
        NotTogetherError: for runs that have to be trained one after another; their folders can be resumed.
        GantoolsError: for whatever cannot be used.
    """
    if why := why_not_together(configs[0]):
        raise NotTogetherError(f"{why}.")
    runs: list[_OneOfThem] = []
    try:
        for config, path in zip(configs, paths, strict=True):
            runs.append(_OneOfThem(prepare(config, path, resume=RunFolder(path).config_path.exists())))
        return Together(runs)
    except BaseException:
        for run in runs:
            run.close()
        raise


class _OneOfThem:
    """One of the runs, with the global random state that it would have if it were trained alone."""

    def __init__(self, trainer: Trainer):
        self.trainer, self.random = trainer, random_state()

    @contextmanager
    def alone(self) -> Iterator[Trainer]:
        """Run a block with this run's random state."""
        set_random_state(self.random)
        try:
            yield self.trainer
        finally:
            self.random = random_state()

    def take(self, count: int) -> tuple[Any, ...]:
        """Return the next batches of a step; only a user's own loader draws from the global generators."""
        trainer = self.trainer
        if trainer.config.target is None:
            return trainer.experiment.stream.take(count)
        with self.alone(), own_errors(trainer.config.target):
            return trainer.experiment.stream.take(count)

    def close(self) -> None:
        self.trainer.recorder.abandon()
        self.trainer.folder.release()


class Together:
    """Runs that are stepped together, from the step at which all of them stand.

    Attributes:
        trainers: the runs, in the order given.
        ended: by the place of a run that was stopped because it was not finite, its error.
    """

    def __init__(self, runs: Sequence[_OneOfThem]):
        self._runs = list(runs)
        self.trainers = [run.trainer for run in runs]
        self.ended: dict[int, NonFiniteFieldError] = {}
        self._going = list(range(len(runs)))
        self.first, self._config = self.trainers[0].first, self.trainers[0].config
        if any(trainer.first != self.first for trainer in self.trainers):
            raise NotTogetherError("The runs stand at different steps, so they go on one after another.")
        self._stack()
        self._lead()

    def _lead(self) -> None:
        """Let the first of the runs that go on show how far they are."""
        for place, trainer in enumerate(self.trainers):
            trainer.recorder.show_progress(place == self._going[0])

    def run(self) -> list[Outcome | NonFiniteFieldError]:
        """Train to the last step, or until a signal asks to stop; return what became of each run, in order.

        A run whose field is NaN or infinite stops with its sentence, and the others go on.
        """
        begun = time.perf_counter()
        try:
            with random_state_kept(), writer_errors_once():
                step, signals = self._loop()
                for place in self._going:
                    self.trainers[place].recorder.close()
                    if not signals:
                        self.trainers[place].folder.end()
        except OSError as error:
            raise GantoolsError(
                f"A run folder cannot be written ({error.strerror or error}); training stopped. Make room or mend the "
                "permissions, and give the same command again: every run goes on from its last checkpoint."
            ) from error
        finally:
            for run in self._runs:
                run.close()
        seconds, number = time.perf_counter() - begun, signals[0] if signals else None
        return [
            self.ended.get(place) or Outcome(trainer.folder, step, seconds, number, **trainer.last)
            for place, trainer in enumerate(self.trainers)
        ]

    def _loop(self) -> tuple[int, list[int]]:
        config, step = self._config, self.first
        looks = (config.checkpoint_every, config.sample_every, config.spectrum_every)
        with stop_requested() as signals:
            for trainer in self.trainers:
                trainer.signals = signals
            while step < config.steps and not signals and self._going:
                if any(due(step, every) for every in looks):
                    self._look(step, save=due(step, config.checkpoint_every) and step > self.first)
                self._step(step)
                step += 1
            self._look(step, save=True, measure=not signals, last=True)
        return step, signals

    def _look(self, step: int, save: bool, measure: bool = True, last: bool = False) -> None:
        if not self._going:
            return
        self._hand_out()
        for place in self._going:
            with self._runs[place].alone() as trainer:
                trainer.save_if(step, save and (step > self.first or not trainer.folder.steps()))
                if measure:
                    trainer.measure(step, last=last)

    # The copies ------------------------------------------------------------------------------------------------------

    def _stack(self, again: bool = False) -> None:
        """Take the runs that go on into one game, with the states of their optimizers and averages."""
        experiments = [self.trainers[place].experiment for place in self._going]
        try:
            self._game = Stacked([experiment.game for experiment in experiments])
            self._optimizer = make_optimizer(self._config.optimizer, self._game)
            choices = [self.trainers[place].config.optimizer for place in self._going]
            use_settings_of_each(self._optimizer, [e.optimizer for e in experiments], differing(choices))
            if self._config.compile:
                compiled(self._optimizer, self.trainers[self._going[0]].recorder.message)
            if again:  # far from where they began, rounding may differ by more
                self._game.take_as_examined()
            with warnings.catch_warnings():
                warnings.filterwarnings("ignore", "The copies are evaluated", GantoolsWarning)
                first = self._game.each([experiment.first for experiment in experiments])
                self._game.examine(first, derivatives=self._optimizer.second_order)
        except GantoolsError as error:
            raise NotTogetherError(str(error)) from error
        if self._game.why_one_by_one:
            raise NotTogetherError(f"{self._game.why_one_by_one}.")
        load_states_of_copies(self._optimizer, [experiment.optimizer.state_dict() for experiment in experiments])
        self._average = self._joined_average([experiment.average for experiment in experiments])
        for place in self._going:
            self.trainers[place].copies = len(self._going)

    def _joined_average(self, averages: Sequence[Average | None]) -> Average | None:
        if averages[0] is None:
            return None
        saved = [average.state_dict() for average in averages if average is not None]
        joined = Average(self._game, made(AVERAGES, self._config.average))
        buffers = {name: torch.stack([one["buffers"][name] for one in saved]) for name in saved[0]["buffers"]}
        vector = self._game.layout.vector_of(torch.stack([one["vector"] for one in saved]))
        joined.load_state_dict({**saved[0], "vector": vector, "buffers": buffers})
        return joined

    def _hand_out(self) -> None:
        """Give each run its parameters, buffers, optimizer's state and average."""
        self._game.hand_out()
        for copy, state in enumerate(states_of_copies(self._optimizer)):
            experiment = self.trainers[self._going[copy]].experiment
            experiment.optimizer.load_state_dict(state)
            if experiment.average and self._average:
                saved = self._average.state_dict()
                row = self._game.layout.rows(saved["vector"])[copy]
                buffers = self._game.buffers_of(copy, saved["buffers"])
                experiment.average.load_state_dict({**saved, "vector": row, "buffers": buffers})

    # Steps ------------------------------------------------------------------------------------------------------------

    def _step(self, step: int) -> None:
        batches = {place: self._runs[place].take(self._optimizer.batches_per_step) for place in self._going}
        info = None
        while self._going and info is None:
            try:
                each = [self._game.each(column) for column in zip(*(batches[p] for p in self._going), strict=True)]
                with own_errors(self._config.target):
                    info = self._optimizer.step(*each, check=self._check)
            except _NotFinite as found:
                self._end(found.copies, step, batches)
        if info is None:
            return
        if self._average:
            self._average.update()
        if due(step, self._config.log_every):
            for copy, place in enumerate(self._going):
                self.trainers[place].log(step, _of_copy(info, copy))
        lead = self.trainers[self._going[0]]
        lead.recorder.progress(step + 1, lead.losses)

    def _check(self, w: Tensor, state: State) -> None:
        """Refuse a step that is not finite in some copy."""
        assert state.info is not None
        rows = self._game.layout.rows(w).isfinite().all(1)
        norms = torch.stack(list(state.info.field_norms.values())).isfinite().all(0)
        if not (rows & norms).all():
            bad = (~(rows & norms)).nonzero().flatten().tolist()
            own = {copy: (self._game.layout.rows(w)[copy], state.info) for copy in bad}
            raise _NotFinite(own)

    def _end(self, copies: dict[int, tuple[Tensor, StepInfo]], step: int, batches: dict[int, tuple[Any, ...]]) -> None:
        """End the runs whose step was refused, where they stood before it; the others are stacked without them."""
        self._hand_out()
        for copy, (row, info) in copies.items():
            place = self._going[copy]
            try:
                with self._runs[place].alone() as trainer:
                    trainer.began = step, batches[place], torch.get_rng_state()
                    trainer.check_step(step, row, State({}, {}, {}, _of_copy(info, copy)))
                    trainer.check_field()
            except NonFiniteFieldError as error:
                self.ended[place] = error
                self.trainers[place].recorder.message(f"Seed {self.trainers[place].config.seed}: {error}")
            self._runs[place].close()
        self._going = [place for copy, place in enumerate(self._going) if copy not in copies]
        if self._going:
            self._stack(again=True)
            self._lead()


class _NotFinite(GantoolsError):
    """A step that is not finite in some copies, with their next points and infos."""

    def __init__(self, copies: dict[int, tuple[Tensor, StepInfo]]):
        super().__init__("A step is not finite in some copies.")
        self.copies = copies


def _of_copy(info: StepInfo, copy: int) -> StepInfo:
    return StepInfo(
        {player: loss[copy] for player, loss in info.losses.items()},
        {player: norm[copy] for player, norm in info.field_norms.items()},
        info.reused_batches,
    )
