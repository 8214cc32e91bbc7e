"""One training step, or one period of steps, of an optimizer at its present state as a function of a vector."""

from __future__ import annotations

import dataclasses
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gantools.analysis.operators.differentiation import Differentiation
from gantools.analysis.operators.snapshot import snapshot
from gantools.analysis.products.differences import ForwardDifferences
from gantools.batches import batch_size, map_tensors, widened
from gantools.errors import GantoolsError
from gantools.trainers.optimizer import GameOptimizer
from gantools.trainers.state import State

# Ratio of the parameters' largest to their least scale above which the products of a step are made in float64: the
# rounding of a row is as large as that of its largest term, and its scale then makes it larger than the eigenvalues.
SPREAD = 100.0


@dataclasses.dataclass(frozen=True)
class TrainingStep:
    """The map (parameters, memory) -> (parameters, memory) of a step, on a vector that joins them.

    Attributes:
        optimizer: whose step it is.
        batches: those of a step.
        state: before the step; its counters and buffers are constants.
        point: (n,) the present parameters and memory.
        modes: each module's train or eval mode.
    """

    optimizer: GameOptimizer
    batches: tuple[Any, ...]
    state: State
    point: Tensor
    modes: dict[Any, bool]

    @classmethod
    def present(cls, optimizer: GameOptimizer, batch: Any, *more: Any) -> TrainingStep:
        """Return the next step of an optimizer; all tensors are copies, which later steps do not change."""
        batches, _ = optimizer.complete(tuple(map_tensors(Tensor.clone, one) for one in (batch, *more)))
        game, state = optimizer.game, optimizer.state
        memory = {name: value.detach().clone() for name, value in state.memory.items()}
        w = game.vector()
        point = torch.cat([w, *(value.reshape(-1).to(w) for value in memory.values())])
        return cls(optimizer, batches, State(memory, dict(state.counters), game.buffers()), point, game.modes())

    @property
    def slices(self) -> dict[str, slice]:
        """Each player's part of the vector, and each tensor's of the memory."""
        slices, offset = dict(self.optimizer.game.slices), self.optimizer.game.num_parameters
        for name, value in self.state.memory.items():
            slices[name] = slice(offset, offset + value.numel())
            offset += value.numel()
        return slices

    def __call__(self, z: Tensor) -> Tensor:
        """Return the vector (n,) after the step."""
        w, state = self._after(z)
        return torch.cat([w, *(state.memory[name].reshape(-1) for name in self.state.memory)])

    def differenced(self, h: float, z: Tensor) -> Tensor:
        """Return the vector after the step, in whose tangents the field's are central differences of step h."""
        game = self.optimizer.game
        before, game.difference = game.difference, h
        try:
            return self(z)
        finally:
            game.difference = before

    def scales(self) -> Tensor | None:
        """Return the scales (n,) in which the step is balanced, float64; None where one for all is as good."""
        with torch.no_grad():
            w, state = self._after(self.point)
            memory = {name: state.memory[name].double() for name in self.state.memory}
            scales = self.optimizer.scales(w.double(), dataclasses.replace(state, memory=memory))
        good = scales.isfinite().all() and bool((scales > 0).all())
        return scales if good and scales.max() > scales.min() else None

    def wide(self) -> TrainingStep | None:
        """Return the same step in float64, None where the losses or the device do not compute in it."""
        try:
            state = State(widened(self.state.memory), self.state.counters, widened(self.state.buffers))
            step = dataclasses.replace(self, batches=widened(self.batches), state=state, point=self.point.double())
            with torch.no_grad():
                return step if step(step.point).dtype == torch.float64 else None
        except (RuntimeError, TypeError):  # a tensor of another precision that a loss brings along; a device without it
            return None

    def in_dtype(self, dtype: torch.dtype) -> TrainingStep:
        """Return the same step in a dtype.

        Raises:
            GantoolsError: where the losses do not compute in it.
        """
        if dtype == self.point.dtype:
            return self
        wide = self.wide() if dtype == torch.float64 else None
        if wide is None:
            raise GantoolsError(
                f"This step cannot be computed in {dtype}: leave dtype out, or convert the game and its batches "
                "yourself (of a run: run.double())."
            )
        return wide

    def by_differences(self) -> tuple[TrainingStep, ForwardDifferences, str]:
        """Return the step in float64 if that can be had, its products by differences of the field, and a remark.

        Raises:
            GantoolsError: for a method that differentiates the field itself, and where differences do not settle.
        """
        if self.optimizer.second_order:
            raise GantoolsError("This method differentiates the field itself, which differences cannot serve.")
        step, there = self.wide() or self, snapshot(self.optimizer.game, follow=True)
        derivative = Differentiation.over(
            there, step.batches[0], batch_size, "difference", lambda there, one, _: there.field(one)
        )
        field = derivative.by_differences()
        products = ForwardDifferences(partial(step.differenced, field.step), step.point, field.precision)
        return step, products, field.remark

    def demands_float64(self, scales: Tensor | None) -> bool:
        """Return whether these scales (n,) magnify rounding beyond what eigenvalues bear."""
        if scales is None or self.point.dtype == torch.float64:
            return False
        own = scales[: self.optimizer.game.num_parameters]
        return bool(own.max() > SPREAD * own.min())

    def _after(self, z: Tensor) -> tuple[Tensor, State]:
        game, before = self.optimizer.game, self.state.memory
        w, *pieces = z.split([game.num_parameters, *(value.numel() for value in before.values())])
        memory = {name: piece.view_as(value) for piece, (name, value) in zip(pieces, before.items(), strict=True)}
        state = State(memory, self.state.counters, self.state.buffers)
        with game.frozen(self.modes, follow=True):
            for _ in range(self.optimizer.period):
                w, state = self.optimizer.update(w, state, *self.batches)
        return w, state
