"""Count what the arbiter costs: backward passes, and evaluations of the losses, for games of one to three players.

python scripts/checks/count_arbiter.py
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

import gantools as gt
from gantools.games import arbiter


def tower() -> nn.Sequential:
    """Return a small network."""
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 3))


def game_of(players: int) -> gt.Game:
    """Return a game in which each player's loss depends on all."""
    names = [f"player {i}" for i in range(players)]

    def losses(modules: Any, x: torch.Tensor) -> dict[str, torch.Tensor]:
        outputs = [modules[name](x) for name in names]
        total = torch.stack(outputs).sum(0)
        return {
            name: (total * (i + 1 - out)).square().mean()
            for i, (name, out) in enumerate(zip(names, outputs, strict=True))
        }

    return gt.Game({name: tower() for name in names}, losses)


@contextmanager
def counted(game: gt.Game) -> Iterator[dict[str, int]]:
    """Count the evaluations of a game's losses and the backward passes in this block."""
    found = {"evaluations": 0, "backward passes": 0}
    gradient, losses = torch.autograd.grad, game.module._losses

    def seen(*args: Any, **kwargs: Any) -> Any:
        found["backward passes"] += 1
        return gradient(*args, **kwargs)

    def evaluated(*args: Any) -> Any:
        found["evaluations"] += 1
        return losses(*args)

    torch.autograd.grad, game.module._losses = seen, evaluated
    try:
        yield found
    finally:
        torch.autograd.grad, game.module._losses = gradient, losses


def main() -> None:
    """Print the table."""
    for players in (1, 2, 3):
        for forward in (False, True):
            torch.manual_seed(0)
            game = game_of(players)
            with counted(game) as found:
                arbiter.judge(game, torch.randn(16, 3), forward)
            each = found["backward passes"] / players
            print(
                f"{players} player(s), dual numbers {'judged' if forward else 'not judged'}: {found['evaluations']} "
                f"evaluations of the losses, {found['backward passes']} backward passes ({each:.1f} a player)"
            )


if __name__ == "__main__":
    main()
