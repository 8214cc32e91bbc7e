"""Derivatives of the training steps of all copies of a game at once, and their spectral radii, by dense matrices.

`update_operator` makes the same of one copy's step from products; here one backward pass serves a row of every copy's
Jacobian, which for hundreds of tiny games is what there is time for. A base rule treats each parameter by itself, so
that its derivatives are diagonals.
"""

import dataclasses
from typing import Any

import torch
from torch import Tensor

import gantools as gt
from gantools.trainers.field_graph import FieldGraph
from gantools.trainers.state import State

Memory = dict[str, Tensor]
ROTATES = 1e-6  # |Im| over modulus, above rounding


@dataclasses.dataclass(frozen=True)
class Held:
    """A base rule whose divisor D (n,) is held at one value: what is left of Adam is its momentum.

    Attributes:
        divisor: D.
        beta: decay of the average that the step goes along; 0 for the direction itself.
    """

    divisor: Tensor
    beta: float = 0.0

    def init(self, w: Tensor) -> Memory:
        return {"exp_avg": torch.zeros_like(w)} if self.beta else {}

    def update(self, direction: Tensor, memory: Memory, count: int, lr: Any) -> tuple[Tensor, Memory]:
        if not self.beta:
            return lr * direction / self.divisor, {}
        average = self.beta * memory["exp_avg"] + (1 - self.beta) * direction
        return lr * average / self.divisor, {"exp_avg": average}


def held(rule: Any, direction: Tensor, memory: Memory, count: int) -> Held:
    """Return a rule with the divisor that this update has; `rule` is SGD, RMSProp or Adam."""
    if not hasattr(rule, "denominator"):
        return Held(torch.ones_like(direction))
    beta = rule.betas[0] if hasattr(rule, "betas") else 0.0
    return Held(rule.denominator(direction, memory, count)[0], beta)


def diagonals(rule: Any, direction: Tensor, memory: Memory, count: int, lr: Tensor) -> list[list[Tensor]]:
    """Return the derivatives of a rule's step and new memory (rows) by direction and memory (columns), each (n,)."""
    inputs = [x.detach().requires_grad_() for x in (direction, *memory.values())]
    with torch.enable_grad():
        step, new = rule.update(inputs[0], dict(zip(memory, inputs[1:], strict=True)), count, lr)
        outputs = [step, *(new[key] for key in memory)]
        return [
            list(torch.autograd.grad(out.sum(), inputs, allow_unused=True, materialize_grads=True, retain_graph=True))
            for out in outputs
        ]


def direction_and_jacobian(optimizer: Any, w: Tensor, state: State, batch: Any) -> tuple[Tensor, Tensor]:
    """Return what a method descends, (n,) of all copies, and its derivatives, (S, n/S, n/S)."""
    layout, w = optimizer.game.layout, w.detach().requires_grad_()
    graph = FieldGraph(optimizer.game, w, state.buffers, batch)
    with torch.enable_grad():
        direction = graph.value.vector
        if isinstance(optimizer, gt.trainers.Consensus):
            direction = direction + optimizer.scaled(optimizer.gamma, graph.transposed(direction), state)
    n = len(w) // layout.copies
    rows = []
    for unit in torch.eye(n, dtype=w.dtype):
        (row,) = torch.autograd.grad(direction, w, layout.vector_of(unit.expand(layout.copies, -1)), retain_graph=True)
        rows.append(layout.rows(row))
    return direction.detach(), torch.stack(rows, 1)


def transition(A: Tensor, parts: list[list[Tensor]], own: Tensor) -> Tensor:
    """Return the derivatives (S, m, m) of one turn by parameters and memory.

    Args:
        A: (S, n, n), of the direction.
        parts: those of the rule, each (S, n); see `diagonals`.
        own: (n,) which parameters move.
    """
    S, n, _ = A.shape
    kinds = len(parts)
    eye = torch.eye(n, dtype=A.dtype).expand(S, n, n)
    blocks = [[torch.diag_embed(parts[i][j]) if j else parts[i][0][:, :, None] * A for j in range(kinds)]
              for i in range(kinds)]  # fmt: skip
    blocks[0] = [eye - blocks[0][0], *(-block for block in blocks[0][1:])]
    moved = own[None, :, None]
    for i in range(kinds):
        for j in range(kinds):
            blocks[i][j] = torch.where(moved, blocks[i][j], eye if i == j else torch.zeros_like(eye))
    return torch.cat([torch.cat(row, 2) for row in blocks], 1)


def maps(optimizer: Any, batch: Any) -> dict[str, Tensor]:
    """Return the derivatives (S, m, m) of the copies' present step, "real", and with second moments "held"."""
    game, layout, state, w = optimizer.game, optimizer.game.layout, optimizer.state, optimizer.game.vector()
    alternates = isinstance(optimizer, gt.trainers.Alternating)
    turns = [[player] for player, _ in optimizer.turns()] if alternates else [list(game.slices)]
    found: dict[str, Tensor] = {}
    for players in turns:
        direction, A = direction_and_jacobian(optimizer, w, state, batch)
        own = layout.rows(
            torch.cat([torch.full_like(w[part], player in players) for player, part in game.slices.items()])
        )
        rule, count = optimizer.rules[players[0]], state.counters[players[0]]
        keys = list(state.memory_of(players[0]))
        memory = {key: torch.cat([state.memory_of(player)[key] for player in game.slices]) for key in keys}
        lr = torch.cat(list(optimizer.rates_at(state).values()))
        still = held(rule, direction, memory, count)
        rest = {key: value for key, value in memory.items() if key in still.init(w)}
        for name, one, its in (("real", rule, memory), ("held", still, rest)):
            parts = [[layout.rows(x) for x in row] for row in diagonals(one, direction, its, count, lr)]
            turn = transition(A, parts, own[0] > 0)
            found[name] = turn @ found[name] if name in found else turn
        step = {player: direction[game.slices[player]] for player in players}
        w, state = optimizer.apply_base(w, step, state)
    return found


def radii(optimizer: Any, batch: Any) -> dict[str, Tensor]:
    """Return the spectral radii (S,) of `maps`, and "rotating": the largest modulus of a complex pair of "held".

    They are infinite where a copy's numbers are not finite, and 0 where there is no pair.
    """
    found = {}
    for name, A in maps(optimizer, batch).items():
        finite = A.isfinite().all(2).all(1)
        values = torch.linalg.eigvals(A.nan_to_num(0.0, 0.0, 0.0))
        found[name] = torch.where(finite, values.abs().amax(1), torch.inf)
        if name == "held":
            pairs = torch.where(values.imag.abs() > ROTATES * values.abs(), values.abs(), 0.0)
            found["rotating"] = torch.where(finite, pairs.amax(1), torch.inf)
    return found
