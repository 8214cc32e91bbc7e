"""Construction of the Jacobian operator of a function over one or several batches."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sized
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor

from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.analysis.operators.snapshot import Snapshot
from gantools.analysis.products import autograd as engines
from gantools.analysis.products.differences import DifferenceProducts
from gantools.analysis.products.patient import PatientProducts
from gantools.analysis.products.recorded import ReplayProducts
from gantools.batches import fingerprint, is_batch, map_tensors, walk
from gantools.errors import GantoolsError
from gantools.registry import suggest

METHODS = ("auto", "reverse", "forward", "replay", "compiled", "difference")


class DifferentiatedOperator(LinearOperator):
    """The Jacobian of a function that autograd differentiates.

    Attributes:
        slices: slices of the named parts in the vectors that the operator acts on.
        field_norm: norm of the field at the point, if it was evaluated there on a single batch; else None.
        method: how products with one vector are made: "reverse", "forward", "replay", "compiled" or "difference".
        step: of differences, relative to the size of each entry; else 0.
        remark: a sentence on how products are made where it is not the usual way, else empty.
        what: its name in words, such as "Hessian".
    """

    def __init__(
        self,
        products: Any,  # `engines.Products`, or differences, which may have no transposed ones
        method: str,
        slices: dict[str, slice],
        like: Tensor,
        **kwargs: Any,
    ):
        transposed = products.product if kwargs.get("symmetric") else products.transposed
        kwargs.setdefault("precision", getattr(products, "error", None))
        space = kwargs.get("space")
        super().__init__(
            products.product,
            space.n if space else like.numel(),
            dtype=like.dtype,
            device=like.device,
            rmatvec=transposed,
            matmat=products.product,
            rmatmat=transposed,
            **kwargs,
        )
        self.slices = slices
        self.method = method
        self.field_norm: float | None = None
        self.remark = ""
        self.what = "Hessian" if kwargs.get("symmetric") else "Jacobian"
        self.step = 0.0
        self._products = products
        self.no_transpose = (
            f"Differences multiply with J and not with its transpose, and {self.n} x {self.n} is too large to have the "
            "whole of J: use what needs no transpose, or a loss that PyTorch can differentiate twice."
        )

    def described(self) -> tuple[str, list[tuple[str, str]]]:
        facts, rows = super().described()
        head = f"{self.what}: {facts.partition('(')[2].rstrip(')')}; products by method {self.method!r}"
        return f"{head}. {self.remark}".removesuffix(". "), rows

    def prepare(self, products: int) -> None:
        if isinstance(self._products, PatientProducts):
            self._products.prepare(products)


@dataclasses.dataclass(frozen=True)
class Differentiation:
    """A function to be differentiated at a point, over batches, by a method: the basis of `jacobian` and its like.

    Attributes:
        snapshot: the game at the point.
        batches: batches that can be iterated repeatedly; a single one is in a tuple.
        several: whether there is more than one batch.
        size: the weight of a batch among several.
        method: see `jacobian`.
        function_of: makes the function to be differentiated from the snapshot, a batch and its number.
        what: the operator's name in words; by default Hessian, or Jacobian where it is not symmetric.
        always_symmetric: whether the derivative is symmetric whichever parameters move; by default it is where these
            are one player's.
        one_gradient: whether the field of one player is the gradient of one loss, so that its derivative is symmetric;
            not so behind a stop-gradient or a custom function.
        dual_numbers: tells whether dual numbers give right products.
        make_reverse: makes products in reverse mode from a function and a point.
        make_forward: makes products in forward mode from a function and a point.
    """

    snapshot: Snapshot
    batches: Iterable[Any]
    several: bool
    size: Callable[[Any], float]
    method: str
    function_of: Callable[[Snapshot, Any, int], engines.Function]
    what: str = ""
    always_symmetric: bool = False
    one_gradient: bool = True
    dual_numbers: Callable[[], bool] = lambda: True
    make_reverse: Callable[..., Any] = engines.ReverseProducts
    make_forward: Callable[..., Any] = engines.ForwardProducts

    @classmethod
    def over(
        cls,
        snapshot: Snapshot,
        batch: Any,
        size: Callable[[Any], float],
        method: str,
        function_of: Callable[[Snapshot, Any, int], engines.Function],
        **options: Any,
    ) -> Differentiation:
        """Prepare the differentiation over one batch, of which a copy is kept, or over several; see the attributes."""
        if method not in METHODS:
            raise suggest("method", method, list(METHODS))
        if snapshot.game.replicas is not None:
            if method in ("replay", "compiled"):
                raise GantoolsError(f"method={method!r} cannot record what processes send each other: use 'reverse'.")
            # A clock would decide differently in each process, and these would wait for each other for ever.
            method = "reverse" if method == "auto" else method
        several = not is_batch(batch)
        batches = walk(batch) if several else (map_tensors(Tensor.clone, batch),)
        return cls(snapshot, batches, several, size, method, function_of, **options)

    @cached_property
    def first(self) -> Any:
        """The first batch.

        Raises:
            GantoolsError: when there is none.
        """
        first = next(iter(self.batches), ...)
        if first is ...:
            raise GantoolsError("There are no batches: the iterable was empty.")
        return first

    @property
    def symmetric(self) -> bool:
        """Whether J = J^T."""
        return self.always_symmetric or (self.one_gradient and self.snapshot.player is not None)

    @property
    def may_go_forward(self) -> bool:
        """Whether products with one vector may be made by dual numbers, not only blocks once they have cost much."""
        if self.method == "auto" and self.symmetric and not self.several:
            # One backward pass against one more evaluation: slower on a CPU in every model of bench_products.py.
            return self.snapshot.point.is_cuda
        return self.method not in ("reverse", "difference")

    def restricted_to(self, where: Tensor, constant: bool = True) -> Differentiation:
        """Restrict to some entries (k,) of the vectors, see `Snapshot.restricted_to`."""
        return dataclasses.replace(self, snapshot=self.snapshot.restricted_to(where, constant))

    def function(self, batch: Any, number: int = 0) -> engines.Function:
        """Return the function to be differentiated on a batch."""
        return self.function_of(self.snapshot, batch, number)

    @cached_property
    def reversed(self) -> Callable[..., Any]:
        """Makes reverse products of a function; their measurements of blocks are shared."""
        make = partial(self.make_reverse, symmetric=self.symmetric, batching={}, measure=self.method == "auto")
        return lambda function, point=self.snapshot.point: make(function, point)

    def require_same_order(self) -> None:
        """Refuse batches that differ from one pass to the next."""
        if self.several and [fingerprint(b) for b in self.batches] != [fingerprint(b) for b in self.batches]:
            raise GantoolsError(
                "The batches differ from one pass to the next, but every product walks over all of them: build the "
                "DataLoader with shuffle=False and without random augmentation, or pass a list of batches."
            )

    def operator(self, function: engines.Function, reverse: Any) -> DifferentiatedOperator:
        """Return the operator, by the method asked for or the fastest one.

        Args:
            function: the function on the first batch.
            reverse: its reverse products, which are used as they are where there is no other batch.
        """
        point, name = self.snapshot.point, self.method
        if name == "auto":
            name = self._choose(function, reverse)
        elif name != "reverse" and not (self.dual_numbers() and self._forward_agrees(function, reverse)):
            raise GantoolsError(
                "Dual numbers give wrong products of this field: an operation in it has a wrong forward derivative. "
                "Use method='reverse' or 'auto'."
            )

        def over_all(make: Callable[..., engines.Products], kept: engines.Products | None = None) -> engines.Products:
            if self.several:
                return engines.MeanProducts(self.weighted, point, make)
            return make(function, point) if kept is None else kept

        def recorded(compiled: bool = False) -> ReplayProducts:
            if not self.dual_numbers():
                raise GantoolsError("A recording is made by dual numbers, which give wrong products of this field.")
            there = None if self.symmetric else over_all(self.reversed, reverse).transposed
            if not self.several:
                return ReplayProducts([(1.0, function, lambda: reverse)], point, there, compiled)
            parts = ((weight, one, partial(self.reversed, one)) for weight, one in self.weighted())
            return ReplayProducts(parts, point, there, compiled)

        if name in ("replay", "compiled"):
            products = recorded(name == "compiled")
        elif name == "forward":
            products = over_all(self.make_forward)
        else:
            products = over_all(self.reversed, reverse)
        if self.method == "auto" and name == "forward":
            products = engines.MixedProducts(products, over_all(self.reversed, reverse))
        if self.method == "auto" and not self.several and getattr(reverse, "has_room", True):  # a recording is as large
            products = PatientProducts(products, recorded, engines.operations(reverse.output))
        operator = DifferentiatedOperator(products, name, self.snapshot.slices, point, symmetric=self.symmetric)
        operator.parameters = self.snapshot.parameters
        operator.what = self.what or operator.what
        if self.several and name in ("reverse", "forward"):
            walked = getattr(self.batches, "batches", self.batches)
            many = f"{len(walked)} batches" if isinstance(walked, Sized) else "all batches"
            operator.remark = f"every product walks over {many}"
        return operator

    def by_differences(self) -> DifferentiatedOperator:
        """Return the operator whose products are central differences, in float64 where the losses bear that."""
        try:
            wide = self.snapshot.point.double()
            products = DifferenceProducts(self._mean(self.snapshot.wide_field), wide, self.symmetric)
        except (RuntimeError, TypeError) as error:  # tensors of another precision that the loss brings along
            if isinstance(error, torch.OutOfMemoryError):
                raise
            products = DifferenceProducts(self._mean(self.snapshot.field), self.snapshot.point, self.symmetric)
        point, symmetric = self.snapshot.point, products.symmetric
        operator = DifferentiatedOperator(products, "difference", self.snapshot.slices, point, symmetric=symmetric)
        operator.parameters, operator.step = self.snapshot.parameters, products.step
        operator.remark = (
            f"Products are central differences of the field, evaluated in {str(products.point.dtype)[6:]}, with a "
            f"relative error of about {max(operator.precision, products.error):.0e}."
        )
        return operator

    def _mean(self, field_on: Callable[[Any], engines.Function]) -> engines.Function:
        """Return the mean over all batches, weighted by size, of functions that `field_on` makes of them."""
        parts = [(self._weight(batch), field_on(batch)) for batch in self.batches]
        total = sum(weight for weight, _ in parts)
        return lambda w: functools.reduce(torch.add, (weight / total * field(w) for weight, field in parts))

    def weighted(self) -> Iterator[tuple[float, engines.Function]]:
        for number, batch in enumerate(self.batches):
            yield self._weight(batch), self.function(batch, number)

    def _weight(self, batch: Any) -> float:
        return self.snapshot.game.over_all(float(self.size(batch)))

    def _choose(self, function: engines.Function, reverse: Any) -> str:
        if not self.may_go_forward or not self.dual_numbers():
            return "reverse"
        rebuild = partial(self.reversed, function) if self.several else None
        forward, point = self.make_forward(function, self.snapshot.point), self.snapshot.point
        try:
            return "forward" if engines.forward_pays(function, reverse, forward, point, rebuild) else "reverse"
        except engines.DerivativesDisagreeError:
            # A rule that is wrong at this very point, such as that of a product at a zero factor: judged near by, both
            # ways were right.
            if not _is_derivative(function, reverse, point):
                raise
            return "reverse"

    def _forward_agrees(self, function: engines.Function, reverse: Any) -> bool:
        """Return whether dual numbers give the product that backward passes give, at the point itself."""
        if self.method != "forward":  # recordings are compared by themselves
            return True
        point = self.snapshot.point
        u = engines.probe(point)
        pushed, expected = self.make_forward(function, point).product(u), reverse.product(u)
        return not expected.isfinite().all() or not engines.differ(pushed, expected, function, point, u)


def _is_derivative(function: engines.Function, products: engines.Products, point: Tensor) -> bool:
    """Return whether products are differences of their function."""
    try:
        differences = DifferenceProducts(function, point)
    except GantoolsError:
        return False
    u = engines.probe(point)
    expected = differences.product(u)
    return bool((products.product(u) - expected).norm() <= max(1e-3, 10 * differences.error) * expected.norm())
