"""The training loop: batches, steps, logging, spectra, checkpoints, and stopping on a signal."""

import dataclasses
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gantools import analysis
from gantools.batches import split
from gantools.data.random_state import random_state_kept, seed_global_generators
from gantools.errors import GantoolsError, NonFiniteFieldError
from gantools.metrics.distances import evaluate
from gantools.runs import looks, not_finite
from gantools.runs.beginning import begun, resumed
from gantools.runs.code.trust import CodeChoice
from gantools.runs.config import TrainConfig
from gantools.runs.experiment import Experiment
from gantools.runs.processes import Processes
from gantools.runs.sampling import reference
from gantools.runs.store.folder import RunFolder
from gantools.runs.store.kept_features import kept_features
from gantools.runs.store.recorder import Recorder, writer_errors_once
from gantools.runs.user_file import own_errors
from gantools.signals import Stopped, StopRequests, stop_requested
from gantools.trainers.compiling.steps import compiled
from gantools.trainers.optimizer import State, StepInfo

METRIC_SAMPLES = 2560
INITIAL_SECONDS = 30.0  # a first look that would take longer is left out, so that training begins


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The end of a training run.

    Attributes:
        folder: the run folder.
        step: updates made in all.
        seconds: duration of this part of the run.
        stopped_by: the signal that asked it to stop, or None when it ran to its end.
        spectra: the last spectra that were computed, by tag, such as "game/jacobian/SR" and "game/update".
        metrics: the last metrics that were computed, if any.
    """

    folder: RunFolder
    step: int
    seconds: float
    stopped_by: int | None
    spectra: dict[str, analysis.Spectrum]
    metrics: dict[str, float]


def train(config: TrainConfig, path: str | Path, resume: bool = False) -> Outcome:
    """Train what the configuration describes, in a run folder; see `prepare`."""
    return prepare(config, path, resume).run()


def prepare(
    config: TrainConfig,
    path: str | Path,
    resume: bool = False,
    code: CodeChoice | None = None,
    trust: bool = False,
    processes: Processes | None = None,
) -> "Trainer":
    """Build what the configuration describes and open its run folder; seeds the global generators, as a program does.

    The folder is locked until the trainer has run.

    Args:
        config: the configuration.
        path: the run folder.
        resume: whether to go on with the run that it holds.
        code: see `gantools.load`, as for `trust`.
        trust: whether to execute what a run of a user's file brings along, if this machine never executed it before.
        processes: those that take part, of which this is the first.

    Raises:
        GantoolsError: for whatever in the configuration or the folder cannot be used, before anything is computed;
            `NonFiniteFieldError` when a player's field is NaN or infinite, with the last good checkpoint kept.
    """
    folder = RunFolder(path)
    try:
        seed_global_generators(config.seed)
        if resume:
            experiment, first = resumed(folder, config, code, trust)
        else:
            experiment, first = begun(folder, config), 0
        if processes:
            processes.lead(experiment, first)
        return Trainer(experiment, folder, first, processes)
    except BaseException:
        if processes:
            processes.dismiss()
        folder.release()
        raise


class Trainer:
    """One run: an experiment, its folder, and the step at which it stands.

    Whatever is measured at step s is of the point after s updates; the checkpoint of step s is written before anything
    of step s is logged, so that resuming from it logs all of it again.
    """

    def __init__(self, experiment: Experiment, folder: RunFolder, first: int = 0, processes: Processes | None = None):
        self.processes, self.experiment, self.config = processes, experiment, experiment.config
        self.folder, self.first = folder, first
        self.recorder = Recorder(folder, first, self.config.steps)
        self.features = kept_features(folder, experiment.source if self.config.sample_every else None, self.config.seed)
        self.reference = reference(experiment, METRIC_SAMPLES)
        if self.config.compile:
            compiled(experiment.optimizer, self.recorder.message)
        self.copies = 1  # runs that this one is stepped together with, itself included
        self.last: dict[str, Any] = {"spectra": {}, "metrics": {}}
        self.losses: dict[str, float] = {}
        self._spectra_wanted = self.config.spectrum_every > 0
        self.signals = StopRequests()
        self._clock = (first, time.perf_counter())
        # Each look at a number on a GPU waits for it; on a CPU it is free.
        self._unchecked: list[tuple[int, StepInfo, Tensor]] = []
        self._check_every = 1 if experiment.device.type == "cpu" else 50
        # The step that began last, its batches, and the random state before it.
        self.began: tuple[int, tuple[Any, ...], Tensor] = (-1, (), torch.get_rng_state())

    def run(self) -> Outcome:
        """Train to the last step, or until a signal asks to stop."""
        start = time.perf_counter()
        try:
            with writer_errors_once():
                try:
                    step, signals = self._loop()
                    self.recorder.close()
                    if not signals:
                        self.folder.end()
                finally:
                    self.recorder.abandon()
        except OSError as error:
            raise GantoolsError(
                f"{self.folder.path} cannot be written ({error.strerror or error}); training stopped, {self._kept()}. "
                f"Make room or mend the permissions, then go on with --resume --out {self.folder.path}."
            ) from error
        finally:
            if self.processes:
                self.processes.dismiss()
            self.folder.release()
        seconds = time.perf_counter() - start
        return Outcome(self.folder, step, seconds, signals[0] if signals else None, **self.last)

    def _loop(self) -> tuple[int, list[int]]:
        config, step = self.config, self.first
        with stop_requested() as signals:
            self.signals = signals
            while step < config.steps and not signals:
                self.save_if(step, due(step, config.checkpoint_every) and step > self.first)
                self.measure(step)
                self._step(step)
                step += 1
            self.save_if(step, step > self.first or not self.folder.steps())
            if not signals:
                self.measure(step, last=True)
        return step, signals

    def _step(self, step: int) -> None:
        experiment, optimizer = self.experiment, self.experiment.optimizer
        with own_errors(self.config.target):
            batches = experiment.stream.take(optimizer.batches_per_step)
            self.began = step, batches, torch.get_rng_state()
            info = self._stepped(batches, partial(self.check_step, step))
        if experiment.average:
            experiment.average.update()
        if due(step, self.config.log_every) or info.note:
            self.log(step, info)
        self.recorder.progress(step + 1, self.losses)

    def _stepped(self, batches: tuple[Any, ...], check: Callable[[Tensor, State], None]) -> StepInfo:
        if self.processes:
            return self.processes.step(self.experiment, batches, check)
        if self.config.accumulate > 1:
            batches = tuple(split(batch, self.config.accumulate) for batch in batches)
        return self.experiment.optimizer.step(*batches, check=check)

    def check_step(self, step: int, w: Tensor, state: State) -> None:
        """Refuse a step that is not finite; on a GPU only some steps later."""
        assert state.info is not None
        # A step can be infinite where the field is not: consensus differentiates the field once more.
        finite = torch.stack([w[part].isfinite().all() for part in self.experiment.game.slices.values()])
        self._unchecked.append((step, state.info, finite))
        if len(self._unchecked) >= self._check_every:
            self.check_field()

    def check_field(self) -> None:
        """Refuse the steps since the last look that were not finite."""
        pending, self._unchecked = self._unchecked, []
        for step, info, finite in pending:
            good = torch.stack(list(info.field_norms.values())).isfinite()
            if (good & finite).all():
                continue
            what, wrong = ("step", finite) if good.all() else ("field", good)
            player = list(info.field_norms)[int(wrong.int().argmin())]
            batches = self.began[1:] if self.began[0] == step else None  # later steps were taken from it, as on a GPU
            raise not_finite.refusal(self.experiment, self.folder, what, player, step, batches, self._kept())

    def _kept(self) -> str:
        kept = self.folder.steps()
        return f"the last checkpoint is {self.folder.checkpoint_path(kept[-1])}" if kept else "before any checkpoint"

    def log(self, step: int, info: StepInfo) -> None:
        """Record losses, norms, and the seconds of a step: its share of them where runs are stepped together."""
        self.check_field()
        since, then = self._clock
        self._clock = (step, time.perf_counter())
        values = {f"loss/{player}": float(loss) for player, loss in info.losses.items()}
        values |= {f"field_norm/{player}": float(norm) for player, norm in info.field_norms.items()}
        if info.inner_residual is not None:
            values["inner_residual"] = float(info.inner_residual)
        if info.note:
            self.recorder.note(step, f"{info.note}.")
        values |= info.settings
        if step > since:
            values["step_seconds"] = (self._clock[1] - then) / (step - since) / self.copies
        self.recorder.scalars(step, values)
        self.losses = {k: v for k, v in values.items() if k.startswith("loss/")}

    def measure(self, step: int, last: bool = False) -> None:
        """Take samples, metrics and spectra where they are due; none of it moves the run's random numbers."""
        config = self.config
        sample = config.sample_every > 0 and (last or due(step, config.sample_every))
        began = time.perf_counter()
        with random_state_kept():
            if sample:
                self._sample(step)
            if self._spectra_wanted and (last or due(step, config.spectrum_every)):
                self._spectra(step, last, self.last["metrics"] if sample else {})
        since, then = self._clock
        self._clock = (since, then + time.perf_counter() - began)

    def _sample(self, step: int) -> None:
        """Record samples, if there is a generator, and the metrics of the data set and of the game itself."""
        metrics: dict[str, float] = {}
        with own_errors(self.config.target):
            if self.reference is not None:
                samples, source = self.experiment.sample(METRIC_SAMPLES), self.experiment.source
                if samples.shape[1:] == self.reference.shape[1:]:  # else the losses will say what is wrong
                    self.recorder.samples(step, samples[:512], self.reference[:512])
                if source is not None and samples.isfinite().all():
                    metrics = evaluate(samples, source, self.features)
            self.last["metrics"] = metrics = metrics | self.experiment.game.success()
        if metrics:
            self.recorder.scalars(step, {f"metrics/{name}": value for name, value in metrics.items()})

    def _spectra(self, step: int, last: bool, beside: dict[str, float]) -> None:
        limit = INITIAL_SECONDS if step == 0 and not last else None
        try:
            with own_errors(self.config.target), self.recorder.working() as working, self.signals.interrupting():
                found = looks.spectra(self.experiment, step, last, limit, working)
        except Stopped:
            self.recorder.message(f"Interrupted: the eigenvalues of step {step} are left out, all before is kept.")
            return
        except looks.TooLong as found:
            self.recorder.message(
                f"No spectrum of step 0: it would take about {found.seconds:.0f} s. The next is due at step "
                f"{min(self.config.spectrum_every, self.config.steps)}; --spectrum-every 0 takes none, a smaller "
                "--spectrum-k fewer products."
            )
            return
        except NonFiniteFieldError:
            return  # the step itself will stop the run, and name the player
        except GantoolsError as error:
            self._spectra_wanted = False
            self.recorder.message(f"No spectra in this run: {error}")
            return
        if last:
            try:
                with own_errors(self.config.target), self.recorder.working() as working, self.signals.interrupting():
                    found[looks.UPDATE] = looks.step_spectrum(self.experiment, step, working)
            except Stopped:
                self.recorder.message("Interrupted before the step itself was looked at.")
            except GantoolsError as error:
                self.recorder.message(f"The step itself was not looked at: {error}")
        self.last["spectra"] = found
        for tag, spectrum in found.items():
            self.recorder.spectrum(step, spectrum, beside, tag)

    def save_if(self, step: int, wanted: bool) -> None:
        """Write a checkpoint where one is wanted."""
        if wanted:
            self.check_field()
            self.recorder.flush()  # resuming from here logs nothing of before again
            self.folder.save(step, self.experiment)


def due(step: int, every: int) -> bool:
    """Return whether this step is one of every `every` steps; never for 0."""
    return every > 0 and step % every == 0
