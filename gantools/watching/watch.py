"""The watcher of a training loop that is not gantools' own: three lines in anybody's loop."""

import dataclasses
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gantools.board import add_index, add_spectrum
from gantools.data.random_state import random_state_kept
from gantools.errors import GantoolsError, GantoolsWarning
from gantools.games.game import Game
from gantools.trainers.torch_optim.steps import Optimizers, Turns, named_optimizers
from gantools.watching.clock import Clock
from gantools.watching.look import Effort, Look, Looker, Memory, Subject, finite
from gantools.watching.stillness import Originals

Metrics = Callable[[Any], Mapping[str, Any]]


class Watch:
    """A watcher: `watch(step, batch)` in a loop takes a look every `every` steps, and leaves the loop as it was.

    A look is taken at copies of the players, the optimizers, and all that the losses reach: no parameter, buffer,
    gradient, optimizer state, hook, mode or random state of the loop moves. See `watch` for the arguments.

    Attributes:
        last: the last look, None before the first.
        clock: the time that looks have taken.
    """

    def __init__(
        self,
        subject: Subject,
        log: Any = None,
        every: int = 500,
        budget: float | None = 0.05,
        effort: Effort | None = None,
        metrics: Metrics | None = None,
    ):
        if every < 1:
            raise GantoolsError(f"every = {every} is no number of steps: pass 1 or more.")
        self.subject, self.every, self.metrics = subject, every, metrics
        self.writer = _writer(log)
        self.clock, self.effort = Clock(budget), effort or Effort()
        self.last: Look | None = None
        self._memory, self._said = Memory(), set[str]()
        self._step: int | None = -1  # of the last call; None once a step back was told

    def __call__(self, step: int, *batches: Any) -> Look | None:
        """Take a look if one is due at this step and its time fits the budget; return it, or None.

        Args:
            step: of the loop.
            batches: what the losses, or `update`, are called with; several where a step of the loop takes several.
        """
        self._follow(step)
        if step % self.every:
            return None
        effort = self.clock.effort(self.effort)
        if effort is None:
            return self._leave_out(step)
        return self.look(step, *batches, effort=effort)

    def _leave_out(self, step: int) -> None:
        """Count a look that does not fit the budget, and say so the first time."""
        clock = self.clock
        if clock.skipped == 1:
            words = (
                f"The look due at step {step} was left out: looks may take {clock.budget:.0%} of the run's time, and "
                f"have taken {clock.spent:.3g} s of {clock.spent / clock.share:.3g} s. Others that do not fit are left "
                "out silently, and counted (watch/left_out): pass a larger every=, a larger budget=, or budget=None "
                "for all of them."
            )
            warnings.warn(f"gantools.watch: {words}", GantoolsWarning, stacklevel=3)
            if self.writer is not None:
                self.writer.add_text("note", words, step)
        if self.writer is not None:
            self.writer.add_scalar("watch/left_out", clock.skipped, step)

    def _follow(self, step: int) -> None:
        """Warn, once, of steps that begin anew with each epoch."""
        if (before := self._step) is not None and step < before:
            warnings.warn(
                f"The step went back from {before} to {step}: pass a count of all steps, not one that begins anew with "
                "each epoch, or looks overwrite each other.",
                GantoolsWarning,
                stacklevel=3,
            )
            self._step = None
        elif before is not None:
            self._step = step

    def look(self, step: int, *batches: Any, effort: Effort | None = None) -> Look:
        """Take a look now, whatever is due.

        Raises:
            GantoolsError: when the first look finds nothing that it can compute. Later ones warn.
        """
        if not batches and self.subject.losses is not None:
            raise GantoolsError("The losses need a batch: call watch(step, batch).")
        began, first = self.clock.now(), self.last is None
        originals = Originals(self.subject.players.values(), self.subject.optimizers.values(), keep=first)
        looker = Looker(self.subject, batches, effort or self.effort, self._memory)
        with random_state_kept():
            seen = looker.look(step)
            metrics = self._success(looker)
        originals.require_untouched()
        seconds = self.clock.now() - began
        self.clock.took(seconds, seen.products)
        seen = dataclasses.replace(seen, seconds=seconds, metrics=metrics, left_out=self.clock.skipped)
        if first and looker.failure is not None and not seen.spectra:
            raise GantoolsError("\n".join(seen.notes)) from looker.failure
        self.last = seen = self._said_once(seen)
        if self.writer is not None:
            record(self.writer, seen)
        return seen

    def _success(self, looker: Looker) -> dict[str, float]:
        if self.metrics is None:
            return {}
        players, training = self.subject.players, {}
        for module in (m for player in players.values() for m in player.modules()):
            training[module] = module.training
        try:
            with torch.no_grad():
                return finite(self.metrics(players))
        except Exception as error:
            looker.notes.append(f"The metrics failed: {type(error).__name__}: {error}")
            return {}
        finally:
            for module, mode in training.items():
                module.training = mode

    def _said_once(self, seen: Look) -> Look:
        """Warn of what is to be known, each sentence once; return the look with the new ones alone."""
        new = tuple(note for note in dict.fromkeys(seen.notes) if note not in self._said)
        caveat = () if seen.caveat is None or seen.caveat in self._said else (seen.caveat,)
        self._said.update((*new, *caveat))
        for note in (*new, *caveat):
            warnings.warn(f"gantools.watch: {note}", stacklevel=4)
        return dataclasses.replace(seen, notes=new)


