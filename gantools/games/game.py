r"""Games: players that each descend a loss of their own, and the field that they descend together.

$$\xi(w) = \big(\nabla_{w_1} L_1(w),\ \nabla_{w_2} L_2(w),\ \dots\big), \qquad J = D\xi$$

An update is $w' = w - h\,\xi(w)$, so eigenvalues of $J$ with positive real part attract. (Mescheder, Nowozin and
Geiger, arXiv:1705.10461, write $v = -\xi$ and $v' = -J$.) A model with a loss is a game of one player: its field is the
gradient and its Jacobian is the Hessian.
"""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gantools.batches import batch_size, map_tensors, walk
from gantools.described import Described, counted
from gantools.errors import GantoolsError
from gantools.games import arbiter, functional
from gantools.games.elementary.power_iterations import power_iterations_frozen
from gantools.games.field import FieldValue, Wanted, checked_losses, checked_metrics, differenced, evaluate
from gantools.games.flat_vector import Layout
from gantools.games.plain_field import require_field
from gantools.games.replicas import Replicas
from gantools.games.wrappers import Players
from gantools.precision import whole_float32
from gantools.registry import suggest

Losses = Callable[[Any, Any], Mapping[str, Tensor]]


class Game(Described):
    """A differentiable game: modules by player's name, and one function that gives each player its loss.

    Args:
        players: a module for each player; weights tied within a player count once. Parameters that do not require a
            gradient are constants of the game. Complex parameters enter as their real view (..., 2).
        losses: `losses(players, batch)` returns a scalar to minimise for every player. The forward pass may be shared.
            What it detaches, evaluates under `no_grad` or passes through a custom function shapes the field as it
            does in a training loop; derivatives of the field are exact all the same.
        constraints: by player's name, a function from its part (n,) of the flat vector to the nearest allowed point;
            applied after every move of the player, and part of what `update_operator` linearises.
        metrics: `metrics(players)` returns numbers by name that say how good the players are: logged while training,
            kept in metrics.jsonl, and shown beside the spectrum.

    Raises:
        GantoolsError: when two players share a parameter, or a player has none, or none with values in this process.
    """

    def __init__(
        self,
        players: Mapping[str, nn.Module],
        losses: Losses,
        constraints: Mapping[str, Callable[[Tensor], Tensor]] | None = None,
        metrics: Callable[[Any], Mapping[str, Any]] | None = None,
    ):
        self.players = Players(players)
        self.losses = losses
        self.module = functional.AllPlayers(self.players, losses)
        self.layout = Layout.of(self.players)
        self.constraints = dict(constraints or {})
        self.metrics = metrics
        self.recipe: Any = None  # what `gantools.gan` made it of
        self.regularizers: tuple[Any, ...] = ()  # those of a GAN, for what they draw into its batches
        self.field_is_checked = False  # whether the arbiter found the field to be what plain autograd gives
        self.verdict: arbiter.Verdict | None = None  # what it found of the derivatives
        self.judged_size = float("inf")  # norm of the field when products were compared with float64's
        self.difference: float | None = None  # step of central differences that stand in for tangents of the field
        self.still = False  # whether a `frozen` block is being run
        self.replicas: Replicas | None = None  # the processes that the batches are divided among, see `replicated`
        for player in self.constraints:
            self.require_player(player)

    def part(self, chosen: Sequence[int]) -> "Game":
        """Return this game where only these of its parameters move, by their places; the others are constants.

        The modules are shared; players of whom nothing moves have no part of the field, and constraints are left out.
        """
        same = copy.copy(self)
        same.layout, same.constraints, same.verdict = self.layout.part(chosen), {}, None
        return same

    def described(self) -> tuple[str, list[tuple[str, str]]]:
        rows = [(p, f"{s.stop - s.start} parameters, {type(self.players[p]).__name__}") for p, s in self.slices.items()]
        size = counted(self.num_parameters, "parameter")
        return f"Game of {counted(len(rows), 'player')}: {size}, {self.dtype}, {self.device}", rows

    @property
    def alone(self) -> "Game":
        """This process's game: the same modules, and the field on its own part of a batch."""
        same = copy.copy(self)
        same.replicas, same.layout = None, self.layout.undivided
        return same

    def over_all(self, number: float) -> float:
        """Return a number, a batch's size say, summed over the processes that the batches are divided among."""
        return number if self.replicas is None else self.replicas.summed(number)

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
        """Names, within `module`, of buffers and frozen parameters."""
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
        for player in self.constraints:
            part = self.slices[player]
            w = torch.cat([w[: part.start], self.nearest(player, w[part]), w[part.stop :]])
        return w

    def nearest(self, player: str, part: Tensor) -> Tensor:
        """Return the point nearest to a player's part (n,) of the flat vector that its constraint allows."""
        return self.constraints[player](part) if player in self.constraints else part

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

    def field(self, batch: Any) -> Tensor:
        """Return the field (n,) at the present parameters; over several batches, their mean weighted by size."""
        w, buffers = self.vector(), self.live_buffers()
        total, weight = torch.zeros_like(w), 0
        with self.frozen():
            for one in walk(batch):
                require_field(self, one)
                size = self.over_all(batch_size(one))
                total += size * self.field_at(w, buffers, one).vector
                weight += size
        if not weight:
            raise GantoolsError("There are no batches to evaluate the field on: the iterable was empty.")
        return total / weight

    def plain_losses(self, batch: Any) -> dict[str, Tensor]:
        """Return the losses on the modules themselves, their own parameters in place; buffers move as in any pass."""
        return checked_losses(self.players, self.module.plain(map_tensors(Tensor.detach, batch)))

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
        dual = functional.is_dual(w)
        create_graph = w.requires_grad and not dual  # dual numbers need no graph of the gradient

        def field(at: Tensor) -> FieldValue:
            return self.field_of(self.leaves(at), buffers, batch, create_graph, players, by_all)

        return field(w) if self.difference is None or not dual else differenced(field, w, self.difference)

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
        own = partial(self._evaluated, buffers=buffers, batch=batch, wanted=Wanted(create_graph, players, by_all))
        if self.replicas is None:
            return own(leaves)
        moves = create_graph or any(map(functional.is_dual, leaves))
        return self.replicas.field(own, leaves, batch, moves)

    _evaluated = evaluate  # in this process

    @contextmanager
    def frozen(self, modes: Mapping[nn.Module, bool] | None = None, follow: bool = False) -> Iterator[None]:
        """Within this block the field is a function of `w` and the batch alone.

        Fused kernels without a second derivative and TF32 are avoided. Active dropout is refused.

        Args:
            modes: each module's train or eval mode, from `modes()`; the present ones by default.
            follow: whether the singular vectors of spectral norm follow the weights, by each module's own power
                iterations, as they do in training mode; by default they stand still.
        """
        vectors = nullcontext() if follow else power_iterations_frozen(self.module)
        kept = functional.attributes_restored(self.module)
        with kept, functional.modes_restored(self.module, modes), vectors:
            functional.refuse_dropout(self.module, list(self.players))
            before, self.still = self.still, True
            try:
                with functional.twice_differentiable(self.module, exact=True), whole_float32(self.device):
                    yield
            finally:
                self.still = before

    def success(self) -> dict[str, float]:
        """Return what the game's own `metrics` say of the players now, by name."""
        with functional.modes_restored(self.module, self.modes()), torch.no_grad():
            return {} if self.metrics is None else checked_metrics(self.metrics(self.players))

    def modes(self, dropout: bool = True) -> dict[nn.Module, bool]:
        """Return each module's train (True) or eval mode; `dropout=False`: that of the same game without dropout."""
        return {m: m.training and (dropout or not functional.drops_out(m)) for m in self.module.modules()}


def minimization(model: nn.Module, loss: Callable[[Any, Any], Tensor]) -> Game:
    """Return the game of one player, "model", that minimises `loss(model, batch)`, a scalar."""
    return Game({"model": model}, lambda players, batch: {"model": loss(players["model"], batch)})
