"""A Krylov basis that stays on a device, grown by one vector or by a block, and the operator's projection on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gantools.analysis.krylov.gram_schmidt import ROUNDING, combined, orthogonalise, orthogonalise_block
from gantools.analysis.krylov.storage import BasisState, allocate_basis
from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.errors import GantoolsError

Array = NDArray[Any]

# Vectors appended on a GPU before their coefficients are read. Reading waits for the device, which then idles.
AHEAD = 8
ENTRIES = 2**22  # of each vector that are rotated together: what a restart takes beside the basis


class KrylovBasis:
    r"""An orthonormal Krylov basis $V$ of an operator $A$, and $A$'s projection on it, in float64 on the host.

    It keeps a Krylov decomposition $A V_j = V_j S_j + W_j B_j$ (Stewart, SIAM J. Matrix Anal. Appl. 23, 2001), where
    the continuation $W_j$, orthonormal and orthogonal to $V_j$, is the vector or block that is added next.

    Args:
        operator: $A$.
        size: vectors kept at most.
        generator: draws the start vectors, and directions in place of those that break down.
        width: vectors added at a time. A block finds as many copies of a multiple eigenvalue, and pays where a block of
            products costs less than its columns do one by one; a single vector needs the fewest products.
        storage: "device" (where the operator is, in its dtype); "host" (main memory: for bases that a GPU cannot hold;
            the orthogonalisation runs there too); "bfloat16" (half the memory of float32: residuals cannot fall below
            about 0.2 % of the norm of A).

    Attributes:
        vectors: (size + width, n), or what this process holds of each, one tensor; the rows up to `length` are the
            basis, the next ones its continuation.
        projected: (size + width, size): A V[:j]^T = V[:j + width]^T projected[:j + width, :j].
        length: vectors in the basis at present, j.
        scale: the largest ||A v|| seen, a lower estimate of the norm of A.
        ahead: vectors that `expand` may append before their coefficients are read and judged, see `settle`.
    """

    def __init__(
        self,
        operator: LinearOperator,
        size: int,
        generator: torch.Generator,
        width: int = 1,
        storage: str = "device",
    ):
        self.operator, self.space = operator, operator.space
        self.generator = generator
        self.size = size
        self.width = width
        self.length = 0
        self.scale = 0.0
        self.epsilon = operator.precision
        self.vectors = allocate_basis(size + width, operator, storage)
        self.projected = np.zeros((size + width, size))
        self.ahead = AHEAD if self.vectors.is_cuda and width == 1 else 1
        self._unread: list[Tensor] = []  # of each vector appended and not yet judged: coefficients and three norms
        self._careful = 0  # vectors to come that are judged one by one
        self._go_on(0)

    def _go_on(self, rows: int) -> None:
        """Make random vectors the continuation of the first `rows` vectors."""
        for i in range(rows, rows + self.width):
            self.vectors[i] = self._fresh(i)

    def _fresh(self, rows: int, beside: Tensor | None = None) -> Tensor:
        """Return a random unit vector orthogonal to the first rows, and to the columns of `beside` (n, b)."""
        w = self.space.normal(self.operator.dtype, self.vectors.device, self.generator)
        for _ in range(2):
            if rows:
                w = orthogonalise(self.vectors[:rows], w, self.space)[1]
            if beside is not None:
                w = w - beside @ self.space.total(beside.T @ w)
        return w / self.space.norm(w)

    def lock(self, vectors: Tensor, square: Array) -> None:
        """Start from an invariant subspace: A X = X `square` for X = `vectors` (n, p) with independent columns.

        The next directions are random and orthogonal to it, so that only eigenvectors outside of it can appear.
        """
        Q, R = self.space.orthonormal(vectors.double())
        triangle = R.cpu().numpy()
        count = len(triangle)
        self.vectors[:count] = Q.T.to(self.vectors)
        self.projected[:count, :count] = triangle @ square @ np.linalg.inv(triangle)
        self._go_on(count)
        self.length = count
        self.scale = float(np.linalg.norm(self.projected[:count, :count], 2))

    def start_from(self, vector: Tensor) -> None:
        """Make a vector (n,) the first one, before any product."""
        self.vectors[0] = vector.to(self.vectors) / self.space.norm(vector)

    def expand(self) -> None:
        """Append one vector or block: as many products, and two passes of Gram-Schmidt.

        Single vectors may go unjudged for a while (`ahead`): `projected`, `scale` and what follows from them are valid
        after `settle`.
        """
        if self.width > 1:
            self._append_block()
            return
        if self._careful or self.ahead == 1:
            self._careful = max(self._careful - 1, 0)
            self._append_vector()
            return
        self._append_unread()
        if len(self._unread) >= self.ahead or self.full:
            self.settle()

    def fill(self, length: int | None = None) -> None:
        """Append vectors until there are `length` that have been judged, by default as many as there is room for."""
        length = self.size - self.width + 1 if length is None else length
        while self.length < length or not self.settle():
            self.expand()

    def settle(self) -> bool:
        """Read and judge the coefficients of the vectors appended since the last time.

        Where one broke down or lost its orthogonality, it and all behind it are dropped, and the next ones are judged
        one by one.

        Returns:
            Whether all were kept.
        """
        if not self._unread:
            return True
        columns, self._unread = self._unread, []
        sizes = [len(column) for column in columns]
        first = self.length - len(columns)
        for i, host in enumerate(np.split(torch.cat(columns).cpu().numpy(), np.cumsum(sizes)[:-1])):
            column, (before, once, beta) = host[:-3], host[-3:]
            self._require_finite(host)
            self.scale = max(self.scale, float(before))
            if self._breaks_down(beta) or beta < 0.5 * once:
                self.length, self._careful = first + i, 2 * self.ahead
                return False
            self.projected[: len(column), first + i] = column
            self.projected[len(column), first + i] = beta
        return True

    def _times(self, rows: Tensor) -> Tensor:
        """Return A times a row (n,) of the basis or rows (b, n), as a vector or as columns, where the basis is."""
        A = self.operator
        u = rows.to(dtype=A.dtype, device=A.device)
        return (A @ (u.T if u.dim() == 2 else u)).to(self.vectors.device)

    def _append_unread(self) -> None:
        j = self.length
        w = self._times(self.vectors[j])
        coefficients, w, norms = orthogonalise(self.vectors[: j + 1], w, self.space, *self._recurrence())
        self._unread.append(torch.cat([coefficients, norms]))
        self.vectors[j + 1] = w / norms[-1]
        self.length = j + 1

    def _append_vector(self) -> None:
        j = self.length
        w = self._times(self.vectors[j])
        coefficients, w, norms = orthogonalise(self.vectors[: j + 1], w, self.space, *self._recurrence())
        host = torch.cat([coefficients, norms]).cpu().numpy()
        self._require_finite(host)
        column, (before, once, beta) = host[: j + 1], host[j + 1 :]
        self.scale = max(self.scale, float(before))
        if not self._breaks_down(beta) and beta < 0.5 * once:
            # The second pass removed much again, so its own rounding matters; rare, hence outside the fixed two.
            more, w, norms = orthogonalise(self.vectors[: j + 1], w, self.space)
            column, beta = column + more.cpu().numpy(), float(norms[-1])
        breakdown = self._breaks_down(beta)
        self.projected[: j + 1, j] = column
        # A breakdown means an invariant subspace, which holds one copy of each of its eigenvalues: other copies, and
        # other eigenvalues, are looked for from a fresh direction, decoupled by an exact zero.
        self.projected[j + 1, j] = 0.0 if breakdown else beta
        self.vectors[j + 1] = self._fresh(j + 1) if breakdown else w / beta
        self.length = j + 1

    def _breaks_down(self, beta: float) -> bool:
        """Return whether rounding is all that is left of a product."""
        return beta <= ROUNDING * self.epsilon * self.scale

    def _append_block(self) -> None:
        """Append a block by block Gram-Schmidt (Barlow and Smoktunowicz, Numer. Math. 123, 2013)."""
        b, end = self.width, self.length + self.width
        rows = self.vectors[:end]
        w = self._times(self.vectors[self.length : end])
        norms = self.space.norm(w, dim=0)
        self._require_finite(norms.cpu().numpy())
        self.scale = max(self.scale, float(norms.max()))
        column, border, w = orthogonalise_block(rows, w, self.space)
        # Rotated so that a lack of rank shows in whole columns.
        left, sizes, right = self.space.agreed(tuple(torch.linalg.svd(border)))
        w = w @ left.to(w)
        lost = (sizes <= ROUNDING * self.epsilon * self.scale).tolist()
        for i in (i for i in range(b) if lost[i]):
            sizes[i] = 0.0
            w[:, i] = self._fresh(end, torch.cat([w[:, :i], w[:, [m for m in range(i + 1, b) if not lost[m]]]], dim=1))
        self.projected[:end, self.length : end] = column.numpy()
        self.projected[end : end + b, self.length : end] = (sizes[:, None] * right).numpy()
        self.vectors[end : end + b] = w.T
        self.length = end

    def _require_finite(self, numbers: Array) -> None:
        if not np.isfinite(numbers).all():
            raise GantoolsError(
                f"Product {self.operator.matvecs} of the operator contains NaN or infinite values: check that the "
                "parameters and the batch are finite and that the loss is differentiable there."
            )

    def _recurrence(self) -> tuple[Tensor | None, int]:
        """Return the entries of the next column above its diagonal that symmetry determines, and their first row."""
        j = self.length
        if not self.operator.symmetric or j == 0:
            return None, 0
        if self._unread:
            return self._unread[-1][-1:].to(self.operator.dtype), j - 1
        row = self.projected[j, :j]
        start = int(np.argmax(row != 0.0)) if row.any() else j
        return torch.as_tensor(row[start:]).to(dtype=self.operator.dtype, device=self.vectors.device), start

    @property
    def full(self) -> bool:
        """Whether there is no room for another vector or block."""
        return self.length + self.width > self.size

    @property
    def square(self) -> Array:
        """The projection (j, j)."""
        return self.projected[: self.length, : self.length]

    @property
    def border(self) -> Array:
        """The rows (width, j) of the projection that couple the basis to its continuation."""
        return self.projected[self.length : self.length + self.width, : self.length]

    def residuals(self, coordinates: Array) -> Array:
        """Return the residual norms (m,) of Ritz vectors with unit coordinates (j, m)."""
        return np.linalg.norm(self.border @ coordinates, axis=0)

    def restart(self, rotation: Array, square: Array) -> None:
        """Shrink the basis to V Q for Q = `rotation` (j, p), whose projection is `square` (p, p)."""
        kept, width = rotation.shape[1], self.width
        border = self.border @ rotation
        # Deflation: a direction that couples less than rounding is invariant as far as this dtype can tell.
        border[:, np.linalg.norm(border, axis=0) <= self.epsilon * self.scale] = 0.0
        continuation = self.vectors[self.length : self.length + width].clone()
        matrix = torch.as_tensor(rotation).to(dtype=self.operator.dtype, device=self.vectors.device)
        for part in self.vectors[: self.length].split(ENTRIES, dim=1):
            part[:kept] = combined(part, matrix).T
        self.vectors[kept : kept + width] = continuation
        self.projected[:] = 0.0
        self.projected[:kept, :kept] = square
        self.projected[kept : kept + width, :kept] = border
        self.length = kept

    def state(self) -> BasisState:
        """Return what `restore` goes on from, on the host; it may share memory with the basis.

        Vectors that were not judged yet are dropped.
        """
        self.length -= len(self._unread)
        self._unread = []
        rows = self.vectors[: self.length + self.width].cpu()
        return BasisState(rows, torch.from_numpy(self.projected), self.scale, self.generator.get_state())

    def restore(self, state: BasisState) -> bool:
        """Go on from a state if it fits and is this operator's, which one product shows; return whether it is."""
        vectors, projected = state.vectors, state.projected.numpy()
        if projected.shape != self.projected.shape or vectors.shape[1] != self.space.held:
            return False
        if vectors.dtype != self.vectors.dtype:
            return False
        self.length = len(vectors) - self.width
        self.vectors[: len(vectors)] = vectors.to(self.vectors.device)
        self.projected[:] = projected
        self.scale = float(state.scale)
        self.generator.set_state(state.generator)
        weights = np.linspace(1, 2, max(self.length, 1))[: self.length]
        expected = self.lift((self.projected[:, : self.length] @ weights)[: len(vectors)][:, None])[:, 0]
        product = self._times(self.lift(weights[:, None])[:, 0]) if self.length else expected
        rounding = float(torch.finfo(self.vectors.dtype).eps)
        allowed = 1e3 * rounding * self.scale * float(np.linalg.norm(weights))
        return float((product - expected).norm()) <= allowed

    def lift(self, coordinates: Array) -> Tensor:
        """Return the vectors (n, k) with real coordinates (j, k) in the basis, in the operator's precision."""
        matrix = torch.as_tensor(coordinates).to(dtype=self.operator.dtype, device=self.vectors.device)
        return combined(self.vectors[: len(coordinates)], matrix)
