"""The state of an optimizer between steps, and the report of a step."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gantools.errors import GantoolsError


@dataclasses.dataclass(frozen=True)
class StepInfo:
    """Losses and field norms at the point where a step starts. Tensors stay on the device: reading one waits for it.

    Attributes:
        losses: each player's loss, a scalar tensor.
        field_norms: the Euclidean norm of each player's part of the field, a scalar tensor.
        reused_batches: whether the step asked for more batches than it was given, and used some twice.
        inner_residual: the relative residual of the equation that an implicit method solves, a scalar tensor; None for
            other methods.
        settings: numbers that the method chose by itself, by the name under which they are logged.
        note: a sentence on what it changed of them before the step, and why; None where it changed nothing.
    """

    losses: dict[str, Tensor]
    field_norms: dict[str, Tensor]
    reused_batches: bool = False
    inner_residual: Tensor | None = None
    settings: Mapping[str, float] = dataclasses.field(default_factory=dict)
    note: str | None = None

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
        held: tensors that no update reads or changes, such as the vectors from which a search goes on.
    """

    memory: dict[str, Tensor]
    counters: dict[str, int]
    buffers: dict[str, Tensor]
    info: StepInfo | None = None
    held: dict[str, Tensor] = dataclasses.field(default_factory=dict)

    def memory_of(self, player: str) -> dict[str, Tensor]:
        """Return a player's part of the memory, without the player's name."""
        prefix = f"{player}:"
        return {key.removeprefix(prefix): value for key, value in self.memory.items() if key.startswith(prefix)}


def require_fit(saved: Any, present: State, base: str, owner: str) -> None:
    """Refuse what is no saved state, or one of another base, game or method.

    Args:
        saved: what an optimizer's `state_dict` returned.
        present: the state that it is to replace.
        base: the names of the present base rules.
        owner: the name of the method.
    """
    if not isinstance(saved, Mapping) or not {"base", "memory", "counters"} <= set(saved):
        raise GantoolsError("This is not the state of a game optimizer: pass what its state_dict() returned.")
    shapes = {key: tuple(value.shape) for key, value in present.memory.items()}
    given = {key: tuple(value.shape) for key, value in saved["memory"].items()}
    if (base, shapes) != (saved["base"], given) or set(saved["counters"]) != set(present.counters):
        raise GantoolsError(
            f"The saved state ({saved['base']}: {_shape_list(given)}) does not fit {owner} on this game "
            f"({base}: {_shape_list(shapes)}): load it into the method and game that it came from."
        )


def _shape_list(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return ", ".join(f"{key} {shape}" for key, shape in shapes.items()) or "no tensors"
