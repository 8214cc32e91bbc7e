"""A game at a fixed point, as a function of some of its parameters; all others are constants."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gantools.analysis.operators.algebra import kept, parameter_slices
from gantools.analysis.sharding.space import Space
from gantools.batches import map_tensors, widened
from gantools.games import functional
from gantools.games.game import Game
from gantools.games.sharding.layout import ShardedLayout

Function = Callable[[Tensor], Tensor]


class Snapshot:
    """Copies of a game's parameters, buffers and modes, and its field as a function of the parameters that move.

    Args:
        game: the game; all its parameters move but for `where`, see `Game.part`.
        values: all tensors of the game's modules by name, parameters and constants.
        modes: each module's train or eval mode.
        slices: slices in the vectors (k,) of the players that move as a whole, by name.
        parameters: slices in the vectors (k,) of the parameters that move as a whole, by "player.name".
        where: indices (k,), ascending, of the entries of the game's vector that move; by default all of them.
        follow: whether singular vectors of spectral norm follow the weights, see `Game.frozen`.

    Attributes:
        point: (k,) the values of the parameters that move.
    """

    def __init__(
        self,
        game: Game,
        values: Mapping[str, Tensor],
        modes: Mapping[nn.Module, bool],
        slices: dict[str, slice],
        parameters: dict[str, slice],
        where: Tensor | None = None,
        follow: bool = False,
    ):
        self.game = game
        self.follow = follow
        self.slices, self.parameters = slices, parameters
        self._values, self._modes = values, modes
        if isinstance(game.layout, ShardedLayout):
            self._whole = game.layout.held_vector()
        else:
            self._whole = game.flatten([functional.as_real(values[name]) for name in game.names])
        self._where = None if where is None or len(where) == len(self._whole) else where
        self._buffers = {name: values[name] for name in game.constants}
        self.point = self._whole if self._where is None else self._whole[self._where]

    @property
    def player(self) -> str | None:
        """The player whose parameters move, or None where several players' do."""
        first, last = (
            (0, self.game.num_parameters - 1) if self._where is None else (int(self._where[0]), int(self._where[-1]))
        )
        return next((p for p, part in self.game.slices.items() if part.start <= first and last < part.stop), None)

    def restricted_to(self, where: Tensor, constant: bool = True) -> Snapshot:
        """Restrict to these entries of the vectors; the other parameters become constants.

        Args:
            where: indices (m,) of the entries, ascending.
            constant: pass False for a loss that differentiates by other parameters itself: these are then only left
                out of the result, which saves no work.
        """
        slices, parameters = (kept(names, where, Space(len(self.point))) for names in (self.slices, self.parameters))
        if self._where is not None:
            where = self._where[where]
        if not constant:
            return Snapshot(self.game, self._values, self._modes, slices, parameters, where, self.follow)
        touched = torch.zeros(len(self._whole), dtype=torch.bool)
        touched[where.cpu()] = True
        parts = parameter_slices(self.game).values()
        chosen = [index for index, part in enumerate(parts) if touched[part].any()]
        moving = torch.cat([torch.arange(part.start, part.stop) for part in parts if touched[part].any()])
        inner = touched[moving].nonzero().squeeze(1).to(where.device)
        return Snapshot(self.game.part(chosen), self._values, self._modes, slices, parameters, inner, self.follow)

    def field(self, batch: Any) -> Function:
        """Return the field of the parameters that move, (k,), as a function of them."""

        def function(own: Tensor) -> Tensor:
            with self.game.frozen(self._modes, self.follow):
                vector = self.game.field_at(self._embedded(own), self._buffers, batch).vector
            return vector if self._where is None else vector[self._where]

        return function

    def wide_field(self, batch: Any) -> Function:
        """Return `field` as evaluated in float64, whatever precision the game is in."""
        whole, buffers, inputs = self._whole.double(), widened(self._buffers), widened(batch)

        def function(own: Tensor) -> Tensor:
            w = own if self._where is None else whole.index_copy(0, self._where, own)
            leaves = self.game.layout.unflatten(w, w.dtype)
            if not own.requires_grad:
                leaves = [piece.detach().requires_grad_() for piece in leaves]
            with self.game.frozen(self._modes, self.follow):
                vector = self.game.field_of(leaves, buffers, inputs, create_graph=own.requires_grad).vector
            return vector if self._where is None else vector[self._where]

        return function

    def outputs(self, batch: Any) -> Callable[[Tensor], Any]:
        """Return the value of the game's `losses` on a batch as a function of the moving parameters; any structure."""

        def function(own: Tensor) -> Any:
            with self.game.frozen(self._modes, self.follow), torch.enable_grad():
                leaves = self.game.leaves(self._embedded(own))
                inputs = map_tensors(Tensor.detach, batch)
                return self.game.module.call(self.game.names, leaves, self._buffers, inputs)[0]

        return function

    def _embedded(self, own: Tensor) -> Tensor:
        return own if self._where is None else self._whole.index_copy(0, self._where, own)


def snapshot(game: Game, follow: bool = False, divided: bool = False) -> Snapshot:
    """Return a snapshot of a game in which all its parameters move.

    Args:
        game: the game.
        follow: see `Game.frozen`.
        divided: whether processes may hold ranges of the vectors, see `gantools.sharded`.
    """
    game.layout.require_single()
    if not (divided and game.layout.divided):
        game.layout.require_whole()
    names = game.constants if game.layout.divided else [*game.names, *game.constants]
    values = {name: t.detach().clone() for name, t in game.module.tensors(names).items()}
    return Snapshot(game, values, game.modes(), dict(game.slices), parameter_slices(game), follow=follow)
