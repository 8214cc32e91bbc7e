"""Probes of the losses: does every one let the derivative through to all that it depends on?"""

from typing import Any

import torch
from torch import Tensor

from gantools import functional
from gantools.errors import GantoolsError
from gantools.game import Game

REMEDY = (
    "do not detach the fake batch (nor use no_grad); the field already differentiates each player by its own "
    "parameters only."
)


def require_dependence(game: Game, batch: Any, seed: int = 0) -> None:
    """Refuse a game whose Jacobian would be silently wrong because a loss detaches something that players move.

    Nearly every public GAN loop detaches the fake batch in the discriminator's loss. The field is the same without it,
    but a block of the Jacobian vanishes. Two probes:

    - structural: a block that gives exactly zero although moving that player does change the other's field. Finite
      differences could not tell (on ReLU nets in float32 they are off by up to 200 %), an exact zero can.
    - adjoint: `no_grad` around part of a network hides it from reverse differentiation, but not from dual numbers.

    Cost: two evaluations of the field, a product for each player, and an evaluation more for each block that is zero.
    Random numbers that the loss draws are given back.
    """
    w, buffers = game.vector(), game.buffers()
    source = torch.Generator().manual_seed(seed)
    devices = [game.device] if game.device.type == "cuda" else []
    with torch.random.fork_rng(devices), game.frozen(game.modes(dropout=False)):
        leaves = game.leaves(w)
        field = game.field_of(leaves, buffers, batch, create_graph=True).vector
        weights = _normal(w, source)
        pulled = {}
        for row, part in game.slices.items():
            pulled[row] = game.flatten(game.gradient(field[part].dot(weights[part]), leaves))
            for column, other in game.slices.items():
                if column == row or pulled[row][other].any():
                    continue
                moved = w.clone()
                moved[other] += 0.001 * (w[other].square().mean().sqrt() + 1e-3) * _normal(w[other], source)
                if _differs(game.field_at(moved, buffers, batch).vector[part], field[part]):
                    raise GantoolsError(
                        f"The field of player {row!r} depends on the parameters of {column!r}, but its derivative by "
                        f"them is exactly zero: {REMEDY}"
                    )
        _require_adjoint(game, batch, buffers, weights, pulled, _normal(w, source))


def _require_adjoint(
    game: Game, batch: Any, buffers: dict[str, Tensor], weights: Tensor, pulled: dict[str, Tensor], u: Tensor
) -> None:
    r"""Compare $v^\top (J u)$ by dual numbers with $u^\top (J^\top v)$ by reverse differentiation, player by player."""
    try:
        pushed = functional.forward_product(lambda w: game.field_at(w, buffers, batch).vector, game.vector(), u)
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


def _differs(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).norm() > 1e-5 * b.norm())
