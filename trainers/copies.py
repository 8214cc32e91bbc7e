"""The states of an optimizer's copies, when it moves several copies of a game together: taken apart and joined."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from gantools.trainers.optimizer import GameOptimizer


def states_of_copies(optimizer: GameOptimizer) -> list[dict[str, Any]]:
    """Return the state of each copy of a stacked game, as the `state_dict` of a method that moves that copy alone."""
    saved, copies = optimizer.state_dict(), optimizer.game.layout.copies
    rows = {key: value.view(copies, -1) for key, value in saved["memory"].items()}
    return [{**saved, "memory": {key: value[s].clone() for key, value in rows.items()}} for s in range(copies)]


def load_states_of_copies(optimizer: GameOptimizer, states: Sequence[Mapping[str, Any]]) -> None:
    """Load the state of each copy, as `states_of_copies` returns them, into a method that moves all."""
    memory = {key: torch.cat([state["memory"][key].reshape(-1) for state in states]) for key in states[0]["memory"]}
    optimizer.load_state_dict({**states[0], "memory": memory})
