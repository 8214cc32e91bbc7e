"""Probes of the losses: does every one let the derivative through to all that it depends on?"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gantools.errors import GantoolsError
from gantools.games import functional
from gantools.games.game import Game

REMEDY = (
    "do not detach the fake batch (nor use no_grad); the field already differentiates each player by its own "
    "parameters only."
)


def require_dependence(game: Game, batch: Any, seed: int = 0) -> None:
    """Refuse a game whose Jacobian would be silently wrong because a loss detaches something that players move.

    Nearly every public GAN loop detaches the fake batch in the discriminator's loss. The field is the same without it,
    but a block of the Jacobian vanishes. Two probes:

    - structural: a block that gives exactly zero although the other's field moves with that player, to and fro. The
      size of a finite difference could not tell (in float32 on ReLU nets it is off by up to 200 %), an exact zero can.
    - adjoint: `no_grad` around part of a network hides it from reverse differentiation, but not from dual numbers.

    Cost: two evaluations of the field, a product for each player, and three evaluations for each block that is zero.
    Every evaluation draws the same random numbers, where a loss draws any, and gives them back.
    """
    w, buffers = game.vector(), game.buffers()
    source = torch.Generator().manual_seed(seed)

    def field_at(point: Tensor) -> Tensor:
        with torch.random.fork_rng([game.device] if game.device.type == "cuda" else []):
            return game.field_at(point, buffers, batch).vector

    with torch.enable_grad(), game.frozen(game.modes(dropout=False)):
        point = w.clone().requires_grad_()
        field = field_at(point)
        weights = _normal(w, source)
        pulled = {}
        for row, part in game.slices.items():
            (pulled[row],) = game.gradient(field[part].dot(weights[part]), [point])
            for column, other in game.slices.items():
                if column == row or pulled[row][other].any():
                    continue
                step = torch.zeros_like(w)
                step[other] = (w[other].abs() + w[other].abs().mean() + 1e-3) * _normal(w[other], source)
                if _moves_with(lambda z, part=part: field_at(z)[part], w, step):
                    raise GantoolsError(
                        f"The field of player {row!r} depends on the parameters of {column!r}, but its derivative by "
                        f"them is exactly zero: {REMEDY}"
                    )
        _require_adjoint(game, field_at, weights, pulled, _normal(w, source))


def _require_adjoint(
    game: Game, field_at: Callable[[Tensor], Tensor], weights: Tensor, pulled: dict[str, Tensor], u: Tensor
) -> None:
    r"""Compare $v^\top (J u)$ by dual numbers with $u^\top (J^\top v)$ by reverse differentiation, player by player."""
    try:
        pushed = functional.forward_product(field_at, game.vector(), u)
    except RuntimeError:  # an operation without a forward derivative
        return
    tolerance = torch.finfo(u.dtype).eps ** 0.4  # rounding in float32 reaches 1e-5, a missing path is of order 1
    for row, part in game.slices.items():
        forward, reverse = pushed[part].dot(weights[part]), pulled[row].dot(u)
        # For normal v the rounding of v.(J u) has the size of that of J u, and so the scale is its norm.
        if (forward - reverse).abs() > tolerance * (pushed[part].norm() + pulled[row].norm()):
            raise GantoolsError(
                f"The field of player {row!r} depends on parameters that reverse differentiation does not see: {REMEDY}"
            )


def _normal(like: Tensor, source: torch.Generator) -> Tensor:
    return torch.randn(like.numel(), generator=source).to(like)


def _moves_with(function: Callable[[Tensor], Tensor], w: Tensor, step: Tensor) -> bool:
    """Return whether the function moves one way with a small step and the other way with its opposite.

    It is not enough that it moves: a dead unit that a step wakes stays dead in the opposite direction, and what depends
    on the square of something that is zero moves the same way in both. Their derivatives are truly zero.
    """
    eps = torch.finfo(w.dtype).eps
    here, step = function(w), eps**0.43 * step  # 1e-3 in float32, where rounding reaches 1e-6 of the field
    forth, back = function(w + step) - here, function(w - step) - here
    noticeable = torch.minimum(forth.norm(), back.norm()) > eps**0.72 * here.norm()
    return bool(noticeable & ((forth + back).norm() < 0.5 * (forth.norm() + back.norm())))
