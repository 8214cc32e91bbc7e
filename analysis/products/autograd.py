r"""Products with the Jacobian of a function $F: \mathbb{R}^n \to \mathbb{R}^n$ that autograd can differentiate.

Two ways, with different costs; `recorded` has two more:

- *reverse*: the graph of $F$ is built once and kept. $J^\top u$ is one backward pass; $J u$ differentiates
  $v \mapsto J^\top v$, which is linear, in a second kept graph. Cheap products, memory for both graphs.
- *forward*: dual numbers. $J u$ evaluates $F$ once more; nothing is kept.
"""

import sys
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import torch
from torch import Tensor

from gantools.analysis.products.batching import Batching, timed
from gantools.analysis.products.memory import Room
from gantools.errors import GantoolsError
from gantools.games.functional import forward_product, lacks_derivative, no_derivative
from gantools.games.plain_field import sizes
from gantools.random_vectors import normal_entries

Function = Callable[[Tensor], Tensor]


_SHAPES = "torch.fx.experimental.symbolic_shapes"
NOISE = 10.0  # products in which everything is rounding differ by so many moves of their function


class DerivativesDisagreeError(GantoolsError):
    """Forward and reverse differentiation of the same function give different products."""

    def __init__(self) -> None:
        super().__init__(
            "Forward and reverse derivatives of the field disagree: a function in a loss has a wrong derivative. With "
            "check=True the arbiter finds out which are right; method='reverse' takes those of backward passes."
        )


def operations(output: Tensor) -> int:
    """Return the number of operations in the graph that leads to a tensor."""
    seen, ahead = set(), [output.grad_fn]
    while ahead:
        step = ahead.pop()
        if step is not None and step not in seen:
            seen.add(step)
            ahead += [before for before, _ in step.next_functions]
    return len(seen)


class Products(Protocol):
    """Products of one vector (n,) or of a block (n, k) with J and its transpose."""

    def product(self, u: Tensor) -> Tensor:
        """Return J u."""
        ...

    def transposed(self, u: Tensor) -> Tensor:
        """Return J^T u."""
        ...


def linear_map(output: Tensor, by: Tensor, u: Tensor, batched: bool = False, create_graph: bool = False) -> Tensor:
    """Return the vector-Jacobian product of `output` by `by`, zero where there is no dependence."""
    if not output.requires_grad:
        return torch.zeros(u.shape[:-1] + by.shape, dtype=by.dtype, device=by.device)
    seed: Tensor | None = u
    if not batched and _SHAPES not in sys.modules and output.dtype == u.dtype:
        # The same product to the last bit; a vector to begin with makes PyTorch load SymPy, which takes a second.
        with torch.enable_grad():
            output, seed = output.dot(u), None
    (result,) = torch.autograd.grad(
        output, by, seed, retain_graph=True, create_graph=create_graph, is_grads_batched=batched, allow_unused=True
    )
    return torch.zeros(u.shape[:-1] + by.shape, dtype=by.dtype, device=by.device) if result is None else result


class ReverseProducts:
    """Products through kept graphs of the function at a point.

    The second graph, which J u needs, is not made where memory has no room for it: dual numbers take its place, once
    they are seen to fit the products with the transpose.

    Args:
        function: F.
        point: (n,), where it is differentiated.
        symmetric: whether J = J^T, so that J u takes one backward pass instead of two.
        batching: measurements of blocks of products of similar functions, by kind of product, and whether there is room
            for their second graphs; updated in place.
        measure: whether a clock may decide how blocks are computed; without it the same numbers come every time.
    """

    def __init__(
        self,
        function: Function,
        point: Tensor,
        symmetric: bool = False,
        batching: dict[str, Any] | None = None,
        measure: bool = True,
    ):
        self._measure = measure
        self._function = function
        self._symmetric = symmetric
        self.point = point.detach().clone()
        self._input = self.point.clone().requires_grad_()
        with torch.enable_grad():
            self.output = function(self._input)
        self.value = self.output.detach()
        self._dual: tuple[Tensor, Tensor] | None = None
        self._batching = {} if batching is None else batching
        self._room = self._batching.setdefault("room", Room())
        self._dual_numbers_fit: bool | None = None

    @property
    def has_room(self) -> bool:
        """Whether memory had room for the second graph, or was not asked for it."""
        return self._room.found is not False

    def transposed(self, u: Tensor) -> Tensor:
        return self._apply("transposed", self.output, self._input, u)

    def product(self, u: Tensor) -> Tensor:
        if self._symmetric:
            return self.transposed(u)
        if self._dual is None and not self._room.has(self.output, self._input) and self._may_recompute():
            columns = [u] if u.dim() == 1 else list(u.T.contiguous())
            products = [forward_product(self._function, self.point, column) for column in columns]
            return products[0] if u.dim() == 1 else torch.stack(products, dim=1)
        if self._dual is None:
            dummy = torch.zeros_like(self.output, requires_grad=True)
            with torch.enable_grad():
                self._dual = linear_map(self.output, self._input, dummy, create_graph=True), dummy
        return self._apply("product", *self._dual, u)

    def _may_recompute(self) -> bool:
        """Return whether dual numbers give products that fit those with the transpose: |v|^2 = (J^T v) u of v = J u."""
        if self._dual_numbers_fit is None:
            u = probe(self.point, 1)
            try:
                v = forward_product(self._function, self.point, u)
            except RuntimeError as error:  # an operation without a forward derivative
                if isinstance(error, torch.OutOfMemoryError):
                    raise
                self._dual_numbers_fit = False
            else:
                size = v.square().sum()
                self._dual_numbers_fit = bool((size - self.transposed(v).dot(u)).abs() <= rounding(u.dtype) * size)
        return self._dual_numbers_fit

    def _apply(self, which: str, output: Tensor, by: Tensor, u: Tensor) -> Tensor:
        if u.dim() == 1:
            return linear_map(output, by, u)
        batching = self._batching.setdefault(which, Batching(self._measure))
        return batching.apply(
            lambda row: linear_map(output, by, row), lambda rows: linear_map(output, by, rows, batched=True), u
        )


