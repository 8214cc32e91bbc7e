"""One step of a training loop that moves a game by `torch.optim`'s optimizers, as a pure map."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer

from gantools.errors import GantoolsError
from gantools.games import functional
from gantools.games.game import Game
from gantools.registry import suggest
from gantools.trainers.optimizer import GameOptimizer, State
from gantools.trainers.scales import unit_scale
from gantools.trainers.torch_optim.hooks import require_no_hooks
from gantools.trainers.torch_optim.rules import TorchRule, rule_of

Optimizers = Optimizer | Mapping[str, Optimizer] | Sequence[Optimizer]
Turns = Mapping[str, int] | Literal["together"] | None


class _Piece(NamedTuple):
    """Neighbouring parameters that one optimizer moves by one rule, having moved them equally often.

    Attributes:
        player: whose they are.
        part: their part of the game's vector.
        rule: the rule; None for parameters that never had a gradient, which `torch.optim` passes over.
        counter: name of the number of updates made.
        memory: each memory key's part of the vector in the state's memory.
    """

    player: str
    part: slice
    rule: TorchRule | None
    counter: str
    memory: dict[str, slice]


class TorchStep(GameOptimizer):
    """The step of a training loop whose players are moved by optimizers of `torch.optim`, read at their present state.

    SGD, RMSprop, Adam and AdamW, at all settings of each parameter group: rates, momenta, weight decay, AMSGrad. The
    optimizers themselves are read, never moved, and neither are later steps of theirs followed.

    Args:
        game: the game.
        optimizers: by any names; a sequence is named "0", "1", ...; they need not match the players.
        turns: how often each optimizer moves in one step of the loop, in this order, each against the others' new
            parameters; "together" for all at once from one evaluation of the field. By default one after another, as
            often as their counts of updates say: 5 to 1 where Adam of the critic has made five times as many.

    Attributes:
        turns: how often each moves in a step, in order; empty where all move together.
        outside: how many parameters of the optimizers are in none of the players; they are constants, as frozen ones
            are.
    """

    def __init__(self, game: Game, optimizers: Optimizers, turns: Turns = None):
        self.game = game
        self.optimizers = named_optimizers(optimizers)
        require_no_hooks(self.optimizers)
        self.turns = _turns(self.optimizers, turns)
        owners, self.outside = self._owners()
        memory: dict[str, list[Tensor]] = {}
        self._lengths: dict[str, int] = {}
        self._counters: dict[str, int] = {}
        self._pieces: dict[str, list[_Piece]] = {name: [] for name in self.optimizers}
        for index, (name, group) in owners.items():
            self._add(index, name, group, memory)
        self._memory = {key: torch.cat(pieces) for key, pieces in memory.items()}
        self.rules = {}
        self.lr, self.rates, self.clip_norm = {}, {}, None
        self._state, self._examined, self._kernels_fit, self.taken = None, False, None, None

    @property
    def batches_per_step(self) -> int:
        return max(self.turns.values(), default=1)

    def init(self, w: Tensor) -> State:
        """Return the optimizers' present state; that of parameters never moved is zero."""
        memory = {key: value.to(w, copy=True) for key, value in self._memory.items()}
        return State(memory, dict(self._counters), self.game.buffers())

    def scales(self, w: Tensor, state: State) -> Tensor:
        own, memory = torch.ones_like(w), {key: torch.ones_like(value) for key, value in state.memory.items()}
        for piece in self._all():
            if piece.rule is None:
                continue
            values = {key: state.memory[f"{piece.player}:{key}"][part] for key, part in piece.memory.items()}
            divisor = piece.rule.divisor(values, max(state.counters[piece.counter], 1))
            divisor = torch.ones_like(w[piece.part]) if divisor is None else divisor
            root = own[piece.part] = ((piece.rule.lr or 1.0) / divisor).sqrt()
            for key, part in piece.memory.items():
                unit = piece.rule.units[key]
                memory[f"{piece.player}:{key}"][part] = unit_scale(unit, root, divisor, values[key])
        return torch.cat([own, *memory.values()])

    def step(self, batch: Any, *more: Any, check: Any = None) -> Any:
        """Refuse: the optimizers of `torch.optim` make the steps, in the training loop."""
        raise GantoolsError("A TorchStep is for analysis: call .step() of the optimizers that it was made of.")

    def _update(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        if not self.turns:
            return self._turn(w, state, list(self._all()), batches[0])
        for name, times in self.turns.items():
            for batch in batches[len(batches) - times :]:
                w, state = self._turn(w, state, self._pieces[name], batch)
        return w, state

    def _turn(self, w: Tensor, state: State, pieces: Sequence[_Piece], batch: Any) -> tuple[Tensor, State]:
        """Return the point and state after one update of these pieces."""
        players = [player for player in self.game.slices if any(piece.player == player for piece in pieces)]
        value = self.game.field_at(w, state.buffers, batch, players)
        lengths = [self.game.slices[player].stop - self.game.slices[player].start for player in players]
        field = dict(zip(players, value.vector.split(lengths), strict=True))
        memory, counters = dict(state.memory), dict(state.counters)
        moved: list[tuple[slice, Tensor]] = []
        written: dict[str, list[tuple[slice, Tensor]]] = {}
        for piece in pieces:
            if piece.rule is None:
                continue
            start = self.game.slices[piece.player].start
            gradient = field[piece.player][piece.part.start - start : piece.part.stop - start]
            own = {key: memory[f"{piece.player}:{key}"][part] for key, part in piece.memory.items()}
            after, own = piece.rule.update(w[piece.part], gradient, own, counters[piece.counter])
            moved.append((piece.part, after))
            for key, part in piece.memory.items():
                written.setdefault(f"{piece.player}:{key}", []).append((part, own[key]))
        for counter in {piece.counter for piece in pieces if piece.rule is not None}:
            counters[counter] += 1
        memory |= {key: replaced(memory[key], parts) for key, parts in written.items()}
        info = self.observe(value) if len(players) == len(self.game.slices) else None
        state = State(memory, counters, value.buffers, info)
        return replaced(w, moved), state

    def _all(self) -> Iterator[_Piece]:
        return (piece for pieces in self._pieces.values() for piece in pieces)

    # The optimizers' groups and states -------------------------------------------------------------------------------

    def _owners(self) -> tuple[dict[int, tuple[str, dict[str, Any]]], int]:
        """Return optimizer and group of each parameter, by its place in the game, and how many are none of it."""
        places = {id(p): index for index, p in enumerate(self.game.layout.parameters)}
        frozen = {id(p) for player in self.game.players.values() for p in player.parameters()} - places.keys()
        found: dict[int, tuple[str, dict[str, Any]]] = {}
        outside = 0
        for name, optimizer in self.optimizers.items():
            for group in optimizer.param_groups:
                for p in group["params"]:
                    if (index := places.get(id(p))) is None:
                        outside += id(p) not in frozen
                    elif index in found:
                        other = found[index][0]
                        raise GantoolsError(
                            f"A parameter is moved by the optimizers {other!r} and {name!r} both, so one gradient does "
                            "not say how: pass gantools.watch(update=step), a function that makes your step."
                        )
                    else:
                        found[index] = (name, group)
        if not found:
            raise GantoolsError(
                "No parameter of the optimizers is a player's: pass the modules that they were made for."
            )
        return dict(sorted(found.items())), outside

    def _add(self, index: int, name: str, group: dict[str, Any], memory: dict[str, list[Tensor]]) -> None:
        """Add a parameter to the last piece, or begin a new one; add its memory to that of its player."""
        optimizer, p = self.optimizers[name], self.game.layout.parameters[index]
        part = self.game.layout.places[index]
        player = next(player for player, own in self.game.layout.owned.items() if own.start <= index < own.stop)
        state = optimizer.state.get(p, {})
        rule = rule_of(optimizer, group)
        if rule.keys and optimizer.state and not state:
            rule = None
        count = int(state["step"]) if "step" in state else int(any(state.get(key) is not None for key in state))
        counter = f"{name}:{count}"
        self._counters[counter] = count
        parts: dict[str, slice] = {}
        for key in rule.keys if rule is not None else ():
            whole, kept = f"{player}:{key}", state.get(key)
            value = torch.zeros_like(p) if kept is None else kept
            begin = self._lengths.get(whole, 0)
            parts[key] = slice(begin, begin + part.stop - part.start)
            self._lengths[whole] = parts[key].stop
            memory.setdefault(whole, []).append(functional.as_real(value.detach()).reshape(-1))
        pieces = self._pieces[name]
        if pieces and _continues(pieces[-1], player, part, rule, counter, parts):
            last = pieces.pop()
            part = slice(last.part.start, part.stop)
            parts = {key: slice(last.memory[key].start, own.stop) for key, own in parts.items()}
        pieces.append(_Piece(player, part, rule, counter, parts))


def _continues(
    last: _Piece, player: str, part: slice, rule: TorchRule | None, counter: str, parts: Mapping[str, slice]
) -> bool:
    same = (last.player, last.part.stop, last.rule, last.counter) == (player, part.start, rule, counter)
    return same and all(last.memory[key].stop == own.start for key, own in parts.items())


def replaced(vector: Tensor, parts: Sequence[tuple[slice, Tensor]]) -> Tensor:
    """Return the vector (n,) with these parts in place of its own."""
    pieces, end = [], 0
    for part, value in sorted(parts, key=lambda item: item[0].start):
        pieces += [vector[end : part.start], value]
        end = part.stop
    return torch.cat([*pieces, vector[end:]])


def named_optimizers(optimizers: Any) -> dict[str, Optimizer]:
    """Return optimizers by name: those of a mapping, a sequence's by their places, one alone as "optimizer"."""
    if isinstance(optimizers, Optimizer):
        return {"optimizer": optimizers}
    named = dict(optimizers) if isinstance(optimizers, Mapping) else {str(i): o for i, o in enumerate(optimizers)}
    for name, optimizer in named.items():
        if not isinstance(optimizer, Optimizer):
            raise GantoolsError(
                f"The optimizer {name!r} is a {type(optimizer).__name__}: pass optimizers of torch.optim, such as "
                '{"generator": torch.optim.Adam(...), "discriminator": torch.optim.Adam(...)}.'
            )
    if not named:
        raise GantoolsError("There is no optimizer: pass those that your loop steps.")
    return named


def _turns(optimizers: Mapping[str, Optimizer], turns: Turns) -> dict[str, int]:
    if turns == "together":
        return {}
    if turns is None:
        return _observed_turns(optimizers)
    if not isinstance(turns, Mapping) or not all(isinstance(n, int) and n > 0 for n in turns.values()) or not turns:
        raise GantoolsError(f"turns = {turns!r}: pass how often each optimizer moves in a step, or 'together'.")
    for name in [*turns, *optimizers]:
        if name not in optimizers:
            raise suggest("optimizer", name, optimizers)
        if name not in turns:
            raise GantoolsError(f"turns does not say how often the optimizer {name!r} moves in a step: add it.")
    return dict(turns)


def _observed_turns(optimizers: Mapping[str, Optimizer]) -> dict[str, int]:
    """Return how often each moves in a step, from the ratio of the updates that they have counted; once where none."""
    counts = {name: updates_made(optimizer) for name, optimizer in optimizers.items()}
    known = [count for count in counts.values() if count]
    least = min(known, default=1)
    # After 503 and 100 updates the ratio is 5; after 6 and 4, no number of turns says what the loop does.
    ratios = {name: math.ceil(count / least - 0.5) if count else 1 for name, count in counts.items()}
    close = all(abs(count - ratios[name] * least) <= max(ratios.values()) for name, count in counts.items() if count)
    return ratios if close else dict.fromkeys(optimizers, 1)


def updates_made(optimizer: Optimizer) -> int:
    """Return how many updates an optimizer has counted, 0 where it counts none, as SGD."""
    return max((int(state["step"]) for state in optimizer.state.values() if "step" in state), default=0)


def held_by(optimizer: Optimizer) -> dict[int, Tensor]:
    """Return the parameters that an optimizer holds, by their identities."""
    return {id(p): p for group in optimizer.param_groups for p in group["params"]}


def frozen_from_the_start(optimizer: Optimizer) -> set[int]:
    """Return the identities of parameters that an optimizer holds and never moved, since they require no gradient.

    What a loop only switches off for a while, the critic in the generator's turn say, has a gradient or a state; where
    nothing of an optimizer has, it is switched off as a whole.
    """
    held = held_by(optimizer)
    frozen = {i for i, p in held.items() if not p.requires_grad and p.grad is None and not optimizer.state.get(p)}
    return frozen if len(frozen) < len(held) else set()
