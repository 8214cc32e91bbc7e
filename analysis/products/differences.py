r"""Products with the Jacobian of a function by central differences: no derivative of the function is needed.

$$J u \approx \frac{F(w + t u) - F(w - t u)}{2 t}, \qquad t = h \,/\, \max_i \frac{|u_i|}{s_i},$$

where $s_i$ is the size of an entry, so that none moves by more than $h$ of its size. The truncation falls like $h^2$
and the rounding grows like $1/h$; $h$ is where two successive steps of a ladder agree best, and their disagreement is
the error that is stated.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import cached_property

import torch
from torch import Tensor

from gantools.analysis.products.autograd import ForwardProducts, Function, probe
from gantools.errors import GantoolsError
from gantools.games.plain_field import sizes

RATIO = 0.25  # of successive steps of the ladder
LONGEST = {torch.float64: 2.0**-8, torch.float32: 2.0**-3}
RUNGS = 9
PROBES = 3
LARGEST_ERROR = 0.1  # beyond, the differences are noise
DENSE_LIMIT = 1024  # largest n at which the whole matrix serves the transpose


class ForwardDifferences:
    """Products by dual numbers with a function in which differences stand in for the derivative of a field.

    Args:
        function: maps (n,) to (n,), with dual numbers.
        point: (n,), where it is differentiated.
        error: relative error of the differences.
    """

    def __init__(self, function: Function, point: Tensor, error: float):
        self._forward, self.point, self.error = ForwardProducts(function, point), point.detach().clone(), error
        self.product = self._forward.product

    @property
    def transposed(self) -> Callable[[Tensor], Tensor] | None:
        """Maps u to J^T u, from the whole matrix where that is small enough; else None."""
        return (lambda u: self._matrix.T @ u) if len(self.point) <= DENSE_LIMIT else None

    @cached_property
    def _matrix(self) -> Tensor:
        return self.product(torch.eye(len(self.point), dtype=self.point.dtype, device=self.point.device))


class DifferenceProducts:
    """Products with the Jacobian of a function at a point by central differences, two evaluations each.

    Args:
        function: maps (n,) to (n,); its dtype is that of the point.
        point: (n,), where it is differentiated.
        symmetric: whether J = J^T is to be expected; `PROBES` products decide.

    Attributes:
        value: F at the point.
        step: h.
        error: the largest relative error of the products made to choose it.
        symmetric: whether J = J^T within the error.

    Raises:
        GantoolsError: where no two steps agree.
    """

    def __init__(self, function: Function, point: Tensor, symmetric: bool = False):
        self._function = function
        self.point = point.detach().clone()
        self._sizes = sizes(self.point)
        self.value = function(self.point).detach()
        epsilon, size = torch.finfo(point.dtype).eps, float(self.value.norm())
        # Of a product with a vector whose largest entry is of size 1, at h = 1; products below the floor may be zero.
        self._rounding, self._floor = epsilon * size, epsilon**0.6 * size
        first, *others = (self._sizes * probe(self.point, seed) for seed in range(PROBES))
        self.step, self.error, product = self._calibrated(first)
        products = [product]
        for u in others:
            coarse, fine = self._along(u, self.step / RATIO), self._along(u, self.step)
            self.error = max(self.error, self._apart(coarse, fine, u, self.step))
            products.append(fine)
        if not self.error <= LARGEST_ERROR:
            raise GantoolsError(
                f"Differences of the field do not settle: two steps disagree by {self.error:.0%} at best. It is not "
                "smooth here, or noisy: compute the loss in float64, without random numbers, or move the point."
            )
        self.symmetric = symmetric and self._is_symmetric([first, *others], products)

    def product(self, u: Tensor) -> Tensor:
        """Return J u for u (n,) or (n, k), in the dtype of u."""
        if u.dim() == 2:
            return torch.stack([self.product(column) for column in u.T.contiguous()], dim=1)
        return self._along(u.to(self.point), self.step).to(u.dtype)

    @property
    def transposed(self) -> Callable[[Tensor], Tensor] | None:
        """Maps u to J^T u, from the whole matrix where that is small enough; else None."""
        if self.symmetric:
            return self.product
        return (lambda u: (self._matrix.T @ u.to(self.point)).to(u.dtype)) if len(self.point) <= DENSE_LIMIT else None

    @cached_property
    def _matrix(self) -> Tensor:
        return self.product(torch.eye(len(self.point), dtype=self.point.dtype, device=self.point.device))

    def _along(self, u: Tensor, h: float) -> Tensor:
        largest = self._largest(u)
        if largest == 0:
            return torch.zeros_like(u)
        shift = (h / largest) * u
        ahead, behind = self.point + shift, self.point - shift
        # What was moved in the floating numbers that these are.
        moved = float((ahead - behind).dot(u) / u.dot(u))
        return (self._function(ahead) - self._function(behind)).detach() / moved

    def _largest(self, u: Tensor) -> float:
        return float((u.abs() / self._sizes).max())

    def _calibrated(self, u: Tensor) -> tuple[float, float, Tensor]:
        """Return the best step, its relative error, and J u by it."""
        longest = LONGEST.get(self.point.dtype, 2.0**-3)
        best, worse = (longest, float("inf"), torch.zeros_like(u)), 0
        steps = [longest * RATIO**k for k in range(RUNGS)]
        coarse = self._along(u, steps[0])
        for _, step in itertools.pairwise(steps):
            fine = self._along(u, step)
            error = self._apart(coarse, fine, u, step)
            worse = 0 if error < best[1] else worse + 1
            if error < best[1]:
                best = step, error, fine
            if worse == 2 or error == 0:
                break
            coarse = fine
        return best

    def _is_symmetric(self, directions: list[Tensor], products: list[Tensor]) -> bool:
        pairs = itertools.combinations(zip(directions, products, strict=True), 2)
        for (u, Ju), (v, Jv) in pairs:
            allowed = (10 * self.error + 1e-9) * float(u.norm() * Jv.norm() + v.norm() * Ju.norm())
            if abs(float(u.dot(Jv) - v.dot(Ju))) > allowed:
                return False
        return True

    def _apart(self, a: Tensor, b: Tensor, u: Tensor, h: float) -> float:
        """Return the relative distance of two products with u, rounding at least; infinite where one is not finite."""
        distance, size = float((a - b).norm()), max(float(b.norm()), self._floor)
        if not distance < float("inf"):
            return float("inf")
        return max(distance, self._rounding * self._largest(u) / h) / size if size else 0.0
