"""One look at a game at one point: what flows between the players, and how each loss pulls at the scores.

A *generator* here is a player whose output another player, the *discriminator*, receives; its output is the *scores*.
Hooks find them, so that games with losses of their own are seen as those of `gantools.gan` are.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gantools.batches import map_tensors, tensors
from gantools.games.field import checked_losses, gradient
from gantools.games.game import Game


class Call(NamedTuple):
    """One of the outputs of a call of a player's module, the first tensor that it was given, and the call's number."""

    player: str
    given: Tensor
    output: Tensor
    number: int


@dataclasses.dataclass(frozen=True)
class Observation:
    """What was seen of a game at one point on one batch.

    Attributes:
        losses: each player's loss.
        field: (n,) the field.
        generator, discriminator: the players in these roles, or None where no output of one reaches another.
        latent: (B, ...) what the generator received.
        real, fake: (B, d) samples as the discriminator received them.
        real_scores, fake_scores: (S,) its output on them.
        pulls: by (player, "real" or "fake"), (S,) the derivative of that player's loss by each score, times S.
        balance: by player, norm of its gradient that does not pass through the scores (penalties on gradients or
            weights, a reconstruction), and of that which does.
        dtypes: the floating types of all modules' outputs.
    """

    losses: dict[str, float]
    field: Tensor
    generator: str | None = None
    discriminator: str | None = None
    latent: Tensor | None = None
    real: Tensor | None = None
    fake: Tensor | None = None
    real_scores: Tensor | None = None
    fake_scores: Tensor | None = None
    pulls: Mapping[tuple[str, str], Tensor] = dataclasses.field(default_factory=dict)
    balance: Mapping[str, tuple[float, float]] = dataclasses.field(default_factory=dict)
    dtypes: frozenset[torch.dtype] = frozenset()

    @property
    def finite(self) -> bool:
        """Whether the field and the losses are finite."""
        return bool(self.field.isfinite().all()) and all(abs(x) < float("inf") for x in self.losses.values())

    @property
    def separation(self) -> float | None:
        """The probability that a real sample has a higher score than a fake one, ties counting half; None without."""
        if self.real_scores is None or self.fake_scores is None:
            return None
        difference = self.real_scores[:, None] - self.fake_scores[None, :]
        return float((difference > 0).double().mean() + (difference == 0).double().mean() / 2)

    @property
    def confidence(self) -> float | None:
        """The probability, 1/2 to 1, that the scores order a real and a fake sample as they mostly do; None without.

        Nor is there one of single points, real or generated, which any function tells apart.
        """
        points = [x for x in (self.real, self.fake) if x is not None and len(x) >= 4 and bool((x != x[:1]).any())]
        return None if self.separation is None or not points else max(self.separation, 1 - self.separation)

    @property
    def spread(self) -> float | None:
        """The mean distance of two real samples, 0 of a single one; None without them."""
        if self.real is None:
            return None
        return float(torch.pdist(self.real[:256].double()).mean()) if len(self.real) > 1 else 0.0

    @property
    def distance(self) -> float | None:
        r"""The energy distance $2E|x - y| - E|x - x'| - E|y - y'|$ of real and fake samples; None without them."""
        if self.real is None or self.fake is None or self.real.shape[1:] != self.fake.shape[1:]:
            return None
        x, y = self.real[:256].double(), self.fake[:256].double()
        return float(2 * torch.cdist(x, y).mean() - torch.cdist(x, x).mean() - torch.cdist(y, y).mean())


def observe(game: Game, w: Tensor, buffers: Mapping[str, Tensor], batch: Any) -> Observation:
    """Return what is seen at the point `w` (n,) on one batch; the modules and the buffers stay as they are."""
    leaves = [piece.detach().requires_grad_() for piece in game.unflatten(w)]
    batch = map_tensors(Tensor.detach, batch)
    calls: list[Call] = []
    dtypes: set[torch.dtype] = set()

    def finish(found: Any) -> Observation:
        losses = checked_losses(game.players, found)
        return _made(game, losses, leaves, calls, list(tensors(batch)), frozenset(dtypes))

    with torch.enable_grad(), _hooked(game, calls, dtypes):
        result, _ = game.module.call(game.layout.names, leaves, buffers, batch, finish)
    return result


@contextmanager
def _hooked(game: Game, calls: list[Call], dtypes: set[torch.dtype]) -> Iterator[None]:
    def note_type(module: Any, args: Any, output: Any) -> None:
        dtypes.update(x.dtype for x in tensors(output) if x.is_floating_point())

    handles = [module.register_forward_hook(note_type) for module in game.module.modules()]
    for player, module in game.players.items():

        def note(module: Any, args: Any, output: Any, player: str = player) -> None:
            given, number = next(tensors(args), None), len(calls)
            if given is not None:
                calls.extend(Call(player, given, x, number) for x in tensors(output) if x.is_floating_point())

        handles.append(module.register_forward_hook(note))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _made(
    game: Game,
    losses: dict[str, Tensor],
    leaves: list[Tensor],
    calls: list[Call],
    given: list[Tensor],
    dtypes: frozenset[torch.dtype],
) -> Observation:
    pieces = {p: gradient(losses[p], leaves[game.layout.owned[p]]) for p in game.slices}
    field = game.flatten([piece for player in game.slices for piece in pieces[player]]).detach()
    plain = Observation({p: float(loss.detach()) for p, loss in losses.items()}, field, dtypes=dtypes)
    made = [(call, other) for call in calls for other in calls if _feeds(call, other)]
    if not made:
        return plain
    source, judge = made[0][0], made[0][1].player
    scored = _scored([call for call in calls if call.player == judge])
    kinds = _kinds(scored, source, given, recipe=game.recipe is not None)
    real, fake = _joined(scored, kinds, "real"), _joined(scored, kinds, "fake")
    outputs = {
        kind: [(c.output, rows) for c, own in zip(scored, kinds, strict=True) for k, rows in own if k == kind]
        for kind in ("real", "fake")
    }
    pulls = {(p, kind): _pull(loss, own) for p, loss in losses.items() for kind, own in outputs.items()}
    balance = {p: _balance(losses[p], scored, leaves[game.layout.owned[p]], pieces[p]) for p in (source.player, judge)}
    return dataclasses.replace(
        plain, generator=source.player, discriminator=judge, latent=source.given.detach(), pulls=pulls, balance=balance,
        real=real[0], real_scores=real[1], fake=fake[0], fake_scores=fake[1],
    )  # fmt: skip


def _scored(calls: list[Call]) -> list[Call]:
    """Return the scores among the outputs of each call: the first on which no other depends, features being inner."""
    found = []
    for number in dict.fromkeys(call.number for call in calls):
        own = [call for call in calls if call.number == number]
        inner: set[int] = set()
        for call in own if len(own) > 1 else ():
            others = [other for other in own if other is not call and other.output.requires_grad]
            if call.output.requires_grad and others:
                ends = [other.output for other in others]
                reached = torch.autograd.grad(call.output.sum(), ends, retain_graph=True, allow_unused=True)
                inner |= {id(other.output) for other, one in zip(others, reached, strict=True) if one is not None}
        found.append(next((call for call in own if id(call.output) not in inner), own[-1]))
    return found


def _feeds(source: Call, other: Call) -> bool:
    """Return whether the output of one player's call is, or is among the rows of, what another player received."""
    if source.player == other.player or source.output.shape[1:] != other.given.shape[1:]:
        return False
    return _rows(source.output, other.given) is not None or _depends(other.given, source.output)


