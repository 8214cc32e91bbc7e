r"""Games whose parameters are divided among processes, each with its part of every batch.

The field is the mean over all processes, weighted by their numbers of samples, as that of a replicated game; of the
vectors that it, its derivatives and Krylov methods work on each process holds a range.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor

from gantools.batches import batch_size
from gantools.errors import GantoolsError
from gantools.games.replicas import Replicas, communicating, require_group
from gantools.games.sharding.division import gathered_again
from gantools.games.sharding.layout import ShardedLayout
from gantools.games.wrappers import is_spread

if TYPE_CHECKING:
    from gantools.games.field import FieldValue
    from gantools.games.game import Game


def sharded(game: Game, group: dist.ProcessGroup | None = None) -> Game:
    """Return the game over the batches of all processes of a group, which divide its parameters among them.

    Every process calls this, with a game of the same players, and from then on the same functions in the same order,
    each with its own part of every batch. Operators of the game returned act on vectors of which each process holds a
    range of the entries, `A.space.start` to `A.space.stop`; sums over entries are sums over processes.

    Parameters are gathered for one operation of PyTorch at a time, and again where a derivative needs them: a process
    holds its range, the parameters of one layer, and what it keeps of the batch. Modules that FSDP2's `fully_shard`
    divided are read as they are, and never whole; those of plain modules are held by each process besides, and are
    those of the group's first process. Batch norm normalises by each process's part of the batch.

    Args:
        game: this process's game; the modules are shared with the one returned, which is analysed and not trained.
        group: of `torch.distributed`; by default all processes.

    Raises:
        GantoolsError: where no process group was initialised, and where the games differ.
    """
    require_group()
    spread = [name for name, t in game.module.tensors(game.constants).items() if is_spread(t)]
    if spread:
        raise GantoolsError(
            f"Frozen parameters ({spread[0].partition('.')[2]}) are spread over processes by FSDP2, and only those "
            "that move may be: leave them out of fully_shard (ignored_params=)."
        )
    same = copy.copy(game)
    processes = Shards(group, game.device)
    processes.synchronise(same)
    same.replicas, same.layout = processes, ShardedLayout(game.layout.undivided, group)
    same.field_is_checked, same.verdict, same.constraints = False, None, {}
    return same


class Shards(Replicas):
    """The processes among which the parameters of a game are divided."""

    def field(
        self, evaluate: Callable[..., FieldValue], leaves: Sequence[Tensor], batch: Any, differentiable: bool
    ) -> FieldValue:
        samples = float(batch_size(batch))
        share = samples / self.summed(samples)
        # The parts of gradients are added up where parameters were gathered, so each loss is weighted before.
        with gathered_again():
            value = evaluate(leaves, weight=share)
        means = share * torch.stack([loss.double() for loss in value.losses.values()])
        with communicating():
            dist.all_reduce(means, group=self.group)
        return dataclasses.replace(
            value,
            losses={player: m.to(loss) for (player, loss), m in zip(value.losses.items(), means, strict=True)},
            buffers=self._averaged(value.buffers, means.new_tensor(share)),
        )

    def divides(self, game: Game) -> bool:
        """Return whether the modules' own parameters are divided already, so that no process holds them whole."""
        return any(map(is_spread, game.layout.parameters))
