"""What a step costs, counted: evaluations of the field, and products with its Jacobian."""

import dataclasses
import re
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gantools.games.game import FieldValue, Game

if TYPE_CHECKING:
    from gantools.trainers.optimizer import GameOptimizer


@dataclasses.dataclass(frozen=True)
class Cost:
    r"""Gradients and products, of one step on average.

    Attributes:
        gradients: evaluations of the field; a player's own part counts by its share of the players.
        products: backward passes through a field's graph. $J^\top u$ is one. So is $J u$, the derivative of
            $v \mapsto J^\top v$, and forming that map is one more, once at each point.
    """

    gradients: float
    products: float

    @property
    def evaluations(self) -> float:
        """Both in one number, a product as dear as a gradient."""
        return self.gradients + self.products

    def __str__(self) -> str:
        gradients = f"{self.gradients:.4g} gradient{'' if self.gradients == 1 else 's'}"
        if not self.products:
            return gradients
        return f"{gradients} + {self.products:.4g} product{'' if self.products == 1 else 's'}"


class Counter:
    """What was evaluated since counting began."""

    def __init__(self) -> None:
        self.gradients = Fraction()
        self.products = Fraction()
        self._inside = False  # of an evaluation of the field, whose own gradients are no products
        self._pulled = Fraction()  # shares of fields that the backward pass under way has gone through

    def cost(self, steps: int = 1) -> Cost:
        """Return what was counted, a step."""
        return Cost(float(self.gradients / steps), float(self.products / steps))


@contextmanager
def counting(game: Game) -> Iterator[Counter]:
    r"""Count what is evaluated of this game within the block, by whatever method.

    A backward pass is told by its way: one that goes through the field itself is a product with $J^\top$, by the share
    of the field (an unrolled step goes through several); any other is one product, $J u$ from the kept map. What a loss
    differentiates by itself, a gradient penalty say, belongs to the gradient.
    """
    counter = Counter()
    field_of, grad, patched = game.field_of, torch.autograd.grad, "field_of" in vars(game)

    def counted_field(*args: Any, **kwargs: Any) -> FieldValue:
        counter._inside, outside = True, counter._inside
        try:
            value = field_of(*args, **kwargs)
        finally:
            counter._inside = outside
        players = kwargs.get("players") or (args[4] if len(args) > 4 else None) or game.slices
        share = Fraction(len(players), len(game.slices))
        counter.gradients += share
        if value.vector.requires_grad and value.vector.grad_fn is not None:
            value.vector.register_hook(lambda gradient: _passed(counter, share))
        return value

    def counted_grad(*args: Any, **kwargs: Any) -> Any:
        if counter._inside:
            return grad(*args, **kwargs)
        counter._pulled = Fraction()
        result = grad(*args, **kwargs)
        counter.products += counter._pulled or 1
        return result

    game.field_of, torch.autograd.grad = counted_field, counted_grad  # type: ignore[method-assign]
    try:
        yield counter
    finally:
        torch.autograd.grad = grad
        if patched:
            game.field_of = field_of  # type: ignore[method-assign]
        else:
            del game.field_of  # type: ignore[attr-defined]


def _passed(counter: Counter, share: Fraction) -> Tensor | None:
    counter._pulled += share
    return None


def measured(optimizer: "GameOptimizer", *batches: Any) -> Cost:
    """Return what a step costs from here, averaged over one period; nothing moves.

    A method that solves an equation within its step costs what it costs at this point.
    """
    game, state = optimizer.game, optimizer.state
    complete, _ = optimizer.complete(batches)
    w = game.vector()
    state = dataclasses.replace(state, buffers=game.buffers())
    with torch.no_grad(), counting(game) as counter:
        for _ in range(optimizer.period):
            w, state = optimizer.update(w, state, *complete)
    return counter.cost(optimizer.period)


_FIXED = re.compile(r"(?P<gradients>[\d.]+) gradients?( \+ (?P<products>[\d.]+) products?)?")


def stated(text: str) -> Cost | None:
    """Return the cost that "1 gradient + 2 products" states; None for a text that leaves it open."""
    found = _FIXED.fullmatch(text)
    return found and Cost(float(found["gradients"]), float(found["products"] or 0))
