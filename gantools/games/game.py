r"""Games: players that each descend a loss of their own, and the field that they descend together.

.. math:: \xi(w) = \big(\nabla_{w_1} L_1(w),\ \nabla_{w_2} L_2(w),\ \dots\big), \qquad J = D\xi

An update is $w' = w - h\,\xi(w)$, so eigenvalues of $J$ with positive real part attract. (Mescheder, Nowozin and
Geiger, arXiv:1705.10461, write $v = -\xi$ and $v' = -J$.) A model with a loss is a game of one player: its field is the
gradient and its Jacobian is the Hessian.
"""

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gantools.batches import Parts, batch_size, each_batch, map_tensors, require_samples
from gantools.errors import GantoolsError
from gantools.games import functional
from gantools.games.flat_vector import Layout
from gantools.games.recompute import recomputed
from gantools.registry import suggest

Losses = Callable[[Any, Any], Mapping[str, Tensor]]


class Players(dict[str, nn.Module]):
    """The modules by player's name; `players["generator"]`, or `players.generator` where the name allows it."""

    def __getattr__(self, name: str) -> nn.Module:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no player {name!r}; players: {', '.join(self)}") from None


@dataclasses.dataclass(frozen=True)
class FieldValue:
    """The field at one point, with what was computed on the way.

    Attributes:
        vector: (n,) the field of the players asked for, in their order.
        losses: each player's loss, a scalar tensor without a graph.
        buffers: the buffers after the forward passes (running statistics moved, say); the game's own did not move.
    """

    vector: Tensor
    losses: dict[str, Tensor]
    buffers: dict[str, Tensor]


