"""Steps of an optimizer through one compiled graph, checked against the steps as they are."""

from __future__ import annotations

import dataclasses
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor

from gantools.batches import outline, tensors
from gantools.errors import GantoolsError, first_line
from gantools.trainers.compiling.agreement import disagreement
from gantools.trainers.compiling.counts import NotCompilableError
from gantools.trainers.compiling.program import Program, Recorded, flat_inputs, outcome
from gantools.trainers.optimizer import GameOptimizer
from gantools.trainers.state import State

MOST = 8  # graphs; batches of further forms are stepped as they are
SECONDS, SECONDS_EACH = 10.0, 0.05  # of compiling on an idle core: what it takes at least, and for an operation
REPORTED = 8  # the step at which times are told

Moved = tuple[Tensor, State]
Optimizer = TypeVar("Optimizer", bound=GameOptimizer)


def compiled(optimizer: Optimizer, tell: Callable[[str], None] = print) -> Optimizer:
    r"""Let the steps of an optimizer run as one compiled graph, from the next `step` on; returns the optimizer.

    The whole map $(w, \mathrm{state}, \mathrm{batch}) \mapsto (w', \mathrm{state}')$ is recorded once as elementary
    operations, derivatives of any order and base rule included, and compiled by PyTorch: one graph for each form of
    batch, up to eight. What depends on the number of updates (schedules, bias corrections) is put in anew at each step.
    `update` stays as it is, and so does all that is linearised.

    The first step of a graph is compared with the step as it is, to rounding, and so are the second, the fourth, the
    eighth and so on: what a loss computes in Python of other things than its batch would stand still in the graph.
    Where the two differ, or the step cannot be recorded or compiled, a sentence says why, once, and the steps go on as
    they are. Steps of a method that decides by numbers (a solver that stops at a residual) cannot be recorded.

    Compiling takes a minute or more; how long, and how many steps that is, is said beforehand, and measured afterwards.
    PyTorch keeps what it compiled on disk (`TORCHINDUCTOR_CACHE_DIR`, by default a temporary folder), so that the same
    step compiles faster the next time.

    Args:
        optimizer: any; it is changed.
        tell: called with each sentence.

    Raises:
        GantoolsError: for anything but an optimizer.
    """
    if not isinstance(optimizer, GameOptimizer):
        raise GantoolsError(
            f"compiled takes an optimizer of gantools, not a {type(optimizer).__name__}: "
            "gt.trainers.make('consensus', game, lr=1e-4) makes one of a game."
        )
    optimizer.taken = CompiledSteps(optimizer, tell)
    return optimizer


