r"""Damped least squares from products, $\min_\delta \|J\delta + \xi\|^2 + \lambda \|\delta\|^2$, for any damping.

A Krylov basis V of the row space of J is built once, $J V_k = U_{k+1} P_k$ with orthonormal columns, and the problem is
solved in it: another $\lambda$ costs no product. Both bases begin with $J^\top \xi$, so a step has no part in the null
space of J, and without damping it tends to the least-norm one. For a symmetric J, MR-II (Hanke 1995), the variant of
MINRES that stays in the range; one product for each vector. Otherwise the bidiagonalisation of Golub and Kahan (1965)
on which LSQR and LSMR stand (arXiv:1006.0758); two.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gantools.analysis.krylov.gram_schmidt import ROUNDING, orthogonalise
from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.errors import GantoolsError

Array = NDArray[Any]


class KrylovLeastSquares:
    r"""The linear model $J\delta + \xi$ of a field, in a growing Krylov basis on the operator's device.

    Attributes:
        slope: $\|J^\top \xi\|$.
        scale: the largest $\|J v\| / \|v\|$ seen, a lower estimate of $\|J\|$.
        products: with J or its transpose, so far.
        finished: whether the basis cannot or need not grow: it is full, or holds the solution for every damping.
    """

    def __init__(self, J: LinearOperator, field: Tensor, size: int):
        self.J, self.field = J, field
        self.size = min(size, J.n)
        self.epsilon = J.precision
        self.length = 0
        self.vectors = torch.empty(self.size + 2, J.n, dtype=J.dtype, device=J.device)
        self.projected = np.zeros((self.size + 2, self.size + 1))
        self.norm = float(torch.linalg.vector_norm(field.double()))
        first = J.T @ field
        self.slope = float(torch.linalg.vector_norm(first.double()))
        _require_finite(self.slope)
        self.products = 1
        self.scale = self.slope / self.norm
        self.finished = self.slope == 0.0
        if not self.finished:
            self.vectors[0] = first / self.slope

    def expand(self) -> None:
        """Append one vector to the basis."""
        raise NotImplementedError

    def damped(self, damping: float) -> tuple[Array, float, float]:
        r"""Solve the damped problem within the basis.

        Returns:
            Coefficients y of the step, $\|J\delta + \xi\|$ there, and the norm of half the gradient of the damped
            problem in the whole space: 0 where the basis contains the solution.
        """
        raise NotImplementedError

    def lift(self, y: Array) -> Tensor:
        """Return the step (n,) with these coefficients."""
        return torch.as_tensor(y).to(self.vectors) @ self.vectors[: len(y)]

    def solve(self, damping: float, tolerance: float) -> tuple[Tensor, float]:
        r"""Return the step (n,) and $\|J\delta + \xi\|$, from a basis that grows until the step is good to `tolerance`.

        Args:
            damping: $\lambda > 0$.
            tolerance: of the gradient, relative to its norm at 0, $\|J^\top \xi\|$.
        """
        y, residual, remainder = self.damped(damping)
        while remainder > tolerance * self.slope and not self.finished:
            # The small problem costs more the larger it is, and is solved less and less often.
            for _ in range(1 + self.length // 8):
                if not self.finished:
                    self.expand()
            y, residual, remainder = self.damped(damping)
        return self.lift(y), residual


class GolubKahan(KrylovLeastSquares):
    r"""Golub-Kahan bidiagonalisation, for a J that is not symmetric.

    $J V_k = U_{k+1} B_k$ and $J^\top U_{k+1} = V_k B_k^\top + \alpha_{k+1} v_{k+1} e_{k+1}^\top$, B lower bidiagonal.
    Only V is orthogonalised and kept: U then stays orthogonal enough by itself (Simon and Zha 2000).
    """

    def __init__(self, J: LinearOperator, field: Tensor, size: int):
        super().__init__(J, field, size)
        self._left = field / self.norm
        self.projected[0, 0] = self.slope / self.norm

    def expand(self) -> None:
        k = self.length
        alpha = self.projected[k, k]
        image = self.J @ self.vectors[k]
        reach = torch.linalg.vector_norm(image.double())
        left = image - alpha * self._left
        beta, reach = torch.stack([torch.linalg.vector_norm(left.double()), reach]).tolist()
        _require_finite(beta)
        self.products += 1
        self.scale = max(self.scale, reach)
        rounding = ROUNDING * self.epsilon * self.scale
        self.length = k + 1
        if beta <= rounding:  # the system is solved exactly in this basis
            self.finished = True
            return
        self.projected[k + 1, k] = beta
        self._left = left / beta
        _, right, norms = orthogonalise(self.vectors[: k + 1], self.J.T @ self._left, self.J.space)
        self.products += 1
        alpha = float(norms[-1])
        _require_finite(alpha)
        if alpha <= rounding:  # the least-squares problem is solved exactly
            self.finished = True
            return
        self.projected[k + 1, k + 1] = alpha
        self.vectors[k + 1] = right / alpha
        self.finished = self.length == self.size

    def damped(self, damping: float) -> tuple[Array, float, float]:
        k = self.length
        P, target = self.projected[: k + 1, :k], np.zeros(k + 1)
        target[0] = self.norm
        y = _damped(P, target, damping)
        left = P @ y + target
        return y, float(np.linalg.norm(left)), abs(self.projected[k, k] * left[k])


class RangeRestrictedLanczos(KrylovLeastSquares):
    r"""Range-restricted Lanczos (MR-II), for a symmetric J: $J V_k = V_{k+1} T_k$ from $v_1 = J\xi / \|J\xi\|$.

    The target $\xi$ is kept as its coordinates $V^\top \xi$ and the norm of its remainder, which no step can change.
    One product is made in advance, because the gradient of the problem needs $J V_{k+1}$.
    """

    def __init__(self, J: LinearOperator, field: Tensor, size: int):
        super().__init__(J, field, size)
        self._target, self._invariant = np.zeros(self.size + 2), False
        self._outside = field.double().clone()
        if not self.finished:
            self._project(0)
            self._ahead()

    def _project(self, k: int) -> None:
        """Move the target's component along vector k from its remainder to its coordinates."""
        v = self.vectors[k].double()
        along = v @ self._outside
        self._outside -= along * v
        self._target[k], self._rest = torch.stack([along, torch.linalg.vector_norm(self._outside)]).tolist()

    def _ahead(self) -> None:
        """Multiply J with the vector after the basis, and orthogonalise the product to get the next one."""
        k = self.length
        column, w, norms = orthogonalise(self.vectors[: k + 1], self.J @ self.vectors[k], self.J.space)
        host = torch.cat([column, norms]).cpu().numpy()
        self.products += 1
        self.projected[: k + 1, k], beta = host[: k + 1], float(host[-1])
        _require_finite(beta)
        self.scale = max(self.scale, float(host[k + 1]))
        self._invariant = beta <= ROUNDING * self.epsilon * self.scale
        if not self._invariant:
            self.projected[k + 1, k] = beta
            self.vectors[k + 1] = w / beta
            self._project(k + 1)

    def expand(self) -> None:
        self.length += 1
        self.finished = self._invariant or self.length == self.size
        if not self._invariant:
            self._ahead()

    def damped(self, damping: float) -> tuple[Array, float, float]:
        k = self.length
        P, target = self.projected[: k + 1, :k], self._target[: k + 1]
        y = _damped(P, target, damping)
        beyond = np.append(self._target[k + 1 :], self._rest)
        residual = float(np.linalg.norm(np.concatenate([P @ y + target, beyond])))
        gradient = self.projected[: k + 2, : k + 1] @ (P @ y)
        gradient[0] += self.slope
        gradient[:k] += damping * y
        return y, residual, float(np.linalg.norm(gradient))


def krylov_least_squares(J: LinearOperator, field: Tensor, size: int) -> KrylovLeastSquares:
    """Return the model for an operator: range-restricted Lanczos where it is symmetric, else Golub-Kahan."""
    return (RangeRestrictedLanczos if J.symmetric else GolubKahan)(J, field, size)


def _damped(P: Array, target: Array, damping: float) -> Array:
    """Return the y that minimises |P y + target|^2 + damping |y|^2."""
    k = P.shape[1]
    Q, R = np.linalg.qr(np.concatenate([P, np.sqrt(damping) * np.eye(k)]))
    return np.linalg.solve(R, -Q[: len(P)].T @ target)


def _require_finite(norm: float) -> None:
    if not np.isfinite(norm):
        raise GantoolsError(
            "A product with the Jacobian is NaN or infinite, although the field is finite: check that the loss has "
            "second derivatives at these parameters (a square root or a norm at 0 has none)."
        )
