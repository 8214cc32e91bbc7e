"""Training in the processes that torchrun started: one leads, the others take their part of every step.

The first process trains as it would alone: it draws whole batches, measures, writes the run folder. Every other builds
the same experiment in the state that the first one sends, draws the same batches, and evaluates its part of them. So
the number of processes changes nothing but rounding, and a checkpoint resumes in any number of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from gantools.batches import batch_size, map_tensors, split, tensors
from gantools.errors import GantoolsError
from gantools.games.replicas import communicating, replicated
from gantools.runs.config import TrainConfig
from gantools.runs.experiment import Experiment, build, set_threads
from gantools.runs.store.checkpoint import experiment_state, load_checkpoint
from gantools.signals import stop_requested
from gantools.trainers.state import StepInfo

# The others wait while the first process measures; a lost process is noticed at once, by its closed connection.
PATIENCE = timedelta(hours=12)


@contextmanager
def joined() -> Iterator[Processes | None]:
    """Join the other processes of torchrun for a block; None where it started no other one."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2 or not dist.is_available():
        yield None
        return
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    ours = not dist.is_initialized()
    if ours:
        with communicating():
            dist.init_process_group("nccl" if gpu else "gloo", timeout=PATIENCE)
    try:
        yield Processes()
    finally:
        if ours:  # a group that is left to the interpreter's end takes the process down with SIGABRT now and then
            dist.destroy_process_group()


class Processes:
    """All processes of a training.

    Attributes:
        rank: this one's place; 0 leads.
        count: how many there are.
    """

    def __init__(self) -> None:
        self.rank, self.count = dist.get_rank(), dist.get_world_size()
        self._game: Any = None
        self._dismissed = False

    # The first process ------------------------------------------------------------------------------------------------

    def lead(self, experiment: Experiment, step: int) -> None:
        """Send the experiment, which stands at a step, to the others."""
        self._send((experiment.config.to_dict(), experiment.code, experiment_state(step, experiment)))
        self._game = replicated(experiment.game)

    def step(self, experiment: Experiment, batches: tuple[Any, ...], check: Callable[..., None]) -> StepInfo:
        """Make one step of the experiment's optimizer in all processes, see `GameOptimizer.step`."""
        self._send("step")
        return self._take_part(experiment, batches, check)

    def dismiss(self) -> None:
        """Let the others end."""
        if not self._dismissed:
            self._dismissed = True
            with suppress(GantoolsError):  # one that has ended already needs no word
                self._send(None)

    # The others -------------------------------------------------------------------------------------------------------

    def follow(self) -> None:
        """Take part in every step until the first process ends the training."""
        with stop_requested():  # the first process decides when to stop
            sent = self._received()
            if sent is None:
                return
            config, code, state = sent
            experiment = build(TrainConfig.from_dict(config), code=code)
            set_threads(experiment.game, experiment.config.threads)
            load_checkpoint(Path("of the first process"), state, experiment)
            # Dropout and noise inside the losses differ from process to process.
            torch.manual_seed(int(torch.randint(2**62, ())) + self.rank)
            self._game = replicated(experiment.game)
            while self._received() is not None:
                self._take_part(experiment, experiment.stream.take(experiment.optimizer.batches_per_step), None)
                if experiment.average:
                    experiment.average.update()

    def _take_part(
        self, experiment: Experiment, batches: tuple[Any, ...], check: Callable[..., None] | None
    ) -> StepInfo:
        parts = tuple(self._part(batch) for batch in batches)
        if experiment.config.accumulate > 1:
            parts = tuple(split(part, experiment.config.accumulate) for part in parts)
        with self._replicated(experiment):
            return experiment.optimizer.step(*parts, check=check)

    def _part(self, batch: Any) -> Any:
        """Return every count-th sample of a batch: equal shares, the first ones larger where it does not divide."""
        size = batch_size(batch)
        if size < self.count or not all(x.shape[0] == size for x in tensors(batch) if x.dim()):
            raise GantoolsError(
                f"A batch of {size} samples cannot be shared by {self.count} processes: every tensor of it needs at "
                "least as many samples along its first dimension; raise --batch-size, or start fewer processes."
            )
        return map_tensors(lambda x: x[self.rank :: self.count] if x.dim() else x, batch)

    @contextmanager
    def _replicated(self, experiment: Experiment) -> Iterator[None]:
        """Let the optimizer step on the game of all processes; outside, what is measured is of this one alone."""
        optimizer = experiment.optimizer
        alone, optimizer.game = optimizer.game, self._game
        try:
            yield
        finally:
            optimizer.game = alone

    # What they send each other ----------------------------------------------------------------------------------------

    def _send(self, thing: Any) -> None:
        with communicating():
            dist.broadcast_object_list([thing], 0)

    def _received(self) -> Any:
        things: list[Any] = [None]
        with communicating():
            dist.broadcast_object_list(things, 0)
        return things[0]
