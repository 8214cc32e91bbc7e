"""The Jacobian preconditioned as by an adaptive optimizer: rows divided by the roots of the second moments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gantools.analysis.operators.balanced import rows
from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.errors import GantoolsError
from gantools.trainers.scales import memory_units

if TYPE_CHECKING:
    from gantools.trainers.optimizer import GameOptimizer


def preconditioned(J: LinearOperator, optimizer: GameOptimizer) -> LinearOperator:
    r"""Return $D^{-1} J$, where D is the optimizer's present denominator: $\sqrt{\hat v} + \epsilon$ for Adam.

    Near a stationary point, and with second moments that move slowly, a step is $w' = w - h D^{-1} \xi(w)$, so that the
    eigenvalues of $D^{-1} J$, not those of J, bound the step size. For a symmetric J the similar $D^{-1/2} J D^{-1/2}$
    is returned: the same eigenvalues, real, by the symmetric solvers; an eigenvector s of it belongs to $D^{-1/2} s$.
    The whole step, momentum and moving moments included, is `update_operator`.

    Args:
        J: the Jacobian of the optimizer's game, a player's Hessian, or their like (Gauss-Newton), unrestricted.
        optimizer: with a base that has second moments (adam, rmsprop, rmsprop_tf1), after its first step; players
            with another base are divided by 1.

    Raises:
        GantoolsError: before the first step, and for an operator that is not of this game's parameters.
    """
    D = _denominator(optimizer, _players(J, optimizer)).to(J.device, J.dtype)
    if J.symmetric:
        root = D.rsqrt()

        def scaled(u: Tensor) -> Tensor:
            return rows(root, J @ rows(root, u))

        made = LinearOperator(scaled, J.n, J.dtype, J.device, matmat=scaled, symmetric=True, kind=J.kind)
    else:
        inverse = D.reciprocal()

        def product(u: Tensor) -> Tensor:
            return rows(inverse, J @ u)

        def transposed(u: Tensor) -> Tensor:
            return J.T @ rows(inverse, u)

        there = transposed if J.has_transpose else None
        options: dict[str, Any] = {"matmat": product, "rmatvec": there, "rmatmat": there, "kind": J.kind}
        made = LinearOperator(product, J.n, J.dtype, J.device, **options)
    made.slices, made.parameters = J.slices, J.parameters
    return made


def _players(J: LinearOperator, optimizer: GameOptimizer) -> list[str]:
    """Return the players whose parameters make up the operator's vectors, in order."""
    if J.kind == "map":
        raise GantoolsError("An update operator contains its optimizer's second moments already.")
    game, players, offset = optimizer.game, [], 0
    for player, part in J.slices.items():
        own = game.slices.get(player)
        if own is None or part.start != offset or part.stop - part.start != own.stop - own.start:
            break
        players.append(player)
        offset = part.stop
    if offset != J.n:
        raise GantoolsError(
            f"This operator of order {J.n} is not made of whole players of the optimizer's game "
            f"({', '.join(map(repr, game.slices))}): precondition first, then restrict."
        )
    return players


def _denominator(optimizer: GameOptimizer, players: list[str]) -> Tensor:
    state, slices = optimizer.state, optimizer.game.slices
    adaptive = {key.partition(":")[0] for key, unit in memory_units(optimizer, state).items() if unit == "square"}
    for player in players:
        if player in adaptive and state.counters[player] < 1:
            raise GantoolsError(f"The second moments of player {player!r} have seen no gradient: take a step first.")
    D = optimizer.denominator(optimizer.game.vector(), state)
    return torch.cat([D[slices[player]] for player in players])
