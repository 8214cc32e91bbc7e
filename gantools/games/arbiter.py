r"""One judge, outside autograd, of what a game's field and its derivatives are.

Two questions, each asked once of a game and its losses, on the first few samples of a batch:

- *the field*: is it what plain autograd gives on the user's own modules, where they stand and at a point near by? It is
  not, where a loss captured parameters from outside, a module keeps weights outside its parameters, or a backward pass
  runs the module again.
- *its derivatives*: are $v^\top (J u)$ by reverse differentiation and $J u$ by dual numbers central differences of the
  field, block by block of the players? They are not, where a function leaves PyTorch, or has a wrong rule.

Differences are taken in float64 whatever the game is in, at a point where no kink of an activation is met by design
(zero biases at zero inputs), and are trusted only as far as two step sizes agree.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gantools.batches import map_tensors
from gantools.errors import GantoolsError
from gantools.games import functional
from gantools.games.plain_field import few, require_field, same_draws, shift, sizes, undisturbed

if TYPE_CHECKING:
    from gantools.games.game import Game

# Steps, relative to the size of the parameters, tried until two of them agree: in float64, and for losses that compute
# in float32 whatever they are given.
STEPS = ((1e-5, 3e-6), (1e-3, 3e-4), (1e-7, 3e-8))
ACCURATE = 1e-4  # relative error of a product that is called right
WRONG = 1e-3  # relative error of one that is called wrong


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What was found about the derivatives of a game's field.

    Attributes:
        forward: whether dual numbers give the right products; None where an operation has no rule for them.
        error: the largest relative error of a block by reverse differentiation.
        decided: whether differences were accurate enough to tell.
    """

    forward: bool | None
    error: float
    decided: bool


def judge(game: Game, batch: Any) -> Verdict:
    """Judge the field of a game, once, and its derivatives by reverse and forward differentiation; see `Verdict`.

    Cost: four evaluations of the field (two plain ones among them), and for each player four more, one backward pass
    and one forward product, all on a few samples.

    Raises:
        GantoolsError: for a field that is not what plain autograd gives, or whose derivative by reverse
            differentiation is wrong.
    """
    if game.verdict is None:
        require_field(game, batch)
        with undisturbed(game):
            game.verdict = _Judgement(game, few(game, batch)).verdict()
    return game.verdict


class _Judgement:
    """Products of a game's Jacobian at a point near by, by differences and by autograd, block by block."""

    def __init__(self, game: Game, batch: Any):
        self.game = game
        buffers, w = game.buffers(), game.vector()
        point = w + shift(w)
        wide = self._double(buffers), point.double(), self._double(batch)
        self.buffers, self.point, self.batch = wide
        try:
            self.value = self.field(self.point)
        except RuntimeError:  # a tensor of another precision that the loss brings along
            self.buffers, self.point, self.batch = buffers, point, batch
            self.value = self.field(self.point)
        source = torch.Generator().manual_seed(2)
        self.direction = sizes(self.point) * torch.randn(len(w), generator=source).to(self.point)
        self.weights = torch.randn(len(w), generator=source).to(self.point)

    def _double(self, tree: Any) -> Any:
        def wider(x: Tensor) -> Tensor:
            return x.to(torch.promote_types(x.dtype, torch.float64)) if x.is_floating_point() or x.is_complex() else x

        return map_tensors(wider, tree)

    def field(self, w: Tensor) -> Tensor:
        """Return the field at w (n,), differentiable where w is."""
        leaves = self.game.layout.unflatten(w, w.dtype)
        if not w.requires_grad:
            leaves = [leaf.detach().requires_grad_() for leaf in leaves]
        with same_draws(self.game):
            create_graph = w.requires_grad and not functional.is_dual(w)
            vector = self.game.field_of(leaves, self.buffers, self.batch, create_graph).vector
        return vector if w.requires_grad else vector.detach()

    def along(self, player: str) -> Tensor:
        """Return the direction (n,) in which only this player moves."""
        u = torch.zeros_like(self.point)
        part = self.game.slices[player]
        u[part] = self.direction[part]
        return u

    def verdict(self) -> Verdict:
        """Compare all blocks."""
        pulled = self._pulled()
        worst, decided, forward = 0.0, True, True
        for column in self.game.slices:
            u = self.along(column)
            pushed = self._pushed(u)
            forward = None if pushed is None else forward
            for row, part in self.game.slices.items():
                reverse = pulled[row].dot(u)
                found, sure = self._compare(u, lambda d, part=part: d[part].dot(self.weights[part]), reverse, part)
                if sure and found > WRONG:
                    raise GantoolsError(self._sentence(row, column, found))
                worst, decided = max(worst, found), decided and sure
                if pushed is not None:
                    found, sure = self._compare(u, lambda d, part=part: d[part], pushed[part], part)
                    forward = forward and not (sure and found > WRONG)
        return Verdict(forward, worst, decided)

    def _pulled(self) -> dict[str, Tensor]:
        point = self.point.clone().requires_grad_()
        try:
            field = self.field(point)
            products = {row: field[part].dot(self.weights[part]) for row, part in self.game.slices.items()}
            return {row: self.game.gradient(product, [point])[0] for row, product in products.items()}
        except RuntimeError as error:
            if not functional.lacks_derivative(error):
                raise
            raise functional.no_derivative(error) from error

    def _pushed(self, u: Tensor) -> Tensor | None:
        try:
            return functional.forward_product(self.field, self.point, u)
        except RuntimeError:  # an operation without a rule
            return None

    def _compare(self, u: Tensor, of: Callable[[Tensor], Tensor], got: Tensor, part: slice) -> tuple[float, bool]:
        """Return the relative error of what autograd says of a block, and whether the differences could tell."""
        best = 0.0
        for steps in STEPS:
            coarse, fine = (self._difference(u, step) for step in steps)
            size = float(fine[part].norm()) * (1.0 if got.dim() else float(self.weights[part].norm()) / len(u) ** 0.5)
            floor = 1e-9 * float(self.value[part].norm()) + 1e-9 * float(fine.norm())
            rounding = 100 * torch.finfo(fine.dtype).eps * float(self.value[part].norm()) / steps[1]
            noise = float((of(coarse) - of(fine)).norm()) + rounding
            error = float((of(fine) - got).norm())
            if error <= ACCURATE * size + 3 * noise + floor and noise <= 0.01 * size + floor:
                return error / max(size, floor, 1e-300), True
            if error > 30 * noise:
                best = max(best, error / max(size, floor, 1e-300))
                return best, True
        return best, False

    def _difference(self, u: Tensor, step: float) -> Tensor:
        return (self.field(self.point + step * u) - self.field(self.point - step * u)) / (2 * step)

    def _sentence(self, row: str, column: str, error: float) -> str:
        by = "its own parameters" if row == column else f"the parameters of {column!r}"
        return (
            f"The derivative of the field of player {row!r} by {by} is off by {error:.1%} of a central difference: "
            "something in the loss leaves PyTorch (NumPy, .item()), or has a wrong derivative of its own (a custom or "
            "compiled function)."
        )
