"""The field of a game: the losses at given parameters, and each player's gradient of its own."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from gantools.batches import Parts, batch_size, map_tensors, require_samples
from gantools.errors import GantoolsError
from gantools.games import functional
from gantools.games.plain_field import sizes
from gantools.games.recompute import recomputed

if TYPE_CHECKING:
    from gantools.games.game import Game


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


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is wanted of a field.

    Attributes:
        create_graph: whether the field will be differentiated.
        players: whose part of it; None for all.
        by_all: whether each loss is differentiated by the parameters of all players, not only by its own.
    """

    create_graph: bool = False
    players: Sequence[str] | None = None
    by_all: bool = False


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What was found about the derivatives of a game's field.

    Attributes:
        wrong: a sentence that says why reverse differentiation gives no right products, empty where it does.
        forward: whether dual numbers give the right products; None where an operation has no rule for them, or where
            they were not judged.
        error: the largest relative error of a block by reverse differentiation.
        decided: whether differences were accurate enough to tell.
        repeats: whether the field was the same each time it was evaluated, with fresh random numbers if it draws any.
        both: whether dual numbers were judged too.
        writes: names of parameters that an evaluation of the losses writes over.
    """

    forward: bool | None
    error: float
    decided: bool
    repeats: bool = True
    wrong: str = ""
    both: bool = True
    writes: tuple[str, ...] = ()

    def require_derivatives(self) -> None:
        """Refuse a field of which autograd has no right derivative.

        Raises:
            GantoolsError: says what is wrong.
        """
        if self.wrong:
            raise GantoolsError(self.wrong)


def evaluate(
    game: Game,
    leaves: Sequence[Tensor],
    buffers: Mapping[str, Tensor],
    batch: Any,
    wanted: Wanted,
    weight: float = 1.0,
) -> FieldValue:
    """Return the field at these leaves, times a weight, see `Game.field_of`."""
    if isinstance(batch, Parts):
        return _mean_field(game, leaves, buffers, batch, wanted, weight)
    require_samples(batch)
    if torch.is_inference_mode_enabled():
        raise GantoolsError("torch.inference_mode() records nothing to differentiate: evaluate the field outside it.")
    # A loss may call `requires_grad_` on what it is given; views keep the caller's tensors out of that.
    batch = map_tensors(torch.Tensor.detach, batch)
    # What a loss stops, it stops for its own player's gradient, not for what others' parameters do to it.
    twice = (wanted.create_graph or wanted.by_all) and not game.module.safe
    with torch.enable_grad():

        def finish(losses: Any) -> tuple[Tensor, dict[str, Tensor]]:
            losses = checked_losses(game.players, losses)
            pieces: list[Tensor] = []
            for player in wanted.players or game.slices:
                loss = losses[player] if weight == 1.0 else weight * losses[player]
                pieces += pieces_of(game, player, loss, leaves, wanted)
            return game.flatten(pieces), {player: loss.detach() for player, loss in losses.items()}

        with functional.twice_differentiable(game.module) if twice else nullcontext():
            (vector, losses), moved = game.module.call(
                game.layout.names, game.layout.in_modules(leaves), buffers, batch, finish
            )
    return FieldValue(vector, losses, moved)


def differenced(evaluated: Callable[[Tensor], FieldValue], w: Tensor, h: float) -> FieldValue:
    """Return the field at a dual vector: its value, and by a central difference its derivative along the tangent.

    Args:
        evaluated: the field at a plain vector (n,).
        w: (n,), with a tangent.
        h: by how much an entry moves at most, relative to its size.
    """
    point, tangent = forward_ad.unpack_dual(w)
    assert tangent is not None
    point, tangent = point.detach(), tangent.detach()
    value = evaluated(point)
    largest = (tangent.abs() / sizes(point)).max()
    shift = torch.where(largest > 0, h / largest, 0.0) * tangent
    ahead, behind = evaluated(point + shift), evaluated(point - shift)
    along = (ahead.vector - behind.vector) * torch.where(largest > 0, largest / (2 * h), 0.0)
    return dataclasses.replace(value, vector=forward_ad.make_dual(value.vector, along))


def pieces_of(game: Game, player: str, loss: Tensor, leaves: Sequence[Tensor], wanted: Wanted) -> list[Tensor]:
    """Return a player's part of the field, a tensor for each of its parameters, or for those of all players."""
    own, stops, graph = game.layout.owned[player], game.module.stops, wanted.create_graph
    if wanted.by_all and not stops.met:
        return list(gradient(loss, leaves, graph))
    with stops.taking_gradients():
        pieces = list(gradient(loss, leaves[own], graph))
    if wanted.by_all:
        # How the loss depends on the others, although its own player's gradient does not follow it.
        others = gradient(loss, [*leaves[: own.start], *leaves[own.stop :]], graph)
        pieces = [*others[: own.start], *pieces, *others[own.start :]]
    return pieces


