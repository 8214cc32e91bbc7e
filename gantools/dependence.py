"""The structural probe: does every loss let the derivative through to the other players?"""

from typing import Any

import torch
from torch import Tensor

from gantools.errors import GantoolsError
from gantools.game import Game


def require_dependence(game: Game, batch: Any, seed: int = 0) -> None:
    """Refuse a game whose Jacobian would be silently wrong because a loss detaches another player's output.

    Nearly every public GAN loop detaches the fake batch in the discriminator's loss. The field is the same without it,
    but a block of the Jacobian vanishes. The signature: a block that gives exactly zero although moving that player
    does change the other's field. Finite differences could not tell (on ReLU nets in float32 they are off by up to
    200 %), an exact zero can.

    Cost: one evaluation of the field, a product for each player, and an evaluation more for each block that is zero.
    """
    if len(game.slices) < 2:
        return
    source = torch.Generator().manual_seed(seed)
    w, buffers = game.vector(), game.buffers()
    with game.frozen(game.modes(dropout=False)):
        leaves = game.leaves(w)
        field = game.field_of(leaves, buffers, batch, create_graph=True).vector
        for row, part in game.slices.items():
            weights = torch.randn(part.stop - part.start, generator=source).to(field)
            product = game.flatten(game.gradient(field[part].dot(weights), leaves))
            for column, other in game.slices.items():
                if column == row or product[other].any():
                    continue
                moved = w.clone()
                size = w[other].square().mean().sqrt() + 1e-3
                moved[other] += 0.01 * size * torch.randn(other.stop - other.start, generator=source).to(w)
                if _differs(game.field_at(moved, buffers, batch).vector[part], field[part]):
                    raise GantoolsError(
                        f"The field of player {row!r} depends on the parameters of {column!r}, but its derivative by "
                        "them is exactly zero: do not detach the fake batch (nor use no_grad); the field already "
                        "differentiates each player by its own parameters only."
                    )


def _differs(a: Tensor, b: Tensor) -> bool:
    return bool((a - b).norm() > 1e-5 * b.norm())
