"""Random operators with known spectra, and what an answer about them must not do; for a test and a long search."""

import numpy as np
import torch

from gantools.analysis import eigenvalues
from tests import oracles

SYMMETRIC = ("clusters", "copies", "low rank", "pairs", "decay", "bulk", "identity", "zero")
GENERAL = ("rotations", "outliers", "skew", "conditioned", "jordan", "grcar")
SELECTIONS = ("LM", "LR", "SR", "LI")


def symmetric_values(family: str, n: int, rng: np.random.Generator) -> np.ndarray:
    """Return n eigenvalues of a kind that solvers have been wrong about."""
    few = int(rng.integers(1, 8))
    if family == "clusters":
        gap = 10.0 ** -rng.integers(3, 9)
        return np.concatenate([rng.random(n - few), 1.5 + gap * np.arange(few)])
    if family == "copies":
        return np.concatenate([rng.standard_normal(n - few), np.full(few, 5.0)])
    if family == "low rank":
        return np.concatenate([np.zeros(n - few), rng.standard_normal(few)])
    if family == "pairs":
        ends = rng.random(few) + 1
        return np.concatenate([0.5 * rng.standard_normal(n - 2 * few), ends, -ends])
    if family == "decay":
        return 10.0 ** -np.linspace(0, rng.integers(3, 14), n) * rng.choice([-1, 1], n)
    if family == "bulk":
        return rng.standard_normal(n) ** 3
    return np.full(n, 0.0 if family == "zero" else rng.standard_normal())


def general_operator(family: str, n: int, rng: np.random.Generator, dtype: torch.dtype):
    """Return a non-symmetric operator and its eigenvalues; for the defective ones those of LAPACK."""
    half, seed = n // 2, int(rng.integers(1000))
    if family in ("jordan", "grcar"):
        n = min(n, 60)
        matrix = oracles.grcar(n) if family == "grcar" else 0.5 * torch.eye(n) + torch.diag(torch.ones(n - 1), 1)
        matrix = matrix.to(dtype)
        return oracles.matrix_operator(matrix), np.linalg.eigvals(matrix.double().numpy())
    real, imaginary = rng.standard_normal(half) ** 3, np.abs(rng.standard_normal(half)) ** 3
    outliers: np.ndarray = np.zeros(0)
    if family == "outliers":
        real, imaginary, outliers = 0.01 * real, 0.05 * imaginary, np.linspace(5, 20, int(rng.integers(5, 50)))
    if family == "skew":
        real = np.zeros(half)
    condition = 10.0 ** rng.uniform(0, 2) if family == "conditioned" else 1.0
    return oracles.rotations(real, imaginary, outliers, dtype, condition, seed)


def score(values: np.ndarray, which: str) -> np.ndarray:
    """Return how good eigenvalues are; written again here, apart from the library."""
    return {"LM": np.abs(values), "LR": values.real, "SR": -values.real, "LI": np.abs(values.imag)}[which]


def complaint(family: str, which: str, n: int, k: int, seed: int, single: bool) -> str:
    """Return what is wrong with the answer to a random problem: a wrong value marked converged, or an omission without
    a warning after a verified search; empty if nothing is."""
    rng = np.random.default_rng(seed)
    dtype = torch.float32 if single else torch.float64
    if family in SYMMETRIC:
        truth = symmetric_values(family, n, rng)
        A = oracles.symmetric(truth, dtype, seed=seed % 1000)
    else:
        A, truth = general_operator(family, n, rng, dtype)
    n, scale = A.n, max(float(np.abs(truth).max()), 1e-300)
    rounding = 300 * float(torch.finfo(dtype).eps) * scale
    limit, block = 60 * max(20, 4 * k), (1, 1, 2, 4)[seed % 4]
    s = eigenvalues(A, min(k, n), which, tol=1e-6, seed=seed, verify=True, max_matvecs=block * limit, block=block)
    values, good = s.values.numpy().astype(complex), s.converged.numpy()
    if family not in ("jordan", "grcar", "conditioned"):
        for value, error in zip(values[good], s.errors.numpy()[good], strict=True):
            if np.abs(truth - value).min() > 10 * error + 1e-6 * abs(value) + rounding:
                return (
                    f"{value} is marked converged, and the nearest eigenvalue is {np.abs(truth - value).min():.1e} away"
                )
    elif good.any():
        # Eigenvalues of these move by far more than the residual, which is all that is promised.
        V = s.vectors[:, s.converged].to(dtype.to_complex())
        residual = torch.linalg.vector_norm(A @ V - V * s.values[s.converged].to(V.dtype), dim=0).double()
        if bool((residual > 1.1 * s.residuals[s.converged] + rounding).any()):
            return "a residual is larger than reported"
        return ""
    if s.verified and good.all():
        best = np.sort(score(truth.astype(complex), which))[::-1][: len(values)]
        found = np.sort(score(values, which))[::-1]
        worst = float((best[: len(found)] - found).max())
        if worst > 1e-4 * scale + rounding:
            return f"missed by {worst:.1e} under {which}, though verified: {s.message}"
    return ""