def _mean_field(
    game: Game, leaves: Sequence[Tensor], buffers: Mapping[str, Tensor], parts: Parts, wanted: Wanted, weight: float
) -> FieldValue:
    """Return the mean field of the parts of a batch, with the graph of one of them in memory at a time."""
    frozen = partial(game.frozen, game.modes()) if game.still else nullcontext
    size, moved = batch_size(parts), dict(buffers)
    total, losses = torch.zeros(()), dict.fromkeys(game.players, torch.zeros(()))
    for part in parts:
        seen: list[FieldValue] = []

        def share(leaves: Sequence[Tensor], part: Any = part, buffers: Any = moved, seen: Any = seen) -> Tensor:
            # Without a graph of the gradient at first: what is differentiated is what is evaluated again.
            again = dataclasses.replace(wanted, create_graph=wanted.create_graph and bool(seen))
            value = evaluate(game, leaves, buffers, part, again, weight)
            seen[:] = [dataclasses.replace(value, vector=value.vector.new_empty(0))]
            return batch_size(part) / size * value.vector

        with torch.enable_grad():
            total = total + (recomputed(share, frozen, leaves) if wanted.create_graph else share(leaves))
        moved = seen[0].buffers
        for player, loss in seen[0].losses.items():
            losses[player] = losses[player] + batch_size(part) / size * loss
    return FieldValue(total, losses, moved)


def gradient(value: Tensor, leaves: Sequence[Tensor], create_graph: bool = False) -> Sequence[Tensor]:
    """Return the gradient of a scalar by each leaf; zero for a leaf that it does not depend on."""
    if not value.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    found = torch.autograd.grad(
        value, leaves, retain_graph=True, create_graph=create_graph, allow_unused=True, materialize_grads=True
    )
    return [g.to_dense() if g.is_sparse else g for g in found]  # sparse ones come from embeddings


def checked_losses(players: Mapping[str, Any], losses: Any) -> dict[str, Tensor]:
    """Return each player's loss as a scalar tensor; refuse whatever else a user's function returned."""
    if not isinstance(losses, Mapping) or set(losses) != set(players):
        got = f"the keys {sorted(map(str, losses))}" if isinstance(losses, Mapping) else f"a {type(losses).__name__}"
        raise GantoolsError(
            f"losses(players, batch) returned {got}: return a dictionary with one scalar for each of "
            f"{', '.join(map(repr, players))}."
        )
    for player, loss in losses.items():
        if not isinstance(loss, Tensor) or loss.numel() != 1 or loss.is_complex():
            shape = f"shape {tuple(loss.shape)}, {loss.dtype}" if isinstance(loss, Tensor) else type(loss).__name__
            raise GantoolsError(f"The loss of player {player!r} is not a real scalar ({shape}): take its mean or sum.")
    return {player: losses[player].reshape(()) for player in players}


def checked_metrics(found: Any) -> dict[str, float]:
    """Return what a user's `metrics(players)` returned as floats by name; refuse whatever else it is."""
    if not isinstance(found, Mapping):
        raise GantoolsError(f"metrics(players) returned a {type(found).__name__}: return numbers by name.")
    try:
        return {str(name): float(value) for name, value in found.items()}
    except (TypeError, ValueError, RuntimeError) as error:
        raise GantoolsError(f"metrics(players) returned what is no number ({error}): return numbers.") from error
