r"""Products with the Jacobian of a function $F: \mathbb{R}^n \to \mathbb{R}^n$ that autograd can differentiate.

Two ways, with different costs:

- *reverse*: the graph of $F$ is built once and kept. $J^\top u$ is one backward pass; $J u$ differentiates
  $v \mapsto J^\top v$, which is linear, in a second kept graph. Cheap products, memory for both graphs.
- *forward*: dual numbers. $J u$ evaluates $F$ once more; nothing is kept.
"""

import time
import warnings
from collections.abc import Callable, Iterable
from typing import Protocol

import torch
from torch import Tensor

from gantools.functional import forward_product

Function = Callable[[Tensor], Tensor]
BLOCK = 64


class DerivativesDisagreeError(ArithmeticError):
    """Forward and reverse differentiation of the same function give different products."""


class Products(Protocol):
    """Products of one vector (n,) or of a block (n, k) with J and its transpose."""

    def product(self, u: Tensor) -> Tensor:
        """Return J u."""
        ...

    def transposed(self, u: Tensor) -> Tensor:
        """Return J^T u."""
        ...


def _linear_map(output: Tensor, by: Tensor, u: Tensor, batched: bool = False, create_graph: bool = False) -> Tensor:
    """Return the vector-Jacobian product of `output` by `by`, zero where there is no dependence."""
    if not output.requires_grad:
        return torch.zeros(u.shape[:-1] + by.shape, dtype=by.dtype, device=by.device)
    (result,) = torch.autograd.grad(
        output, by, u, retain_graph=True, create_graph=create_graph, is_grads_batched=batched, allow_unused=True
    )
    return torch.zeros(u.shape[:-1] + by.shape, dtype=by.dtype, device=by.device) if result is None else result


class ReverseProducts:
    """Products through kept graphs of the function at a point.

    Args:
        function, point: what is differentiated, and where.
        symmetric: whether J = J^T, so that J u takes one backward pass instead of two.
        batching: what was measured about blocks of products on a like function; it is added to.
    """

    def __init__(
        self, function: Function, point: Tensor, symmetric: bool = False, batching: dict[str, bool] | None = None
    ):
        self._symmetric = symmetric
        self.point = point.detach().clone()
        self._input = self.point.clone().requires_grad_()
        with torch.enable_grad():
            self._output = function(self._input)
        self.value = self._output.detach()
        self._dual: tuple[Tensor, Tensor] | None = None
        self._batching = {} if batching is None else batching

    def transposed(self, u: Tensor) -> Tensor:
        return self._apply("transposed", self._output, self._input, u)

    def product(self, u: Tensor) -> Tensor:
        if self._symmetric:
            return self.transposed(u)
        if self._dual is None:
            dummy = torch.zeros_like(self._output, requires_grad=True)
            with torch.enable_grad():
                self._dual = _linear_map(self._output, self._input, dummy, create_graph=True), dummy
        return self._apply("product", *self._dual, u)

    def _apply(self, which: str, output: Tensor, by: Tensor, u: Tensor) -> Tensor:
        if u.dim() == 1:
            return _linear_map(output, by, u)
        rows = u.T.contiguous()
        if len(rows) > 1 and which not in self._batching:
            self._batching[which] = _batching_pays(output, by, rows)
        if len(rows) == 1 or not self._batching[which]:
            return torch.stack([_linear_map(output, by, row) for row in rows], dim=1)
        return torch.cat([_linear_map(output, by, part, batched=True) for part in rows.split(BLOCK)]).T


def _batching_pays(output: Tensor, by: Tensor, rows: Tensor) -> bool:
    """Measure whether a block of products beats single ones here: it does in dense layers, not in every convolution."""
    rows = rows[:8]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # torch warns where it would loop over the block behind the scenes
            _linear_map(output, by, rows, batched=True)
    except (RuntimeError, Warning):
        return False
    _linear_map(output, by, rows[0])
    together = _seconds(lambda: _linear_map(output, by, rows, batched=True), rows.device)
    alone = _seconds(lambda: _linear_map(output, by, rows[0]), rows.device)
    return together < alone * len(rows)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    seconds: list[float] = []
    while len(seconds) < 3 and sum(seconds) < 0.1:  # the least of three, where they are quick
        wait()
        start = time.perf_counter()
        work()
        wait()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


class ForwardProducts:
    """Products by dual numbers: each evaluates the function once more. The first transposed one builds a graph."""

    def __init__(self, function: Function, point: Tensor):
        self._function = function
        self._point = point.detach().clone()
        self._reverse: ReverseProducts | None = None

    def product(self, u: Tensor) -> Tensor:
        if u.dim() == 2:
            return torch.stack([self.product(column) for column in u.T.contiguous()], dim=1)
        return forward_product(self._function, self._point, u)

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
    """Products forwards, except with blocks where reverse mode, which batches them, is faster: the first tells."""

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
            forth, back = (_seconds(lambda p=p: p.product(few), u.device) for p in (self._forward, self._reverse))
            self._for_blocks = self._forward if forth < back else self._reverse
        return self._for_blocks.product(u)

    def transposed(self, u: Tensor) -> Tensor:
        return self._reverse.transposed(u)


def forward_pays(reverse: ReverseProducts, function: Function, rebuild: Callable[[], Products] | None) -> bool:
    """Return whether forward mode makes products with one vector faster here; measured.

    Args:
        reverse: products of the function through kept graphs.
        function: the function.
        rebuild: how to build these products, where several batches make it part of every product.

    Raises:
        DerivativesDisagreeError: when both ways work and disagree.
    """
    point = reverse.point
    u = torch.randn(point.numel(), generator=torch.Generator().manual_seed(0)).to(point)
    expected = reverse.product(u)
    try:
        got = forward_product(function, point, u)
    except RuntimeError:  # an operation without a forward derivative
        return False
    if (got - expected).norm() > rounding(point.dtype) * (expected.norm() + got.norm()):
        raise DerivativesDisagreeError
    backwards = _seconds(lambda: (reverse if rebuild is None else rebuild()).product(u), point.device)
    forwards = _seconds(lambda: forward_product(function, point, u), point.device)
    # Reverse mode serves the transpose as well, so forward mode must win clearly.
    return forwards < 0.8 * backwards


def rounding(dtype: torch.dtype) -> float:
    """Return by how much, relatively, two ways to compute a product may differ: 8e-4 in float32, 9e-8 in float64."""
    return torch.finfo(dtype).eps ** 0.45
