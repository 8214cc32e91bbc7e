"""The cost of an optimizer's step, counted in evaluations of the field and products with its Jacobian."""

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import torch
from torch.overrides import TorchFunctionMode

from gantools.games.game import FieldValue, Game

if TYPE_CHECKING:
    from gantools.trainers.optimizer import GameOptimizer


@dataclasses.dataclass(frozen=True)
class Cost:
    r"""Gradients and products that one step takes, on average.

    Attributes:
        gradients: evaluations of the field; a player's own part counts by its share of the players.
        products: backward passes through a field's graph. $J^\top u$ is one. So is $J u$, the derivative of
            $v \mapsto J^\top v$, and forming that map is one more, once at each point.
    """

    gradients: float
    products: float

    @property
    def evaluations(self) -> float:
        """Gradients and products together: one costs about as much as the other."""
        return self.gradients + self.products

    def __str__(self) -> str:
        gradients = f"{self.gradients:.4g} gradient{'' if self.gradients == 1 else 's'}"
        if not self.products:
            return gradients
        return f"{gradients} + {self.products:.4g} product{'' if self.products == 1 else 's'}"


class Counter:
    """Evaluations of the field and products with its Jacobian since counting began.

    Attributes:
        gradients: evaluations of the field, a player's own part by its share of the players.
        products: backward passes through a field's graph.
    """

    def __init__(self) -> None:
        self.gradients = Fraction()
        self.products = Fraction()
        self._inside = False  # during an evaluation of the field, whose own gradients are no products
        self._pulled = Fraction()  # shares of the fields that the present backward pass has gone through

    def cost(self, steps: int = 1) -> Cost:
        """Return the counts divided by the number of steps."""
        return Cost(float(self.gradients / steps), float(self.products / steps))


class _GradientCalls(TorchFunctionMode):
    """Counts calls of `torch.autograd.grad` outside evaluations of the field, while it is the active mode."""

    def __init__(self, counter: Counter):
        super().__init__()
        self.counter = counter

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        counter = self.counter
        counted = func is torch.autograd.grad and not counter._inside
        if counted:
            counter._pulled = Fraction()
        result = func(*args, **(kwargs or {}))
        if counted:
            counter.products += counter._pulled or 1
        return result


@contextmanager
def counting(game: Game) -> Iterator[Counter]:
    r"""Count evaluations of this game's field and products with its Jacobian within the block.

    Backward passes are told apart by their path. One that goes through a field is a product with $J^\top$ and counts by
    the field's share of the players (an unrolled step goes through several); any other is one product, $J u$ from the
    kept map. A gradient inside a loss, such as a gradient penalty, belongs to the evaluation of the field.
    """
    counter = Counter()
    field_of, patched = game.field_of, "field_of" in vars(game)

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

    game.field_of = counted_field  # type: ignore[method-assign]
    try:
        with _GradientCalls(counter):
            yield counter
    finally:
        if patched:
            game.field_of = field_of  # type: ignore[method-assign]
        else:
            del game.field_of  # type: ignore[attr-defined]


def _passed(counter: Counter, share: Fraction) -> None:
    counter._pulled += share


def measured(optimizer: "GameOptimizer", *batches: Any) -> Cost:
    """Return the cost of a step at the present point, averaged over one period; nothing moves.

    The cost of a method that solves an equation within its step depends on the point.
    """
    game, state = optimizer.game, optimizer.state
    complete, _ = optimizer.complete(batches)
    w = game.vector()
    state = dataclasses.replace(state, buffers=game.buffers())
    with torch.no_grad(), counting(game) as counter:
        for _ in range(optimizer.period):
            w, state = optimizer.update(w, state, *complete)
    return counter.cost(optimizer.period)
