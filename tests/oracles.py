"""Operators whose spectra are known in closed form."""

import numpy as np
import torch
from torch import Tensor

from gantools.analysis import LinearOperator

DTYPES = [torch.float64, torch.float32]


def orthogonal(n: int, seed: int = 0) -> Tensor:
    """Return an orthogonal matrix (n, n), float64."""
    generator = torch.Generator().manual_seed(seed)
    return torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))[0]


def matrix_operator(matrix: Tensor, **kwargs) -> LinearOperator:
    """Return the operator of a matrix, in its dtype, with its transpose and blocks."""
    return LinearOperator(
        lambda u: matrix @ u,
        len(matrix),
        dtype=matrix.dtype,
        rmatvec=lambda u: matrix.T @ u,
        matmat=lambda u: matrix @ u,
        rmatmat=lambda u: matrix.T @ u,
        **kwargs,
    )


def symmetric(values, dtype: torch.dtype = torch.float64, seed: int = 0, reflections: int = 3) -> LinearOperator:
    """Return Q diag(values) Q^T, matrix-free: Q is a product of Householder reflections, rounded like any product."""
    n = len(values)
    generator = torch.Generator().manual_seed(seed)
    unit = torch.randn(reflections, n, generator=generator, dtype=torch.float64)
    unit = torch.nn.functional.normalize(unit, dim=1).to(dtype)
    diagonal = torch.as_tensor(np.asarray(values, dtype=float)).to(dtype)[:, None]

    def matmat(u: Tensor) -> Tensor:
        for h in unit.flip(0):
            u = u - 2 * h[:, None] * (h @ u)
        u = diagonal * u
        for h in unit:
            u = u - 2 * h[:, None] * (h @ u)
        return u

    return LinearOperator(lambda u: matmat(u[:, None])[:, 0], n, dtype=dtype, matmat=matmat, symmetric=True)


def rotations(real, imaginary, outliers=(), dtype: torch.dtype = torch.float64, condition: float = 1.0, seed: int = 0):
    """Return a real matrix with eigenvalues real +- i imaginary and real `outliers`, and those eigenvalues.

    Blocks [[a, b], [-b, a]] under a similarity of condition number about `condition` (1: orthogonal, so normal).
    """
    outliers = np.asarray(outliers, dtype=float)
    n = len(outliers) + 2 * len(real)
    blocks = torch.diag(torch.as_tensor(np.concatenate([outliers, np.repeat(np.asarray(real, dtype=float), 2)])))
    for j, b in enumerate(imaginary):
        i = len(outliers) + 2 * j
        blocks[i, i + 1], blocks[i + 1, i] = b, -b
    Q, P = orthogonal(n, seed), orthogonal(n, seed + 1)
    stretch = torch.logspace(0, float(np.log10(condition)), n, dtype=torch.float64)
    S = Q * stretch @ P
    matrix = S @ blocks @ torch.linalg.inv(S)
    pairs = np.asarray(real) + 1j * np.asarray(imaginary)
    return matrix_operator(matrix.to(dtype)), np.concatenate([outliers + 0j, pairs, pairs.conj()])


def wilkinson() -> tuple[Tensor, np.ndarray]:
    """Return W21+, whose largest eigenvalues come in pairs that agree to 14 digits."""
    matrix = torch.diag((torch.arange(21, dtype=torch.float64) - 10).abs())
    matrix += torch.diag(torch.ones(20, dtype=torch.float64), 1) + torch.diag(torch.ones(20, dtype=torch.float64), -1)
    return matrix, np.linalg.eigvalsh(matrix.numpy())


def laplacian(m: int) -> tuple[LinearOperator, np.ndarray]:
    """Return the five-point Laplacian on an m x m grid, with true double eigenvalues, and all of them."""
    line = 2 * torch.eye(m, dtype=torch.float64)
    line -= torch.diag(torch.ones(m - 1, dtype=torch.float64), 1) + torch.diag(
        torch.ones(m - 1, dtype=torch.float64), -1
    )

    def matvec(u: Tensor) -> Tensor:
        grid = u.reshape(m, m)
        return (line @ grid + grid @ line).reshape(-1)

    one = 2 - 2 * np.cos(np.pi * np.arange(1, m + 1) / (m + 1))
    return LinearOperator(matvec, m * m, symmetric=True), np.sort((one[:, None] + one).ravel())


def clement(n: int) -> tuple[Tensor, np.ndarray]:
    """Return the symmetric Clement (Kac) matrix: eigenvalues -n + 1, -n + 3, ..., n - 1, so an exact inertia."""
    k = torch.arange(1, n, dtype=torch.float64)
    off = torch.sqrt(k * (n - k))
    return torch.diag(off, 1) + torch.diag(off, -1), np.arange(-n + 1, n, 2).astype(float)


def grcar(n: int) -> Tensor:
    """Return the Grcar matrix: non-normal, with eigenvalues on complex arcs and large pseudospectra."""
    matrix = -torch.diag(torch.ones(n - 1, dtype=torch.float64), -1)
    for d in range(4):
        matrix += torch.diag(torch.ones(n - d, dtype=torch.float64), d)
    return matrix


def distance(found, truth) -> float:
    """Return the largest distance of a one-to-one greedy matching of `found` to the nearest of `truth`."""
    free = np.asarray(truth, dtype=complex).copy()
    worst = 0.0
    for value in np.asarray(found):
        nearest = int(np.abs(free - value).argmin())
        worst = max(worst, float(abs(free[nearest] - value)))
        free[nearest] = np.inf
    return worst


def accuracy(dtype):
    return 1e-6 if dtype == torch.float64 else 1e-5


def check_vectors(A, s):
    """The residuals are true, and the vectors are unit."""
    V = s.vectors
    values = s.values.to(V.dtype)
    residuals = torch.linalg.vector_norm((A @ V) - V * values, dim=0)
    assert (torch.linalg.vector_norm(V, dim=0) - 1).abs().max() <= 10 * torch.finfo(A.dtype).eps
    slack = 10 * torch.finfo(A.dtype).eps * s.scale
    assert (residuals.double() - s.residuals).abs().max() <= slack


def vectors(n, k, seed=0):
    return torch.randn(n, k, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
