"""What an optimizer carries from step to step, and what a step reports."""

import dataclasses

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class StepInfo:
    """What a step saw at the point that it started from. Tensors stay on the device: reading one waits for it.

    Attributes:
        losses: each player's loss, a scalar tensor.
        field_norms: the Euclidean norm of each player's part of the field, a scalar tensor.
        reused_batches: whether the step asked for more batches than it was given, and used some twice.
        inner_residual: what a method that solves an equation left of it, relative to its start, a scalar tensor.
    """

    losses: dict[str, Tensor]
    field_norms: dict[str, Tensor]
    reused_batches: bool = False
    inner_residual: Tensor | None = None

    @property
    def field_norm(self) -> Tensor:
        """The norm of the whole field, a scalar tensor."""
        return torch.stack(list(self.field_norms.values())).norm()


@dataclasses.dataclass(frozen=True)
class State:
    """What an optimizer carries from step to step.

    Attributes:
        memory: the dynamical part, tensors by name: momenta, second moments, slow weights. Linearised.
        counters: numbers of updates made; constants to a linearisation.
        buffers: the game's buffers, `Game.buffers()`; constants to a linearisation.
        info: what the update that made this state saw.
    """

    memory: dict[str, Tensor]
    counters: dict[str, int]
    buffers: dict[str, Tensor]
    info: StepInfo | None = None
