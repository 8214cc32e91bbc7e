r"""Copies of one game, of several seeds say, as one game: one program evaluates the fields of all.

The copies' parameters are stacked, and each player's loss is the sum over the copies. As none depends on another, the
field of the sum is the stack of the copies' fields, and so is every product with its Jacobian. A method whose step
treats each parameter by itself thus makes in every copy the step that it would make there alone, up to rounding.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from typing import Any

import torch
from torch import Tensor

from gantools.batches import Each, map_tensors, require_samples
from gantools.errors import GantoolsError, GantoolsWarning, first_line, out_of_memory
from gantools.games import functional
from gantools.games.copies.layout import StackedLayout, same_form
from gantools.games.copies.through_vmap import ThroughVmap
from gantools.games.field import FieldValue, Wanted, checked_losses, evaluate, gradient, pieces_of
from gantools.games.game import Game
from gantools.games.plain_field import generators, require_field, undisturbed
from gantools.random_vectors import normal_entries


def stacked(games: Sequence[Game]) -> Stacked:
    """Return copies of one game, built from several seeds say, as one that optimizers train in a single program.

    Args:
        games: the copies; each has modules of its own, of the same architecture, and the same losses.

    Raises:
        GantoolsError: where they differ in more than the numbers in their parameters and buffers.

    >>> games = [gt.minimization(nn.Linear(2, 1), lambda model, x: model(x).square().mean()) for _ in range(3)]
    >>> many = gt.stacked(games)
    >>> many.field(many.each([torch.ones(4, 2)] * 3)).shape
    torch.Size([9])
    """
    return Stacked(games)


class Stacked(Game):
    """Copies of one game, whose losses are vmapped over them.

    `opt.step(game.each(batches))` moves all; the modules of the copies follow at `hand_out()`. Losses that cannot be
    vmapped, or are not the same in all copies, are evaluated copy by copy, which a warning says.

    Attributes:
        games: the copies.
        why_one_by_one: why the copies are evaluated one after another; empty where they are vmapped.
    """

    layout: StackedLayout

    def __init__(self, games: Sequence[Game]):
        self.games = list(games)
        _require_alike(self.games)
        first = self.games[0]
        own: dict[str, Any] = {"games": self.games, "verdict": None, "field_is_checked": False}
        own["constraints"] = {player: f for game in self.games for player, f in game.constraints.items()}
        vars(self).update({**vars(first), **own})
        self.layout = StackedLayout([game.layout for game in self.games])
        self._live = {
            name: torch.stack([game.live_buffers()[name].detach() for game in self.games]) for name in first.constants
        }
        self.why_one_by_one = ""
        self._derivatives_are_checked = False

    @property
    def copies(self) -> int:
        """The number of copies."""
        return len(self.games)

    def each(self, batches: Iterable[Any]) -> Each:
        """Return the batches, one for each copy in order, as the batch of a step of all copies."""
        batches = list(batches)
        if len(batches) != self.copies:
            raise GantoolsError(f"There are {len(batches)} batches for {self.copies} copies: pass one for each.")
        return Each(batches)

    def require_each(self, batch: Any) -> None:
        """Refuse what is no batch of all copies."""
        if not isinstance(batch, Each) or len(batch) != self.copies:
            raise GantoolsError("A step of a stacked game takes a batch for each copy: pass game.each(batches).")

    def hand_out(self) -> None:
        """Write the parameters and buffers of each copy into its own modules."""
        for s, row in enumerate(self.layout.rows(self.vector())):
            self.games[s].load_vector(row)
            self.games[s].load_buffers(self.buffers_of(s))

    def buffers_of(self, copy: int, buffers: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
        """Return the buffers of one copy, by its number, from those of all, by default the present ones."""
        return {name: t[copy] for name, t in (self._live if buffers is None else buffers).items()}

    def live_buffers(self) -> dict[str, Tensor]:
        return dict(self._live)

    def field(self, batch: Any) -> Tensor:
        """Return the field (n,) of all copies at the present parameters, on one batch of each."""
        self.examine(batch)
        with self.frozen():
            return self.field_at(self.vector(), self.live_buffers(), batch).vector

    def nearest(self, player: str, part: Tensor) -> Tensor:
        if player not in self.constraints:
            return part
        rows = zip(self.games, part.view(self.copies, -1), strict=True)
        return torch.stack([game.nearest(player, row) for game, row in rows]).reshape(-1)

    # The field ------------------------------------------------------------------------------------------------------

    def _evaluated(
        self, leaves: Sequence[Tensor], buffers: Mapping[str, Tensor], batch: Any, wanted: Wanted
    ) -> FieldValue:
        """Return the field of all copies at these leaves (S, ...); losses (S,), and vectors in the layout's order."""
        self.require_each(batch)
        if torch.is_inference_mode_enabled():
            raise GantoolsError("torch.inference_mode() records nothing to differentiate: train outside it.")
        twice = (wanted.create_graph or wanted.by_all) and not self.module.safe
        with torch.enable_grad(), functional.twice_differentiable(self.module) if twice else nullcontext():
            why = ""
            if not self.why_one_by_one and batch.stacked() is not None:
                random = torch.get_rng_state()
                try:
                    return self._vmapped(leaves, buffers, batch, wanted)
                except Exception as error:  # of a step that takes another way through the user's code than the first
                    if isinstance(error, GantoolsError) or out_of_memory(error):
                        raise
                    torch.set_rng_state(random)
                    why = _cannot(error)
            # An error of the user's own comes here again, by itself: then nothing is said of vmap.
            found = self._one_by_one(leaves, buffers, batch, wanted)
            if why:
                self._step_aside(why)
            return found

    def _step_aside(self, why: str) -> None:
        """Evaluate the copies one by one from now on, and say so."""
        self.why_one_by_one = why
        words = f"The copies are evaluated one after another, which is not faster than separate runs: {why}."
        warnings.warn(words, GantoolsWarning, stacklevel=3)

    def _vmapped(
        self, leaves: Sequence[Tensor], buffers: Mapping[str, Tensor], batch: Each, wanted: Wanted
    ) -> FieldValue:
        if (stacked := batch.stacked()) is None:
            raise RuntimeError("the copies' batches differ in form")
        values, places = stacked
        require_samples(values)

        def one(leaves: list[Tensor], buffers: dict[str, Tensor], values: list[Tensor]) -> Any:
            given = iter(values)
            own = map_tensors(lambda _: next(given), batch[0])
            with ThroughVmap():
                losses, moved = self.module.call(self.layout.names, leaves, buffers, own)
            return checked_losses(self.players, losses), moved

        losses, moved = torch.func.vmap(one, in_dims=(0, 0, places))(list(leaves), dict(buffers), values)
        found: list[Tensor] = []
        for player in wanted.players or self.slices:
            pieces = pieces_of(self, player, losses[player].sum(), leaves, wanted)
            found.append(self.flatten(pieces) if wanted.by_all else self.layout.flattened(pieces))
        return FieldValue(torch.cat(found), {player: loss.detach() for player, loss in losses.items()}, moved)

    def _one_by_one(
        self, leaves: Sequence[Tensor], buffers: Mapping[str, Tensor], batch: Each, wanted: Wanted
    ) -> FieldValue:
        values: list[FieldValue] = []
        before = generators(self.device)
        # A view that a loss writes into (an embedding with `max_norm`) gets another graph, in which gradients are lost.
        follows = wanted.create_graph or any(map(functional.is_dual, leaves))
        with ExitStack() as stack:
            for s, game in enumerate(self.games):
                if self.module.safe and game.module is not self.module:
                    # As the first copy, which alone was judged: with elementary operations if it needs them.
                    stack.enter_context(functional.twice_differentiable(game.module, self.module.exact))
                own = [leaf[s] if follows else leaf[s].detach().requires_grad_() for leaf in leaves]
                values.append(evaluate(game, own, self.buffers_of(s, buffers), batch[s], wanted))
        if generators(self.device) != before:
            raise GantoolsError(_DRAWS)
        rows = torch.stack([value.vector for value in values])
        asked = list(wanted.players or self.slices)
        widths = {p: (part.stop - part.start) // self.copies for p, part in self.slices.items()}
        blocks = [widths[p] for _ in asked for p in self.slices] if wanted.by_all else [widths[p] for p in asked]
        losses = {p: torch.stack([value.losses[p].reshape(()) for value in values]) for p in values[0].losses}
        moved = {name: torch.stack([value.buffers[name] for value in values]) for name in values[0].buffers}
        return FieldValue(torch.cat([piece.reshape(-1) for piece in rows.split(blocks, 1)]), losses, moved)

    # What is looked at before the first step --------------------------------------------------------------------------

    def examine(self, batch: Each, derivatives: bool = False) -> None:
        """Compare the field of all copies with that of each alone, and a product with its Jacobian; once.

        Raises:
            GantoolsError: for losses that draw random numbers while they are evaluated, and for a field of the first
                copy that is not what plain autograd gives.
        """
        if self.field_is_checked and (self._derivatives_are_checked or not derivatives):
            return
        self.require_each(batch)
        require_field(self.games[0], batch[0])
        drops_out = any(map(functional.drops_out, self.module.modules()))  # it is off while fields are compared
        with ExitStack() as stack:
            for game in self.games:
                stack.enter_context(undisturbed(game))
            alone = self._looked_at(self._one_by_one, batch, derivatives)
            if drops_out:
                raise GantoolsError(_DRAWS)
            why = "" if self.why_one_by_one else self._difference(alone, batch, derivatives)
        if why:
            self._step_aside(why)
        self.field_is_checked = True
        self._derivatives_are_checked |= derivatives

    def take_as_examined(self) -> None:
        """Leave the comparisons out, where the same copies were examined before."""
        self.field_is_checked = self._derivatives_are_checked = True

    def _difference(self, alone: list[Tensor], batch: Each, derivatives: bool) -> str:
        """Return why the vmapped field cannot be used, empty where it can."""
        try:
            together = self._looked_at(self._vmapped, batch, derivatives)
        except GantoolsError:
            raise
        except Exception as error:  # whatever a user's code raises inside vmap
            if out_of_memory(error):
                raise
            return _cannot(error)
        for one, other in zip(alone, together, strict=True):
            error, size = (x.nan_to_num().reshape(self.copies, -1).norm(dim=1) for x in (one - other, one))
            eps = torch.finfo(one.dtype).eps
            # With a floor: what is zero in one way may be rounding in the other.
            if bool((error > eps**0.45 * size + eps).any()):
                return "vmapped, their field is another one (the copies' losses are not the same function, say)"
        return ""

    def _looked_at(self, field: Any, batch: Each, derivatives: bool) -> list[Tensor]:
        """Return the field here and nearby and, if wanted, J's transpose times a vector, by player; and the buffers."""
        safe = functional.twice_differentiable(self.module) if derivatives else nullcontext()
        w = self.vector()
        v = normal_entries(0, 0, len(w), w.dtype, w.device)
        with torch.enable_grad(), safe:
            leaves = self.leaves(w)
            value = field(leaves, self.live_buffers(), batch, Wanted(derivatives))
            # Nearby too: a weight of the copies' own may be multiplied by what is zero here.
            near = field(self.leaves(w + 0.01 * v), self.live_buffers(), batch, Wanted())
            found = [value.vector.detach(), near.vector]
            if derivatives:
                found.append(self.flatten(gradient(value.vector.dot(v), leaves)))
        pieces = [x[part] for x in found for part in self.slices.values()]
        return pieces + [t for t in value.buffers.values() if t.is_floating_point() and t.numel()]


def _cannot(error: Exception) -> str:
    return f"their losses cannot be vmapped ({first_line(error).rstrip('.')})"


_DRAWS = (
    "The losses draw random numbers while they are evaluated (dropout, noise), which copies trained together would "
    "take from one stream: draw them into the batch, or train the seeds one by one."
)


def _require_alike(games: Sequence[Game]) -> None:
    if not games or not all(isinstance(game, Game) for game in games):
        raise GantoolsError("Copies of a game are stacked: pass a list of games, each with modules of its own.")
    if any(game.replicas is not None or isinstance(game, Stacked) for game in games):
        raise GantoolsError("Games that are replicated in several processes, or stacked, are not stacked again.")
    first = games[0]
    if len({id(game.module) for game in games}) < len(games):
        raise GantoolsError("A game is in the list twice: build each copy anew, so that it has modules of its own.")
    for number, game in enumerate(games):
        own = dict(zip(game.names, map(functional.as_real, game.parameters()), strict=True))
        name = same_form(dict(zip(first.names, map(functional.as_real, first.parameters()), strict=True)), own)
        if name or list(game.slices) != list(first.slices):
            raise GantoolsError(f"Copy {number} has another architecture than the first ({name or 'its players'}).")
        if name := same_form(first.live_buffers(), game.live_buffers()):
            raise GantoolsError(f"Copy {number} has other buffers than the first ({name}).")
        if game.device != first.device:
            raise GantoolsError(f"Copy {number} is on {game.device}, the first on {first.device}: move them to one.")
    memory = [
        {t.untyped_storage().data_ptr() for t in (*game.parameters(), *game.live_buffers().values()) if t.numel()}
        for game in games
    ]
    if len(set().union(*memory)) < sum(map(len, memory)):
        raise GantoolsError("Copies share a module, or memory of their parameters: build each of them anew.")
    modes = [list(game.modes().values()) for game in games]
    if any(mode != modes[0] for mode in modes):
        raise GantoolsError("The copies' modules are not in the same train or eval modes: set them alike.")