def _depends(x: Tensor, on: Tensor) -> bool:
    if not (x.requires_grad and on.requires_grad):
        return False
    found = torch.autograd.grad(x.sum(), on, retain_graph=True, allow_unused=True)[0]
    return found is not None


def _rows(part: Tensor, whole: Tensor) -> slice | None:
    """Return which rows of a tensor are another one's: all, the first or the last ones; None if they are not."""
    n, m = len(part), len(whole)
    if part.shape[1:] != whole.shape[1:] or n > m:
        return None
    for rows in (slice(0, n), slice(m - n, m)):
        if torch.equal(part.detach().to(whole.dtype), whole.detach()[rows]):
            return rows
    return None


def _kinds(scored: list[Call], source: Call, given: list[Tensor], recipe: bool) -> list[list[tuple[str, slice]]]:
    """Return for each call of the discriminator which of its rows are real and which are fake."""
    found: list[list[tuple[str, slice]]] = []
    for number, call in enumerate(scored):
        whole, n = slice(0, len(call.given)), len(call.given)
        rows = _rows(source.output, call.given)
        if recipe and number < 2:  # `gantools.gan` scores the real samples first, and noise may be on both
            found.append([("fake" if number else "real", whole)])
        elif rows is not None:
            rest = slice(rows.stop, n) if rows.start == 0 else slice(0, rows.start)
            found.append([("fake", rows)] + ([("real", rest)] if rest.stop > rest.start else []))
        elif _depends(call.given, source.output):
            found.append([("fake", whole)])
        elif any(x.shape == call.given.shape and torch.equal(x, call.given) for x in given):
            found.append([("real", whole)])
        else:
            found.append([])
    if not any(kind == "real" for kinds in found for kind, _ in kinds):
        first = next((i for i, kinds in enumerate(found) if not kinds), None)
        if first is not None:  # real samples that the losses changed, normalised say, before they were scored
            found[first] = [("real", slice(0, len(scored[first].given)))]
    return found