def record(writer: Any, seen: Look) -> None:
    """Log a look to TensorBoard: spectra, index, verdict, metrics and the time that it took."""
    for tag, spectrum in seen.spectra.items():
        add_spectrum(writer, tag, spectrum, seen.step, beside=seen.metrics)
    if seen.index is not None:
        add_index(writer, "game/index", seen.index, seen.step)
    if seen.spectral_radius is not None:
        writer.add_scalar("game/update/spectral_radius", seen.spectral_radius, seen.step)
    if seen.difference_error is not None:
        writer.add_scalar("game/update/difference_error", seen.difference_error, seen.step)
    for name, value in seen.metrics.items():
        writer.add_scalar(f"metrics/{name}", value, seen.step)
    writer.add_scalar("watch/seconds", seen.seconds, seen.step)
    writer.add_scalar("watch/left_out", seen.left_out, seen.step)
    writer.add_text("game/verdict", seen.verdict.replace("\n", "\n\n"), seen.step)
    writer.flush()


def _writer(log: Any) -> Any:
    """Return the writer itself, one into the folder of this name, or None."""
    if log is None or hasattr(log, "add_scalar"):
        return log
    from torch.utils.tensorboard import SummaryWriter  # half a second, for those who log elsewhere

    return SummaryWriter(str(log))


def watch(
    players: Mapping[str, nn.Module] | Game,
    losses: Callable[[Any, Any], Mapping[str, Tensor]] | None = None,
    *,
    optimizers: Optimizers | None = None,
    update: Callable[..., Any] | None = None,
    turns: Turns = None,
    log: Any = None,
    every: int = 500,
    budget: float | None = 0.05,
    k: int = 6,
    tol: float = 1e-3,
    max_matvecs: int = 200,
    metrics: Metrics | None = None,
) -> Watch:
    """Return a watcher of a training loop: call it as `watch(step, batch)` in each step.

    It logs the leading eigenvalues of the game's Jacobian at both ends (all of them, and the index, of up to 300
    parameters), those of the loop's own update with its spectral radius, and a verdict. Searches begin at what the last
    look found. Dropout, and it alone, is switched off during a look. Where PyTorch has no right second derivative of
    the losses, central differences take its place, and a note says so.

    Args:
        players: the loop's modules by name, or a game.
        losses: `losses(players, batch)` returns each player's loss as the loop computes it, what it detaches included.
            It may draw random numbers and move pools of images: a look moves neither.
        optimizers: the loop's, of `torch.optim`, by any names; they need not match the players. What they hold moves,
            also where `requires_grad` is off for a while; layers that require no gradient and never had one are frozen,
            and all else is constant. By default all that requires a gradient moves.
        update: a function that makes one step of the loop, `update(batch)`, on the loop's own modules and optimizers:
            its Jacobian is taken by central differences of float64 copies, whatever it does, and the error is stated.
            For steps that `optimizers` in turn do not describe: clipping, lazy penalties, terms added to gradients.
        turns: without `update`, how often each optimizer moves in a step, see `update_operator`.
        log: a `SummaryWriter`, or a folder for one; None to log nothing.
        every: steps between looks.
        budget: largest share of the run's time that looks take: where one does not fit, it is taken at a later multiple
            of `every`, and with fewer products; the first that is left out is told, and all are counted. None for a
            look whenever one is due.
        k: eigenvalues at each end.
        tol: their relative tolerance.
        max_matvecs: products at most, in each search.
        metrics: `metrics(players)` returns numbers by name that say how good the players are, logged beside.
    """
    constraints: Mapping[str, Any] = {}
    if isinstance(players, Game):
        losses, metrics, constraints = losses or players.losses, metrics or players.metrics, players.constraints
        players = players.players
    if not isinstance(players, Mapping) or not all(isinstance(m, nn.Module) for m in players.values()) or not players:
        raise GantoolsError('The players are modules by name: pass {"G": G, "D": D}, or a game.')
    named = {} if optimizers is None else named_optimizers(optimizers)
    if losses is None and update is None:
        raise GantoolsError("There is nothing to look at: pass losses(players, batch), or update=step, or both.")
    if update is not None and not named:
        raise GantoolsError(
            "update= needs the optimizers that it steps, whose states are part of the map: pass optimizers=."
        )
    subject = Subject(dict(players), losses, named, update, turns, constraints)
    return Watch(subject, log, every, budget, Effort(k, tol, max_matvecs), metrics)
