"""The state of an optimizer between steps, and the report of a step."""

import dataclasses

import torch
from torch import Tensor


@dataclasses.dataclass(frozen=True)
class StepInfo:
    """Losses and field norms at the point where a step starts. Tensors stay on the device: reading one waits for it.

    Attributes:
        losses: each player's loss, a scalar tensor.
        field_norms: the Euclidean norm of each player's part of the field, a scalar tensor.
        reused_batches: whether the step asked for more batches than it was given, and used some twice.
        inner_residual: the relative residual of the equation that an implicit method solves, a scalar tensor; None for
            other methods.
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
    """The state of an optimizer between two steps.

    Attributes:
        memory: tensors by name, such as momenta, second moments and slow weights; linearised with the parameters.
        counters: numbers of updates made; constants to a linearisation.
        buffers: the game's buffers, `Game.buffers()`; constants to a linearisation.
        info: the report of the update that made this state.
    """

    memory: dict[str, Tensor]
    counters: dict[str, int]
    buffers: dict[str, Tensor]
    info: StepInfo | None = None
