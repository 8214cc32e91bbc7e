"""The Jacobian of a sharded game's field: products, and checks whose outcome is the same in every process."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gantools.analysis.operators.algebra import block_product, kept
from gantools.analysis.operators.differentiation import DifferentiatedOperator, Differentiation
from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.analysis.products import checks
from gantools.analysis.products.autograd import Function, MeanProducts, linear_map, rounding
from gantools.analysis.sharding.space import SharedSpace, Space
from gantools.errors import GantoolsError, NonFiniteFieldError
from gantools.games import arbiter
from gantools.games.functional import forward_product
from gantools.games.game import Game
from gantools.games.plain_field import sizes
from gantools.games.sharding.division import gathered_again
from gantools.games.sharding.layout import ShardedLayout
from gantools.games.sharding.sharded import Shards

WRONG = 0.05  # relative error of a product, against a central difference, that is refused


class ShardedProducts:
    """Products through kept graphs, as `ReverseProducts`, that keep no gathered parameter; blocks go column by column.

    Args:
        function: F, of which this process has a range of the entries, of the range of its argument.
        point: (held,), where it is differentiated.
        symmetric: whether J = J^T.
        forward: whether J u is made by dual numbers, without a second graph.
    """

    def __init__(self, function: Function, point: Tensor, symmetric: bool = False, forward: bool = False, **_: Any):
        self.point, self._function = point, function
        self._input = point.detach().requires_grad_()
        with torch.enable_grad():
            self.output = function(self._input)
        self.value = self.output.detach()
        self._symmetric, self._forward = symmetric, forward
        self._dual: tuple[Tensor, Tensor] | None = None

    def transposed(self, u: Tensor) -> Tensor:
        if u.dim() == 2:
            return torch.stack([self.transposed(column) for column in u.T.contiguous()], dim=1)
        return linear_map(self.output, self._input, u)

    def product(self, u: Tensor) -> Tensor:
        if u.dim() == 2:
            return torch.stack([self.product(column) for column in u.T.contiguous()], dim=1)
        if self._forward:
            return forward_product(self._function, self.point, u)
        if self._symmetric:
            return self.transposed(u)
        if self._dual is None:
            dummy = torch.zeros_like(self.output, requires_grad=True)
            with torch.enable_grad(), gathered_again():
                self._dual = linear_map(self.output, self._input, dummy, create_graph=True), dummy
        return linear_map(*self._dual, u)


def sharded_operator(derivative: Differentiation, check: bool) -> DifferentiatedOperator:
    """Return the operator on vectors of which each process holds a range; see `gantools.sharded`."""
    if derivative.method not in ("reverse", "forward"):
        raise GantoolsError(f"method={derivative.method!r} is not for sharded games: use 'reverse' or 'forward'.")
    game, forward = derivative.snapshot.game, derivative.method == "forward"
    layout, processes = game.layout, game.replicas
    assert isinstance(layout, ShardedLayout) and isinstance(processes, Shards)
    space = SharedSpace(layout.division, game.device)
    judged = check and not processes.divides(game)
    if judged:  # the modules hold their parameters whole, so that each process can judge its part of the batch
        verdict = arbiter.judge(game, derivative.first, forward=forward)
        checks.require_repeatable(verdict)
        verdict.require_derivatives()
        if forward and verdict.forward is False:
            raise GantoolsError("Dual numbers give wrong products of this field: use method='reverse'.")
    function, point = derivative.function(derivative.first), derivative.snapshot.point
    make = partial(ShardedProducts, symmetric=derivative.symmetric, forward=forward)
    first = make(function, point)
    norm = float(space.norm(first.value, dtype=torch.float64))
    if not norm < float("inf"):
        raise NonFiniteFieldError("The field is NaN or infinite at these parameters: there is no Jacobian to analyse.")
    if check:
        derivative = _checked(derivative, function, first, space, compare=not judged)
        if not derivative.one_gradient:
            make = partial(ShardedProducts, forward=forward)
            first = make(function, point)
    derivative.require_same_order()
    products: Any = MeanProducts(derivative.weighted, point, make) if derivative.several else first
    symmetric, slices = derivative.symmetric, derivative.snapshot.slices
    operator = DifferentiatedOperator(products, derivative.method, slices, point, symmetric=symmetric, space=space)
    operator.parameters = derivative.snapshot.parameters
    operator.field_norm = None if derivative.several else norm
    operator.remark = _held(space)
    if not derivative.one_gradient:
        operator.remark = f"{operator.remark}. {checks.SURROGATE}"
    operator.restricted = partial(_part, operator, derivative.snapshot.game)
    return operator


class _BlockProducts:
    """Products with the block of some entries (k,) of an operator, made by whole ones."""

    def __init__(self, whole: LinearOperator, where: Tensor):
        self.product, self.transposed = block_product(whole, where), block_product(whole.T, where)


def _part(whole: DifferentiatedOperator, game: Game, where: Tensor) -> DifferentiatedOperator:
    """Return the block of some entries, see `algebra.indices`; of one player's it is symmetric where its loss is whole.

    Then its products are those of the transpose: $J^T u$ gathers one layer at a time, $J u$ all of u besides.
    """
    space, products = whole.space.part(where), _BlockProducts(whole, where)
    before = (whole.space.below(where, [part.start, part.stop]) for part in game.slices.values())
    symmetric = whole.symmetric or any(stop - start == space.n for start, stop in before)
    if symmetric and not whole.symmetric:
        if game.module.stops.met:
            v = space.normal(whole.dtype, whole.device, torch.Generator().manual_seed(3))
            symmetric = not _differ(products.product(v), products.transposed(v), space)
        products = _BlockProducts(whole.T, where) if symmetric else products
    slices, like = kept(whole.slices, where, whole.space), torch.empty(0, dtype=whole.dtype, device=whole.device)
    block = DifferentiatedOperator(products, whole.method, slices, like, symmetric=symmetric, space=space)
    block.parameters, block.remark = kept(whole.parameters, where, whole.space), _held(space)
    return block


def _held(space: Space) -> str:
    return f"Of {space.n} entries this process holds {space.start} to {space.stop}"


def _differ(forth: Tensor, back: Tensor, space: Space) -> bool:
    """Return whether a product with a matrix and with its transpose are those of one that is not symmetric."""
    error, sizes = (space.norm(x, dtype=torch.float64) for x in (forth - back, torch.stack([forth, back], dim=1)))
    return bool(error > 0.3 * rounding(forth.dtype) * sizes)


def _checked(
    derivative: Differentiation, function: Function, products: ShardedProducts, space: SharedSpace, compare: bool
) -> Differentiation:
    """Refuse a field that differs between evaluations or has a wrong derivative; find one that is no gradient."""

    def size(x: Tensor) -> float:
        return float(space.norm(x, dtype=torch.float64))

    point, generator = products.point, torch.Generator().manual_seed(3)
    v = space.normal(point.dtype, point.device, generator)
    if size(function(point).detach() - products.value) > torch.finfo(point.dtype).eps ** 0.75 * size(products.value):
        raise GantoolsError(checks.DIFFERS)
    pulled = products.transposed(v)
    if not size(pulled) < float("inf"):
        raise NonFiniteFieldError(
            "The field is finite, but its derivative is NaN or infinite: a loss is not twice differentiable at these "
            "parameters (a norm or a root at zero, a power below 2). Add a small number under the root, or move away."
        )
    if derivative.symmetric and derivative.snapshot.game.module.stops.met:
        # What stops gradients may make it another matrix than that of second derivatives.
        forth, back = ShardedProducts(function, point).product(v), pulled
        if _differ(forth, back, space):
            derivative = dataclasses.replace(derivative, one_gradient=False)
            products = ShardedProducts(function, point)
    if compare:
        _compare(function, products, sizes(point) * v, size)
    return derivative


def _compare(function: Function, products: ShardedProducts, u: Tensor, size: Callable[[Tensor], float]) -> None:
    """Refuse products that are no central differences of the field, where two step sizes agree what these are."""
    point, h = products.point, torch.finfo(products.point.dtype).eps ** (1 / 3)
    wide, narrow = (
        (function(point + step * u).detach() - function(point - step * u).detach()) / (2 * step) for step in (h, h / 3)
    )
    error = size(narrow - products.product(u))
    if error > max(WRONG * size(narrow), 3 * size(wide - narrow)):
        raise GantoolsError(
            f"The derivative of the field is off by {error / size(narrow):.1%} of a central difference: something in "
            "the loss leaves PyTorch (NumPy, .item(), .data), or has a wrong derivative of its own (a custom or "
            "compiled function)."
        )
