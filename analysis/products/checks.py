"""Checks of a function at the point where it is differentiated: repeatable, with a finite derivative, symmetric."""

import torch
from torch import Tensor

from gantools.analysis.products.autograd import Function, ReverseProducts, probe, rounding
from gantools.errors import GantoolsError, NonFiniteFieldError
from gantools.games.arbiter import Verdict
from gantools.precision import sums_in_order

DIFFERS = (
    "The field differs between two evaluations on the same batch: something draws random numbers inside the loss "
    "(functional dropout, noise, a penalty's mixing). Draw them once, into the batch."
)

SURROGATE = (
    "What is differentiated is the gradient that training follows; behind a detach, a straight-through rounding or a "
    "custom function it is no gradient of one loss, so the matrix is not symmetric: eigenvalues may be complex."
)


def require_repeatable(verdict: Verdict) -> None:
    """Refuse losses that draw random numbers, or write over parameters, while they are evaluated."""
    if verdict.writes:
        raise GantoolsError(
            f"Evaluating the losses writes over parameters ({', '.join(verdict.writes[:3])}): a layer that takes its "
            "start from the first batch, or an update inside forward. Call the modules on a batch once before the "
            "analysis, or leave that update out of the losses."
        )
    if not verdict.repeats:
        raise GantoolsError(DIFFERS)


def require_deterministic(again: Tensor, function: Function, products: ReverseProducts) -> None:
    """Refuse a function whose value `again` is not the one that the products were built at."""

    def differ(a: Tensor, b: Tensor) -> bool:
        # Parallel sums may differ in the last digits; a fresh random draw differs in the first.
        return bool((a - b).norm() > torch.finfo(a.dtype).eps ** 0.75 * b.norm())

    def value() -> Tensor:
        return function(products.point.clone().requires_grad_()).detach()

    # Without a graph, or by dual numbers, the same function may round otherwise; once more as before, it may not.
    if differ(again, products.value) and differ(value(), products.value):
        # A GPU's kernels may sum in any order, which shows in more digits where large terms cancel.
        with sums_in_order():
            if differ(value(), value()):
                raise GantoolsError(DIFFERS)


def require_finite(products: ReverseProducts) -> None:
    """Refuse a field that has no derivative where it is differentiated."""
    if not products.transposed(probe(products.point)).isfinite().all():
        raise NonFiniteFieldError(
            "The field is finite, but its derivative is NaN or infinite: a loss is not twice differentiable at these "
            "parameters (a norm or a root at zero, a power below 2). Add a small number under the root, or move away."
        )


def is_symmetric(function: Function, point: Tensor) -> bool:
    """Return whether J u = J^T u to rounding, for a normal vector."""
    u = probe(point, 1)
    products = ReverseProducts(function, point)
    forth, back = products.product(u), products.transposed(u)
    return bool((forth - back).norm() <= 0.3 * rounding(point.dtype) * (forth.norm() + back.norm()))