class CompiledSteps:
    """What takes an optimizer's steps once they are compiled.

    Attributes:
        why_not: why steps are taken as they are, as a clause; empty while they are compiled.
    """

    def __init__(self, optimizer: GameOptimizer, tell: Callable[[str], None]):
        self._optimizer, self._tell = optimizer, tell
        self._programs: dict[Any, Program] = {}
        self._settings = self._present_settings()
        self._modules = list(optimizer.game.module.modules())
        self.why_not = "its settings follow from the spectrum" if optimizer.adapts else ""
        self._told = False

    def __call__(self, w: Tensor, state: State, batches: Sequence[Any]) -> Moved:
        """Return the next point and state; nothing is changed."""
        eager = self._optimizer.taken_as_it_is
        if not self.why_not and self._optimizer.game.replicas is not None:
            self.why_not = "processes send each other their parts of it"
        if not self.why_not:
            try:
                return self._compiled(w, state, batches)
            except NotCompilableError as error:
                self.why_not = str(error)
        if not self._told:
            self._told = True
            self._tell(f"Steps are not compiled: {self.why_not}. They are taken as they are.")
        return eager(w, state, batches)

    def _compiled(self, w: Tensor, state: State, batches: Sequence[Any]) -> Moved:
        if self._settings != self._present_settings():  # what a graph was made with
            self._programs.clear()
            self._settings = self._present_settings()
        key = self._key(state, batches)
        program = self._programs.get(key)
        if program is None:
            if len(self._programs) == MOST:
                return self._optimizer.taken_as_it_is(w, state, batches)
            program = self._programs[key] = self._made(w, state, batches)
        program.steps += 1
        if program.steps & (program.steps - 1):
            return program(w, state, batches)
        return self._checked(program, w, state, batches)

    def _key(self, state: State, batches: Sequence[Any]) -> Any:
        """Return what a graph is for: the form of batches, counters that are no player's, modes of modules."""
        own = tuple((k, v) for k, v in state.counters.items() if k not in self._optimizer.game.slices)
        devices = tuple(t.device for t in tensors(tuple(batches)))
        return own, outline(tuple(batches)), devices, tuple(m.training for m in self._modules)

    def _present_settings(self) -> list[Any]:
        optimizer: Any = self._optimizer
        return [getattr(optimizer, f.name) for f in dataclasses.fields(optimizer)] + [dict(optimizer.rates)]

    def _made(self, w: Tensor, state: State, batches: Sequence[Any]) -> Program:
        """Record and compile the step for batches of this form."""
        refuse_objects(tuple(batches))
        eager = self._optimizer.taken_as_it_is
        recorded = Recorded(self._optimizer, eager, w, state, batches)
        with self._undisturbed():
            eager(w, state, batches)  # an error of the user's own is raised as such
            seconds = min(self._timed(lambda: eager(w, state, batches))[1] for _ in range(3))
        start = time.perf_counter()
        try:
            from gantools import traced  # loads PyTorch's compiler, which takes seconds

            inputs = flat_inputs(w, state, batches)
            with self._undisturbed(), warnings.catch_warnings(), torch.no_grad():
                warnings.simplefilter("ignore")
                recorded.learn()
                given = torch.zeros(len(recorded.rules), dtype=torch.float64, device=w.device)
                graph = traced.traced(recorded, given, *inputs)
                self._tell(said_beforehand(len(graph.graph.nodes), seconds))
                program = Program(recorded, traced.compiled(graph, [given, *inputs]))
                program(w, state, batches)  # some of the compiling waits for the first call
        except Exception as error:  # recording and compiling fail in as many ways as there are models
            if isinstance(error, torch.OutOfMemoryError):
                raise
            raise NotCompilableError(reason(error)) from error
        program.seconds = {"compiling": time.perf_counter() - start}
        return program

    def _checked(self, program: Program, w: Tensor, state: State, batches: Sequence[Any]) -> Moved:
        """Return what the program makes of a step, once it is known to be the step as it is."""
        eager = self._optimizer.taken_as_it_is
        with self._undisturbed():
            expected = eager(w, state, batches)
        random = torch.get_rng_state()
        try:
            got = program(w, state, batches)
        except Exception as error:
            raise NotCompilableError(reason(error)) from error
        wanted = outcome(w, *expected)
        if not all(bool(x.isfinite().all()) for x in wanted.values()):
            program.steps -= 1  # nothing to compare; the next step is
            return got

        def near(there: Tensor) -> dict[str, Tensor]:
            with self._undisturbed():
                torch.set_rng_state(random)
                return outcome(there, *eager(there, state, batches))

        if different := disagreement(outcome(w, *got), wanted, w, near):
            torch.set_rng_state(random)
            raise NotCompilableError(f"compiled, {different} is another than without")
        if got[1].counters != expected[1].counters:
            raise NotCompilableError("it counts otherwise at every step")
        if program.steps == REPORTED:
            self._report(program, w, state, batches)
        return got

    def _report(self, program: Program, w: Tensor, state: State, batches: Sequence[Any]) -> None:
        """Tell what compiling cost and saves: the shortest of a few steps each way, in turn."""
        ways = {"eager": self._optimizer.taken_as_it_is, "compiled": program}
        with self._undisturbed():
            found = [{k: self._timed(partial(way, w, state, batches))[1] for k, way in ways.items()} for _ in range(5)]
        program.seconds |= {name: min(times[name] for times in found) for name in ways}
        self._tell(said_afterwards(program.seconds))

    def _undisturbed(self) -> Any:
        device = self._optimizer.game.device
        return torch.random.fork_rng([device] if device.type == "cuda" else [])

    def _timed(self, work: Callable[[], Moved]) -> tuple[Moved, float]:
        device = self._optimizer.game.device
        wait: Callable[[], Any] = (lambda: torch.cuda.synchronize(device)) if device.type == "cuda" else (lambda: None)
        wait()
        start = time.perf_counter()
        result = work()
        wait()
        return result, time.perf_counter() - start


def refuse_objects(batch: Any) -> None:
    """Refuse a batch with objects in it: what they hold would stand still in a graph."""
    if isinstance(batch, Mapping):
        batch = tuple(batch.values())
    if isinstance(batch, (tuple, list)):
        for item in batch:
            refuse_objects(item)
    elif not isinstance(batch, (Tensor, int, float, complex, str, bytes, type(None))):
        raise NotCompilableError(f"the batch holds a {type(batch).__name__}, whose tensors are not seen")


def reason(error: Exception) -> str:
    """Return why a step could not be recorded, compiled or run, as a clause."""
    if "_local_scalar_dense" in str(error):
        return "numbers that it computes are read in Python, which decides by them"
    return first_line(error).rstrip(". ") or type(error).__name__


def said_beforehand(operations: int, seconds: float) -> str:
    """Return the sentence on what compiling will cost, before it begins."""
    cost = SECONDS + SECONDS_EACH * operations
    return (
        f"Compiling a step of {operations} operations: about {cost:.0f} s on an idle machine, less where this was "
        f"compiled before. A step takes {1e3 * seconds:.3g} ms: where that is halved, compiling pays from step "
        f"{2 * cost / seconds:.0f} on."
    )


def said_afterwards(seconds: Mapping[str, float]) -> str:
    """Return the sentence on what compiling cost and saves, from the seconds of both and of compiling."""
    cost, as_it_is, now = (seconds[name] for name in ("compiling", "eager", "compiled"))
    text = f"Compiled in {cost:.0f} s: a step takes {1e3 * now:.3g} ms in place of {1e3 * as_it_is:.3g}"
    if now >= as_it_is:
        return f"{text}, so that it does not pay here: steps as they are serve as well."
    return f"{text}, which pays from step {cost / (as_it_is - now):.0f} on."
