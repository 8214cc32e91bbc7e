"""One graph of a whole step, field, products and base rule, for batches of one form."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gantools.batches import map_tensors, tensors
from gantools.trainers.compiling.counts import Count, NotCompilableError, Numbers
from gantools.trainers.state import State, StepInfo

if TYPE_CHECKING:
    from gantools.trainers.optimizer import GameOptimizer

Update = Callable[..., tuple[Tensor, State]]
STEP = "step"  # the batch's key for the number of updates made


def flat_inputs(w: Tensor, state: State, batches: Sequence[Any]) -> list[Tensor]:
    """Return the tensors that a step depends on, in a fixed order."""
    return [w, *state.memory.values(), *state.buffers.values(), *tensors(tuple(batches))]


def outcome(w: Tensor, after: Tensor, state: State) -> dict[str, Tensor]:
    """Return what a step from `w` (n,) made, by name in words: the step itself first."""
    info = state.info
    assert info is not None
    found = {"the step": after - w} | {f"the memory {key!r}": value for key, value in state.memory.items()}
    found |= {f"the buffer {key!r}": value for key, value in state.buffers.items()}
    found |= {f"the loss of {player!r}": loss for player, loss in info.losses.items()}
    return found | {f"the field's norm of {player!r}": norm for player, norm in info.field_norms.items()}


class Recorded:
    """A step as a function of tensors alone, to be traced.

    Args:
        optimizer: whose step.
        update: the pure map (w, state, batches) of it.
        w: where the step starts; likewise state and batches. They are examples of what it will be called with.

    Attributes:
        rules: how the numbers that depend on counts are computed, see `Numbers`; known once `learn` has run.
        state: the state that a traced call made, of tensors that are no longer needed.
    """

    def __init__(self, optimizer: GameOptimizer, update: Update, w: Tensor, state: State, batches: Sequence[Any]):
        self._players, self._update = list(optimizer.game.slices), update
        self._example, self._batches = state, tuple(batches)
        self._w, self.state = w, state
        self._steps_counted = any(one.scheduled for one in optimizer.game.regularizers)
        self.rules: list[Any] = []

    def counts(self, state: State, batches: Sequence[Any]) -> dict[str, int]:
        """Return all counts that numbers of the step are made of."""
        made = {player: state.counters[player] for player in self._players}
        if self._steps_counted:
            made |= {f"batch {i}": int(b[STEP]) for i, b in enumerate(batches) if _counted(b)}
        return made

    def learn(self) -> None:
        """Take the step once, to learn which numbers it makes of counts."""
        numbers = Numbers(self.counts(self._example, self._batches))
        self._run(numbers, flat_inputs(self._w, self._example, self._batches))
        self.rules = numbers.rules

    def __call__(self, given: Tensor, *inputs: Tensor) -> list[Tensor]:
        """Return the tensors of the next point and state, in the order of `described`."""
        w, self.state = self._run(Numbers({}, given), list(inputs))
        info = self.state.info
        if info is None or info.settings or info.note or self.state.held:
            raise NotCompilableError("it changes its own settings")
        more = [] if info.inner_residual is None else [info.inner_residual]
        state = self.state
        return [w, *state.memory.values(), *state.buffers.values(), *_numbers(info), *more]

    def _run(self, numbers: Numbers, inputs: list[Tensor]) -> tuple[Tensor, State]:
        example, w, rest = self._example, inputs[0], iter(inputs[1:])
        memory = {key: next(rest) for key in example.memory}
        buffers = {key: next(rest) for key in example.buffers}
        counters: dict[str, Any] = {
            key: Count(key, numbers) if key in self._players else value for key, value in example.counters.items()
        }
        state = dataclasses.replace(example, memory=memory, buffers=buffers, counters=counters, info=None)
        return self._update(w, state, self._filled(numbers, rest))

    def _filled(self, numbers: Numbers, rest: Iterator[Tensor]) -> tuple[Any, ...]:
        """Return the batches with these tensors in place of their own."""
        filled = map_tensors(lambda _: next(rest), self._batches)
        if not self._steps_counted:
            return filled
        return tuple({**b, STEP: Count(f"batch {i}", numbers)} if _counted(b) else b for i, b in enumerate(filled))


def _counted(batch: Any) -> bool:
    return isinstance(batch, Mapping) and isinstance(batch.get(STEP), Tensor)


def _numbers(info: StepInfo) -> list[Tensor]:
    return [*info.losses.values(), *info.field_norms.values()]


class Program:
    """A compiled step.

    Args:
        recorded: what it was made of; its last traced call tells the form of the next state.
        call: the compiled graph.

    Attributes:
        steps: taken with it.
        seconds: of "compiling", and of a step, "compiled" and "eager", once these were measured.
    """

    def __init__(self, recorded: Recorded, call: Callable[..., Sequence[Tensor]]):
        self._recorded, self._call = recorded, call
        state = recorded.state
        assert state.info is not None
        self._memory, self._buffers = list(state.memory), list(state.buffers)
        self._losses, self._norms = list(state.info.losses), list(state.info.field_norms)
        self._residual = state.info.inner_residual is not None
        self._more: dict[str, Any] = {
            key: value.more if isinstance(value, Count) else value for key, value in state.counters.items()
        }
        self._counted = {key for key, value in state.counters.items() if isinstance(value, Count)}
        self.steps = 0
        self.seconds: dict[str, float] = {}

    def __call__(self, w: Tensor, state: State, batches: Sequence[Any]) -> tuple[Tensor, State]:
        """Return the next point and state."""
        counts = self._recorded.counts(state, batches)
        numbers = [rule(counts) for rule in self._recorded.rules]
        given = torch.tensor(numbers, dtype=torch.float64, device=w.device)
        with torch.no_grad():
            found = iter(self._call(given, *flat_inputs(w, state, batches)))
        after = next(found)
        memory = {key: next(found) for key in self._memory}
        buffers = {key: next(found) for key in self._buffers}
        losses, norms = ({key: next(found) for key in keys} for keys in (self._losses, self._norms))
        info = StepInfo(losses, norms, inner_residual=next(found) if self._residual else None)
        counters = {key: state.counters[key] + n if key in self._counted else n for key, n in self._more.items()}
        return after, State(memory, counters, buffers, info, state.held)