def _joined(
    scored: list[Call], kinds: list[list[tuple[str, slice]]], wanted: str
) -> tuple[Tensor, Tensor] | tuple[None, None]:
    for call, own in zip(scored, kinds, strict=True):
        for kind, rows in own:
            if kind == wanted and len(call.output) == len(call.given):
                return call.given.detach()[rows].flatten(1), call.output.detach()[rows].flatten().double()
    return None, None


def _pull(loss: Tensor, scores: list[tuple[Tensor, slice]]) -> Tensor:
    total: Tensor | None = None
    for score, rows in scores:
        if not (score.requires_grad and loss.requires_grad):
            continue
        found = torch.autograd.grad(loss, score, retain_graph=True, allow_unused=True)[0]
        if found is None or len(score) < rows.stop:
            continue
        own = (found[rows].double() * found[rows].numel()).flatten().detach()
        total = own if total is None or total.shape != own.shape else total + own
    return torch.zeros(0, dtype=torch.float64) if total is None else total


def _balance(loss: Tensor, scored: list[Call], leaves: list[Tensor], whole: Any) -> tuple[float, float]:
    """Return the norms of a player's gradient beside the scores, and through them."""
    outputs = [call.output for call in scored if call.output.requires_grad]
    if not outputs or not loss.requires_grad:
        return 0.0, 0.0
    options: dict[str, Any] = {"retain_graph": True, "allow_unused": True}
    # Scores that no loss depends on are left out: of those from which a slope was taken the graph may be gone.
    pulls = torch.autograd.grad(loss, outputs, **options)
    pulled = [(output, pull) for output, pull in zip(outputs, pulls, strict=True) if pull is not None]
    if not pulled:
        return sum(float(a.double().square().sum()) for a in whole) ** 0.5, 0.0
    through = torch.autograd.grad(
        [output for output, _ in pulled], leaves, [pull for _, pull in pulled], **options, materialize_grads=True
    )
    beside = sum(float((a - b).double().square().sum()) for a, b in zip(whole, through, strict=True))
    return beside**0.5, sum(float(b.double().square().sum()) for b in through) ** 0.5
