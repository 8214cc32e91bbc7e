"""Where what is not finite in a game's losses, gradients or their derivatives arose, in a sentence."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gantools.batches import Parts, map_tensors
from gantools.games import functional
from gantools.games.field import checked_losses
from gantools.games.origins.recorder import Place, Recorder, is_finite
from gantools.games.plain_field import moved
from gantools.games.recompute import uncompiled
from gantools.random_vectors import normal_entries

if TYPE_CHECKING:
    from gantools.games.game import Game

LOSS, GRADIENT, DERIVATIVE = "loss", "gradient", "derivative of the gradient"


@dataclasses.dataclass(frozen=True)
class Origin:
    """Where a number that is not finite arose.

    Attributes:
        player: in whose loss, gradient or derivative of the gradient.
        stage: which of the three.
        place: the operation, layer and line; None where it could not be told.
    """

    player: str
    stage: str
    place: Place | None = None

    @property
    def in_data(self) -> bool:
        """Whether the batch itself was not finite."""
        return self.place is not None and self.place.given.startswith("batch")

    def __str__(self) -> str:
        place, direction = self.place, "forward" if self.stage == LOSS else "backward"
        if self.in_data:
            return f"the data is not finite, {place.given}"  # type: ignore[union-attr]
        said = f"it arose in the {self.stage} of player {self.player!r}"
        if place is None:
            return said
        if place.given:
            return f"{said}, of {place.given}, which is not finite before the losses are computed"
        where = f" in {place.layer}" if place.layer else ""
        line = f" ({place.line})" if place.line else ""
        size = f", of numbers up to {place.largest:.1g}: an overflow" if place.overflow else ", of finite numbers"
        return f"{said}, {direction} through {place.operation}{where}{line}{size}"


def find_origin(
    game: Game, w: Tensor, buffers: Mapping[str, Tensor], batch: Any, derivative: bool = False
) -> Origin | None:
    """Evaluate the losses at `w` (n,) once more, and return where the first number that is not finite arose.

    Losses come first, then the players' gradients in their order, as a step computes them. Parameters, buffers, hooks
    and the random state are as before afterwards.

    Args:
        game: the game; one process's own part of it.
        w: the point, finite.
        buffers: what `Game.buffers` gave.
        batch: one batch, or the parts of one.
        derivative: whether to look at derivatives of the gradients too.

    Returns:
        The origin; None where everything is finite.
    """
    devices = [game.device] if game.device.type == "cuda" else []
    for part in batch if isinstance(batch, Parts) else (batch,):
        with ExitStack() as stack:
            stack.enter_context(torch.random.fork_rng(devices))
            stack.enter_context(torch.enable_grad())
            stack.enter_context(moved(game, w))
            stack.enter_context(functional.attributes_restored(game.module))
            stack.enter_context(functional.twice_differentiable(game.module) if derivative else uncompiled())
            game.load_buffers(buffers)
            found = _origin(game, map_tensors(Tensor.detach, part), derivative)
        if found is not None:
            return found
    return None


def _origin(game: Game, batch: Any, derivative: bool) -> Origin | None:
    recorder = Recorder(_modules(game), [*_batch_names(batch), *_tensor_names(game)])
    with recorder.recording():
        losses = checked_losses(game.players, game.module.plain(batch))
        bad = [player for player, loss in losses.items() if not is_finite(loss)]
        if bad:
            return _first(recorder, losses, bad)
        for player, own in game.layout.owned.items():
            parameters = game.layout.parameters[own]
            if not losses[player].requires_grad:
                continue
            with recorder.watching([losses[player]]) as found:
                gradients = torch.autograd.grad(
                    losses[player], parameters, retain_graph=True, create_graph=derivative, allow_unused=True
                )
            gradients = [g.to_dense() if g.is_sparse else g for g in gradients if g is not None]
            if not all(map(is_finite, gradients)):
                return Origin(player, GRADIENT, found[0] if found else None)
            followed = [g for g in gradients if g.requires_grad]
            if derivative and (place := _in_derivative(recorder, game, followed)) is not None:
                return Origin(player, DERIVATIVE, place)
    return None


def _first(recorder: Recorder, losses: Mapping[str, Tensor], bad: list[str]) -> Origin:
    """Return the origin of the losses that are not finite: the earliest; of one origin, the player's that owns it."""
    places = {player: recorder.origin_of(losses[player]) for player in bad}
    known = [place for place in recorder.origins.values() if place in places.values()]
    place = known[0] if known else None
    players = [player for player in bad if places[player] == place]
    owner = place.player if place is not None and place.player in players else None
    return Origin(owner or (players or bad)[0], LOSS, place)


def _in_derivative(recorder: Recorder, game: Game, gradients: list[Tensor]) -> Place | None:
    if not gradients:
        return None
    directions = [normal_entries(k, 0, g.numel(), g.dtype, g.device).view_as(g) for k, g in enumerate(gradients)]
    with recorder.watching(gradients) as found:
        second = torch.autograd.grad(
            gradients, game.layout.parameters, directions, retain_graph=True, allow_unused=True
        )
    bad = not all(is_finite(g) for g in second if g is not None)
    return (found[0] if found else Place("")) if bad else None


def _modules(game: Game) -> dict[Any, tuple[str, str]]:
    found = {}
    for player, module in game.players.items():
        for name, inner in module.named_modules():
            layer = f", layer {name!r}" if name else ""
            found.setdefault(inner, (player, f"player {player!r}{layer} ({type(inner).__name__})"))
    return found


def _batch_names(batch: Any, name: str = "batch") -> Iterator[tuple[Tensor, str]]:
    """Yield the tensors of a batch, each with what is not finite in it."""
    if isinstance(batch, Tensor):
        if not is_finite(batch):
            where = batch.isfinite().logical_not().nonzero()
            kind = "NaN" if batch.isnan().any() else "infinite"
            entries = "entry is" if len(where) == 1 else "entries are"
            at = f", the first at {where[0].tolist()}" if batch.dim() else ""
            yield batch, f"{name}: {len(where)} of {batch.numel()} {entries} {kind}{at}"
    elif isinstance(batch, (Mapping, tuple, list)):
        for key, item in batch.items() if isinstance(batch, Mapping) else enumerate(batch):
            yield from _batch_names(item, f"{name}[{key!r}]")


def _tensor_names(game: Game) -> Iterator[tuple[Tensor, str]]:
    """Yield parameters and buffers, by the names that a user knows them by."""
    players = list(game.players)
    for name, tensor in game.module.tensors([*game.names, *game.constants]).items():
        index, _, rest = name.partition(".")
        yield tensor, f"{rest!r} of player {players[int(index)]!r}" if index.isdecimal() else repr(rest)