class Game:
    """A differentiable game: modules by player's name, and one function that gives each player its loss.

    Args:
        players: a module for each player; weights tied within a player count once. Parameters that do not require a
            gradient are constants of the game. Complex parameters enter as their real view (..., 2).
        losses: `losses(players, batch)` returns a scalar to minimise for every player. The forward pass may be shared.
            Do not detach one player's output in another player's loss: the field differentiates each loss by its own
            player's parameters only, and the Jacobian needs the dependence.
        constraints: by player's name, a function from its part (n,) of the flat vector to the nearest allowed point;
            applied at the end of every step, and part of what `update_operator` linearises.

    Raises:
        GantoolsError: when two players share a parameter, or a player has none.
    """

    def __init__(
        self,
        players: Mapping[str, nn.Module],
        losses: Losses,
        constraints: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
    ):
        if not isinstance(players, Mapping) or not players:
            raise GantoolsError("A game needs at least one player: pass a mapping from names to modules.")
        for player, module in players.items():
            if not isinstance(module, nn.Module):
                raise GantoolsError(f"Player {player!r} is a {type(module).__name__}: pass a torch.nn.Module.")
        self.players = Players(players)
        self.losses = losses
        self.module = functional.AllPlayers(self.players, losses)
        self.layout = Layout.of(self.players)
        self.constraints = dict(constraints or {})
        self.regularizers: tuple[Any, ...] = ()  # those of a GAN, for what they draw into its batches
        self._still = False  # whether a `frozen` block is being run
        for player in self.constraints:
            self.require_player(player)

    def part(self, chosen: Sequence[int]) -> "Game":
        """Return this game where only these of its parameters move, by their places; the others are constants.

        The modules are shared. Players keep their losses; those of whom nothing moves have no part of the field, and
        constraints are left out.
        """
        same = copy.copy(self)
        same.layout, same.constraints = self.layout.part(chosen), {}
        return same

    # The flat vector at the border -----------------------------------------------------------------------------------

    @property
    def slices(self) -> dict[str, slice]:
        """Each player's part of the flat vector."""
        return self.layout.slices

    @property
    def num_parameters(self) -> int:
        """The length n of the flat vector; a complex parameter counts twice."""
        return self.layout.size

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the flat vector."""
        return self.layout.dtype

    @property
    def device(self) -> torch.device:
        """The device that the players are on."""
        return self.layout.device

    @property
    def names(self) -> list[str]:
        """The names of the trainable parameters within `module`, in the order of the flat vector."""
        return list(self.layout.names)

    @property
    def constants(self) -> list[str]:
        """The names there of what `buffers()` copies."""
        return self.module.constant_names(self.layout.names)

    def parameters(self) -> list[nn.Parameter]:
        """Return the modules' own trainable parameters, in the order of the flat vector."""
        return list(self.layout.parameters)

    def named_parameters(self) -> dict[str, nn.Parameter]:
        """Return the parameters by `player.name`, in their order; a dot in a player's name is escaped."""
        names = [player.replace("\\", r"\\").replace(".", r"\.") for player in self.players]
        labels = ((names[int(index)], rest) for index, _, rest in (name.partition(".") for name in self.layout.names))
        return {f"{player}.{rest}": p for (player, rest), p in zip(labels, self.layout.parameters, strict=True)}

    def vector(self) -> Tensor:
        """Return a copy of the parameters as one vector (n,)."""
        return self.layout.vector()

    def load_vector(self, w: Tensor) -> None:
        """Copy the vector `w` (n,) into the modules' parameters."""
        self.require_vector(w)
        self.layout.load(w)

    def flatten(self, tensors: Sequence[Tensor]) -> Tensor:
        """Join real tensors, one for each parameter in order, into a vector."""
        return self.layout.flatten(tensors)

    def unflatten(self, w: Tensor) -> list[Tensor]:
        """Split a vector (n,) into real tensors, one for each parameter in order (views where dtypes agree)."""
        return self.layout.unflatten(w)

    def require_vector(self, w: Tensor) -> None:
        """Refuse a vector that does not fit this game."""
        if w.shape != (self.num_parameters,):
            raise GantoolsError(
                f"The vector has shape {tuple(w.shape)}, but this game has {self.num_parameters} parameters: "
                f"pass a tensor of shape ({self.num_parameters},)."
            )

    def require_player(self, name: str) -> None:
        """Refuse a name that is not a player's."""
        if name not in self.slices:
            raise suggest("player", name, self.slices)

    def project(self, w: Tensor) -> Tensor:
        """Return the nearest point that the players' constraints allow (weight clipping); by default `w` itself."""
        for player, nearest in self.constraints.items():
            part = self.slices[player]
            w = torch.cat([w[: part.start], nearest(w[part]), w[part.stop :]])
        return w

    # Buffers ---------------------------------------------------------------------------------------------------------

    def buffers(self) -> dict[str, Tensor]:
        """Return copies of everything that a forward pass reads but nobody descends: buffers, frozen parameters."""
        return {name: t.detach().clone() for name, t in self.live_buffers().items()}

    def load_buffers(self, buffers: Mapping[str, Tensor]) -> None:
        """Copy buffers, as `buffers()` or a step returned them, into the modules."""
        with torch.no_grad():
            for name, tensor in self.live_buffers().items():
                tensor.copy_(buffers[name])

    def live_buffers(self) -> dict[str, Tensor]:
        """Return the modules' own tensors of which `buffers()` gives copies."""
        return self.module.tensors(self.constants)

    # The field -------------------------------------------------------------------------------------------------------

    def field(self, batch: Any) -> Tensor:
        """Return the field (n,) at the present parameters; over several batches, their mean weighted by size."""
        w, buffers = self.vector(), self.live_buffers()
        total, weight = torch.zeros_like(w), 0
        with self.frozen():
            for one in each_batch(batch):
                size = batch_size(one)
                total += size * self.field_at(w, buffers, one).vector
                weight += size
        if not weight:
            raise GantoolsError("There are no batches to evaluate the field on: the iterable was empty.")
        return total / weight

    def field_at(
        self,
        w: Tensor,
        buffers: Mapping[str, Tensor],
        batch: Any,
        players: Sequence[str] | None = None,
        by_all: bool = False,
    ) -> FieldValue:
        """Return the field at `w` (n,) without side effects; differentiable in `w` where `w` requires a gradient.

        Args:
            w: the point.
            buffers: what `buffers()` gives; they are copied, never moved.
            batch: one batch.
            players: whose part of the field to compute; all of them by default.
            by_all: differentiate each loss by the parameters of all players, not only by its own: the vector is then
                (players x n,), whole gradients one after another.
        """
        create_graph = w.requires_grad and not functional.is_dual(w)  # dual numbers need no graph of the gradient
        return self.field_of(self.leaves(w), buffers, batch, create_graph, players, by_all)

    def leaves(self, w: Tensor) -> list[Tensor]:
        """Return what to differentiate by: the pieces of `w`, cut off from its graph unless it requires a gradient."""
        with torch.enable_grad():
            pieces = self.unflatten(w)
        return pieces if w.requires_grad else [piece.detach().requires_grad_() for piece in pieces]

    def field_of(
        self,
        leaves: Sequence[Tensor],
        buffers: Mapping[str, Tensor],
        batch: Any,
        create_graph: bool = False,
        players: Sequence[str] | None = None,
        by_all: bool = False,
    ) -> FieldValue:
        """Return the field at these leaves; the forward passes are shared between the players' losses."""
        if isinstance(batch, Parts):
            return self._mean_field(leaves, buffers, batch, create_graph, players, by_all)
        require_samples(batch)
        if torch.is_inference_mode_enabled():
            raise GantoolsError(
                "torch.inference_mode() records nothing to differentiate: evaluate the field outside it."
            )
        # A loss may call `requires_grad_` on what it is given; views keep the caller's tensors out of that.
        batch = map_tensors(torch.Tensor.detach, batch)
        twice = create_graph and not self.module.safe
        with torch.enable_grad():
            with functional.twice_differentiable(self.module) if twice else nullcontext():
                losses, moved = self.module.call(self.layout.names, leaves, buffers, batch)
            losses = self._checked(losses)
            pieces: list[Tensor] = []
            for player in players or self.slices:
                by = leaves if by_all else leaves[self.layout.owned[player]]
                pieces += self.gradient(losses[player], by, create_graph)
            vector = self.flatten(pieces)
        return FieldValue(vector, {player: loss.detach() for player, loss in losses.items()}, moved)

    def _mean_field(
        self,
        leaves: Sequence[Tensor],
        buffers: Mapping[str, Tensor],
        parts: Parts,
        create_graph: bool,
        players: Sequence[str] | None,
        by_all: bool,
    ) -> FieldValue:
        """Return the mean field of the parts of a batch, with the graph of one of them in memory at a time."""
        again = partial(self.frozen, self.modes()) if self._still else nullcontext
        size, moved = batch_size(parts), dict(buffers)
        total, losses = torch.zeros(()), dict.fromkeys(self.players, torch.zeros(()))
        for part in parts:
            seen: list[FieldValue] = []

            def share(leaves: Sequence[Tensor], part: Any = part, buffers: Any = moved, seen: Any = seen) -> Tensor:
                # Without a graph of the gradient at first: what is differentiated is what is evaluated again.
                value = self.field_of(leaves, buffers, part, create_graph and bool(seen), players, by_all)
                seen[:] = [dataclasses.replace(value, vector=value.vector.new_empty(0))]
                return batch_size(part) / size * value.vector

            with torch.enable_grad():
                total = total + (recomputed(share, again, leaves) if create_graph else share(leaves))
            moved = seen[0].buffers
            for player, loss in seen[0].losses.items():
                losses[player] = losses[player] + batch_size(part) / size * loss
        return FieldValue(total, losses, moved)

    @staticmethod
    def gradient(value: Tensor, leaves: Sequence[Tensor], create_graph: bool = False) -> Sequence[Tensor]:
        """Return the gradient of a scalar by each leaf; zero for a leaf that it does not depend on."""
        if not value.requires_grad:
            return [torch.zeros_like(leaf) for leaf in leaves]
        return torch.autograd.grad(
            value, leaves, retain_graph=True, create_graph=create_graph, allow_unused=True, materialize_grads=True
        )

    def _checked(self, losses: Any) -> dict[str, Tensor]:
        if not isinstance(losses, Mapping) or set(losses) != set(self.players):
            got = (
                f"the keys {sorted(map(str, losses))}" if isinstance(losses, Mapping) else f"a {type(losses).__name__}"
            )
            raise GantoolsError(
                f"losses(players, batch) returned {got}: return a dictionary with one scalar for each of "
                f"{', '.join(map(repr, self.players))}."
            )
        for player, loss in losses.items():
            if not isinstance(loss, Tensor) or loss.numel() != 1 or loss.is_complex():
                shape = f"shape {tuple(loss.shape)}, {loss.dtype}" if isinstance(loss, Tensor) else type(loss).__name__
                raise GantoolsError(
                    f"The loss of player {player!r} is not a real scalar ({shape}): take its mean or sum."
                )
        return {player: losses[player].reshape(()) for player in self.players}

    @contextmanager
    def frozen(self, modes: Mapping[nn.Module, bool] | None = None) -> Iterator[None]:
        """Within this block the field is a function of `w` and the batch alone.

        Power iterations (spectral norm) stand still, and fused kernels without a second derivative are avoided. Active
        dropout is refused.

        Args:
            modes: each module's train or eval mode, from `modes()`; the present ones by default.
        """
        with functional.modes_restored(self.module, modes), functional.power_iterations_frozen(self.module):
            functional.refuse_dropout(self.module, list(self.players))
            before, self._still = self._still, True
            try:
                with functional.twice_differentiable(self.module, exact=True):
                    yield
            finally:
                self._still = before

    def modes(self, dropout: bool = True) -> dict[nn.Module, bool]:
        """Return each module's train (True) or eval mode; `dropout=False`: that of the same game without dropout."""
        return {
            module: module.training and (dropout or not functional.drops_out(module))
            for module in self.module.modules()
        }


def minimization(model: nn.Module, loss: Callable[[Any, Any], Tensor]) -> Game:
    """Return the game of one player, "model", that minimises `loss(model, batch)`, a scalar."""
    return Game({"model": model}, lambda players, batch: {"model": loss(players["model"], batch)})
