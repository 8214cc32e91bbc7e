r"""Products with the Jacobian of a function $F: \mathbb{R}^n \to \mathbb{R}^n$ that autograd can differentiate.

Two ways, with different costs:

- *reverse*: the graph of $F$ is built once and kept. $J^\top u$ is one backward pass; $J u$ differentiates
  $v \mapsto J^\top v$, which is linear, in a second kept graph. Cheap products, memory for both graphs.
- *forward*: dual numbers. $J u$ evaluates $F$ once more; nothing is kept.
"""

import time
import warnings
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor
from torch.autograd import forward_ad

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
    """Products through kept graphs of the function at a point."""

    def __init__(self, function: Function, point: Tensor):
        self._input = point.detach().clone().requires_grad_()
        with torch.enable_grad():
            self._output = function(self._input)
        self.value = self._output.detach()
        self._dual: tuple[Tensor, Tensor] | None = None
        self._batching: dict[str, bool] = {}

    def transposed(self, u: Tensor) -> Tensor:
        return self._apply("transposed", self._output, self._input, u)

    def product(self, u: Tensor) -> Tensor:
        if self._dual is None:
            dummy = torch.zeros_like(self._output, requires_grad=True)
            with torch.enable_grad():
                self._dual = _linear_map(self._output, self._input, dummy, create_graph=True), dummy
        return self._apply("product", *self._dual, u)

    def _apply(self, which: str, output: Tensor, by: Tensor, u: Tensor) -> Tensor:
        if u.dim() == 1:
            return _linear_map(output, by, u)
        rows = u.T.contiguous()
        if which not in self._batching:
            self._batching[which] = rows.shape[0] > 1 and _batching_pays(output, by, rows)
        if not self._batching[which]:
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
    together = _seconds(lambda: _linear_map(output, by, rows, batched=True), rows.device)
    alone = _seconds(lambda: _linear_map(output, by, rows[0]), rows.device)
    return together < alone * len(rows)


def _seconds(work: Callable[[], object], device: torch.device) -> float:
    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    wait()
    start = time.perf_counter()
    work()
    wait()
    return time.perf_counter() - start


class ForwardProducts:
    """Products by dual numbers: each evaluates the function once more; the transpose builds a graph for each product."""

    def __init__(self, function: Function, point: Tensor):
        self._function = function
        self._point = point.detach().clone()

    def product(self, u: Tensor) -> Tensor:
        if u.dim() == 2:
            return torch.stack([self.product(column) for column in u.T.contiguous()], dim=1)
        with forward_ad.dual_level(), torch.enable_grad():
            dual = forward_ad.make_dual(self._point.clone().requires_grad_(), u)
            tangent = forward_ad.unpack_dual(self._function(dual)).tangent
        return torch.zeros_like(u) if tangent is None else tangent.detach()

    def transposed(self, u: Tensor) -> Tensor:
        return ReverseProducts(self._function, self._point).transposed(u)


class MeanProducts:
    """Products with the weighted mean of Jacobians: one graph at a time is alive, so memory is that of one batch."""

    def __init__(
        self, functions: Callable[[], Sequence[tuple[float, Function]]], point: Tensor, kind: type = ReverseProducts
    ):
        self._functions = functions
        self._point = point.detach().clone()
        self._kind = kind

    def product(self, u: Tensor) -> Tensor:
        return self._mean(lambda products: products.product(u), u)

    def transposed(self, u: Tensor) -> Tensor:
        return self._mean(lambda products: products.transposed(u), u)

    def _mean(self, apply: Callable[[Products], Tensor], u: Tensor) -> Tensor:
        total, weights = torch.zeros_like(u), 0.0
        for weight, function in self._functions():
            total += weight * apply(self._kind(function, self._point))
            weights += weight
        return total / weights


def faster_products(function: Function, point: Tensor) -> tuple[Products, str, Tensor]:
    """Return the products whose J u takes less time here, their name, and the function's value at the point.

    Raises:
        DerivativesDisagreeError: when both ways work and disagree.
    """
    reverse = ReverseProducts(function, point)
    source = torch.Generator().manual_seed(0)
    u = torch.randn(point.numel(), generator=source).to(point)
    expected = reverse.product(u)
    forward = ForwardProducts(function, point)
    try:
        got = forward.product(u)
    except (RuntimeError, NotImplementedError):  # an operation without a forward derivative
        return reverse, "reverse", reverse.value
    tolerance = 1e-3 if point.dtype != torch.float64 else 1e-8
    if (got - expected).norm() > tolerance * (expected.norm() + got.norm()):
        raise DerivativesDisagreeError
    times = {
        "reverse": _seconds(lambda: reverse.product(u), point.device),
        "forward": _seconds(lambda: forward.product(u), point.device),
    }
    # Reverse mode serves the transpose and blocks as well, so forward mode must win clearly.
    if times["forward"] < 0.8 * times["reverse"]:
        return forward, "forward", reverse.value
    return reverse, "reverse", reverse.value