class ForwardProducts:
    """Products by dual numbers: each evaluates the function once more. The first transposed one builds a graph."""

    def __init__(self, function: Function, point: Tensor):
        self._function = function
        self._point = point.detach().clone()
        self._reverse: ReverseProducts | None = None

    def product(self, u: Tensor) -> Tensor:
        if u.dim() == 2:
            return torch.stack([self.product(column) for column in u.T.contiguous()], dim=1)
        try:
            return forward_product(self._function, self._point, u)
        except RuntimeError as error:
            if not lacks_derivative(error):
                raise
            raise GantoolsError(f"{no_derivative(error)} Or use method='auto' or 'reverse'.") from error

    def transposed(self, u: Tensor) -> Tensor:
        if self._reverse is None:
            self._reverse = ReverseProducts(self._function, self._point)
        return self._reverse.transposed(u)


class MeanProducts:
    """Products with the weighted mean of Jacobians: one graph at a time is alive, so memory is that of one batch."""

    def __init__(
        self, functions: Callable[[], Iterable[tuple[float, Function]]], point: Tensor, make: Callable[..., Products]
    ):
        self._functions = functions
        self._point = point.detach().clone()
        self._make = make

    def product(self, u: Tensor) -> Tensor:
        return self._mean(lambda products: products.product(u), u)

    def transposed(self, u: Tensor) -> Tensor:
        return self._mean(lambda products: products.transposed(u), u)

    def _mean(self, apply: Callable[[Products], Tensor], u: Tensor) -> Tensor:
        total, weights = torch.zeros_like(u), 0.0
        for weight, function in self._functions():
            total += weight * apply(self._make(function, self._point))
            weights += weight
        return total / weights


class MixedProducts:
    """Products in forward mode, except with blocks if reverse mode, which batches them, is faster on the first one."""

    def __init__(self, forward: Products, reverse: Products):
        self._forward = forward
        self._reverse = reverse
        self._for_blocks: Products | None = None

    def product(self, u: Tensor) -> Tensor:
        if u.dim() == 1 or u.shape[1] == 1:
            return self._forward.product(u)
        if self._for_blocks is None:
            few = u[:, :4]
            self._reverse.product(few)
            forth, back = (timed(lambda p=p: p.product(few), u.device)[1] for p in (self._forward, self._reverse))
            self._for_blocks = self._forward if forth < back else self._reverse
        return self._for_blocks.product(u)

    def transposed(self, u: Tensor) -> Tensor:
        return self._reverse.transposed(u)


def forward_pays(
    function: Function, reverse: Products, forward: Products, point: Tensor, rebuild: Callable[[], Products] | None
) -> bool:
    """Return whether forward mode makes products with one vector faster here; measured.

    One product each way, and a second only where the first is close: the choice must not cost what it saves.

    Args:
        function: what is differentiated.
        reverse: its products through kept graphs.
        forward: its products by dual numbers.
        point: where it is differentiated.
        rebuild: builds `reverse` anew, where several batches make that part of every product; else None.

    Raises:
        DerivativesDisagreeError: when both ways work and disagree.
    """
    u = probe(point)

    def backwards() -> Tensor:
        return (reverse if rebuild is None else rebuild()).product(u)

    expected, backward = timed(backwards, u.device)
    try:
        got, forth = timed(lambda: forward.product(u), u.device)
    except (RuntimeError, GantoolsError):  # an operation without a forward derivative
        return False
    if not expected.isfinite().all():  # nothing to choose by
        return False
    if differ(got, expected, function, point, u):
        raise DerivativesDisagreeError
    if forth < 2 * backward:
        forth = min(forth, timed(lambda: forward.product(u), u.device)[1])
        backward = min(backward, timed(backwards, u.device)[1])
    # Reverse mode serves the transpose as well, so forward mode must win clearly.
    return forth < 0.8 * backward


def probe(point: Tensor, seed: int = 0) -> Tensor:
    """Return a fixed normal vector like the point, to compare two ways of computing a product."""
    return normal_entries(seed, 0, point.numel(), point.dtype, point.device)


def differ(a: Tensor, b: Tensor, function: Function, point: Tensor, u: Tensor) -> bool:
    """Return whether two ways to compute the product of a function's Jacobian with u differ by more than rounding."""
    apart = float((a - b).norm())
    if apart <= rounding(a.dtype) * float(a.norm() + b.norm()):
        return False
    # Where the products are themselves rounding (a Jacobian that is zero, a net fitted to the last digit), so is what
    # sets them apart: as large as the moves of the function where the point moves by its rounding.
    size, epsilon = sizes(point), torch.finfo(point.dtype).eps
    value = function(point).detach()
    near = [point + 4 * epsilon * size * probe(point, seed) for seed in range(1, 4)]
    moves = max(float((function(w).detach() - value).norm()) for w in near)
    return not apart <= NOISE * moves * float((u / size).abs().max())


def rounding(dtype: torch.dtype) -> float:
    """Return the relative difference allowed between two ways to a product: 8e-4 in float32, 9e-8 in float64."""
    return torch.finfo(dtype).eps ** 0.45
