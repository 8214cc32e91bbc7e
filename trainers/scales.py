r"""Coordinates in which an optimizer's step is balanced: one positive scale for each parameter and entry of memory.

With $P = h / D$, the factor by which a step multiplies what it descends ($D = \sqrt v + \epsilon$ of an adaptive rule,
else 1), parameters are measured by $P^{1/2}$, gradients by $P^{-1/2}$ and squared gradients by $\sqrt v P^{-1/2}$. The
block of the parameters is then the similar $I - P^{1/2} J P^{1/2}$, and no other block is larger than it by more than
the ratio of a gradient to its root mean square. In the user's coordinates the derivatives by second moments near zero
are larger than the rest by factors of 1e6 to 1e12, and their rounding hides every eigenvalue.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

import torch
from torch import Tensor

from gantools.errors import GantoolsError

if TYPE_CHECKING:
    from gantools.trainers.optimizer import GameOptimizer
    from gantools.trainers.state import State

# What an entry of memory is measured in: parameters, their gradients, squares of these, or steps over the learning rate
# ("direction"); "balanced" needs no scale.
Unit = Literal["parameters", "gradient", "square", "direction", "balanced"]

FLOOR = 1e-3  # of a root of a second moment, relative to the divisor: below it the moment does not matter


def unit_scale(unit: Unit, root: Tensor, divisor: Tensor, value: Tensor) -> Tensor:
    r"""Return the scales (m,) of entries of memory with this unit.

    Args:
        unit: what the entries are measured in.
        root: $\sqrt{h / D}$ of their parameters, (m,): the scale of these.
        divisor: D, (m,).
        value: the entries, (m,).
    """
    if unit == "square":
        return value.clamp_min(0).sqrt().maximum(FLOOR * divisor) / root
    scales = {"parameters": root, "gradient": 1 / root, "direction": 1 / (root * divisor)}
    return scales.get(unit, torch.ones_like(root))


def rule_units(rule: Any) -> Mapping[str, Unit]:
    """Return what a base rule's memory is measured in, by key; nothing where a rule of the user's own declares none."""
    return getattr(rule, "units", {})


def memory_units(optimizer: GameOptimizer, state: State) -> dict[str, Unit]:
    """Return what each tensor of a state's memory is measured in; "gradient" where nobody declares it.

    Raises:
        GantoolsError: for a unit that does not exist.
    """
    units: dict[str, Unit] = {}
    for key in state.memory:
        player, _, name = key.rpartition(":")
        known: dict[str, Unit] = {**rule_units(optimizer.rules[player]), **optimizer.memory_units}
        unit = known.get(name, "gradient")
        if unit not in get_args(Unit):
            raise GantoolsError(f"The memory {key!r} has the unit {unit!r}: use {', '.join(get_args(Unit))}.")
        units[key] = unit
    return units


def base_denominator(optimizer: GameOptimizer, w: Tensor, state: State) -> Tensor:
    """Return the divisor of each parameter's step (n,) by its base rule's second moments, in this state."""
    parts = []
    for player, like in optimizer.by_player(w).items():
        memory = state.memory_of(player)
        rule: Any = optimizer.rules[player]
        squares = [key for key, unit in rule_units(rule).items() if unit == "square"]
        if squares:
            # A gradient whose square is the second moment leaves it as it is.
            like = rule.denominator(memory[squares[0]].sqrt(), memory, max(state.counters[player] - 1, 0))[0]
        parts.append(like if squares else torch.ones_like(like))
    return torch.cat(parts)


def step_scales(optimizer: GameOptimizer, w: Tensor, state: State) -> Tensor:
    """Return the scales (m,) of the parameters, then of the memory in its order; see `GameOptimizer.scales`."""
    D = optimizer.by_player(optimizer.denominator(w, state))
    made = {player: max(state.counters[player] - 1, 0) for player in optimizer.game.slices}
    rates = optimizer.rates_at(dataclasses.replace(state, counters={**state.counters, **made}))
    # At a rate of 0, in a schedule, nothing moves: any scale is as good.
    roots = {player: ((rates[player] or 1.0) / divisor).sqrt() for player, divisor in D.items()}
    scales = list(roots.values())
    for key, unit in memory_units(optimizer, state).items():
        player = key.rpartition(":")[0]
        scales.append(unit_scale(unit, roots[player], D[player], state.memory[key].reshape(-1)))
    return torch.cat(scales)
