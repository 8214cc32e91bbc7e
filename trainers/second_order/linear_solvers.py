"""GMRES and conjugate gradients on torch tensors, for matrices given by their products; derivatives of solutions.

Each solver starts from a guess and returns a solution with the norm of its residual `b - A x`, relative to that of `b`.
A solver that runs out of iterations returns what it has; the residual tells.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]
Solver = Callable[[Tensor], Tensor]


def gmres(
    product: Product, b: Tensor, tolerance: float, iterations: int, start: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    r"""Solve $A x = b$ without restarts (Saad and Schultz 1986).

    Args:
        product: u (n,) -> A u (n,).
        b: (n,).
        tolerance: bound on the residual, relative to the norm of b.
        iterations: largest number of products, and of vectors kept; a start costs one product more.
        start: first guess (n,); zero by default.

    Returns:
        x (n,), and the residual's norm relative to that of b, a scalar tensor.
    """
    origin, left, norm, residual = _begin(product, b, start)
    tolerance = _attainable(tolerance, b)
    if not residual > tolerance:  # NaN ends here too
        return origin, residual
    length = left.norm()
    basis, projected = [left / length], _Triangle(length.item())
    bound = tolerance * norm.item()
    while projected.residual > bound and projected.size < min(iterations, b.numel()):
        v = product(basis[-1])
        vectors = torch.stack(basis)
        coefficients = torch.zeros_like(vectors[:, 0])
        for _ in range(2):  # twice is enough
            part = vectors @ v
            v = v - part @ vectors
            coefficients += part
        below = v.norm()
        if not projected.extend([*coefficients.tolist(), below.item()], torch.finfo(b.dtype).eps):
            break
        basis.append(v / below)
    y = b.new_tensor(projected.solve())
    return origin + y @ torch.stack(basis)[: projected.size], b.new_tensor(projected.residual) / norm


class _Triangle:
    """The projected least-squares problem, made triangular column by column by Givens rotations.

    In Python's floats: LAPACK's answer depends on where its arguments lie in memory, and a resumed run would differ.
    """

    def __init__(self, length: float):
        self.columns: list[list[float]] = []
        self._rotations: list[tuple[float, float]] = []
        self._target = [length]

    @property
    def size(self) -> int:
        return len(self.columns)

    @property
    def residual(self) -> float:
        return abs(self._target[-1])

    def extend(self, column: list[float], eps: float) -> bool:
        """Take in one more column of the Hessenberg matrix; return whether the Krylov space goes on."""
        goes_on = column[-1] > eps * math.hypot(*column)
        for i, (c, s) in enumerate(self._rotations):
            column[i], column[i + 1] = c * column[i] + s * column[i + 1], c * column[i + 1] - s * column[i]
        below, diagonal = column.pop(), column.pop()
        length = math.hypot(diagonal, below)
        if length == 0:  # a singular matrix: this direction changes nothing
            return False
        c, s = diagonal / length, below / length
        self._rotations.append((c, s))
        self.columns.append([*column, length])
        last = self._target.pop()
        self._target += [c * last, -s * last]
        return goes_on

    def solve(self) -> list[float]:
        """Return the coefficients of the solution in the basis."""
        y = self._target[: self.size]
        for i in reversed(range(self.size)):
            y[i] = (y[i] - sum(self.columns[j][i] * y[j] for j in range(i + 1, self.size))) / self.columns[i][i]
        return y


def conjugate_gradients(
    product: Product, b: Tensor, tolerance: float, iterations: int, start: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    r"""Solve $A x = b$ for a symmetric positive definite $A$ (Hestenes and Stiefel 1952); see `gmres`."""
    x, left, norm, residual = _begin(product, b, start)
    tolerance = _attainable(tolerance, b)
    direction, square = left, left.dot(left)
    for _ in range(iterations):
        if not residual > tolerance:
            break
        image = product(direction)
        length = square / direction.dot(image)
        x, left = x + length * direction, left - length * image
        before, square = square, left.dot(left)
        direction = left + (square / before) * direction
        residual = square.sqrt() / norm
    return x, residual


def _begin(product: Product, b: Tensor, start: Tensor | None) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return the starting point, its residual, the norm of b, and the residual's norm relative to it."""
    norm = b.norm()
    if not norm > 0:
        return torch.zeros_like(b), b, norm, norm
    if start is None:
        return torch.zeros_like(b), b, norm, torch.ones_like(norm)
    left = b - product(start)
    return start, left, norm, left.norm() / norm


def _attainable(tolerance: float, b: Tensor) -> float:
    return max(tolerance, 10 * torch.finfo(b.dtype).eps)


class _Solution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, b: Tensor, solve: Solver, solve_transposed: Solver) -> Tensor:
        ctx.solvers = solve_transposed, solve
        return solve(b)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return _Solution.apply(gradients[0], *ctx.solvers), None, None


def solution(b: Tensor, solve: Solver, solve_transposed: Solver) -> Tensor:
    """Return `solve(b)`, differentiable in `b` any number of times: by solving with the transposed matrix."""
    return _Solution.apply(b, solve, solve_transposed)
