"""Random operators with known spectra, and what an answer about them must not do; for a test and a long search."""

import dataclasses

import numpy as np
import torch

from gantools.analysis import eigenvalues, index, stability
from tests import oracles

SYMMETRIC = ("clusters", "copies", "low rank", "pairs", "decay", "bulk", "identity", "zero")
GENERAL = ("rotations", "outliers", "skew", "conditioned", "jordan", "grcar")
ILL_CONDITIONED = ("jordan", "grcar", "conditioned")
INTERIOR = ("SM", "NI", "NU")
SELECTIONS = ("LM", "LR", "SR", "LI", *INTERIOR)
REAL_SELECTIONS = ("LM", "LR", "SR", *INTERIOR)


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
    """Return a non-symmetric operator and its eigenvalues, those of the matrices as they are rounded to the dtype."""
    half, seed = n // 2, int(rng.integers(1000))
    if family in ("jordan", "grcar"):
        n = min(n, 60)
        matrix = oracles.grcar(n) if family == "grcar" else 0.5 * torch.eye(n) + torch.diag(torch.ones(n - 1), 1)
        truth = np.linalg.eigvals(matrix.double().numpy()) if family == "grcar" else np.full(n, 0.5)
        return oracles.matrix_operator(matrix.to(dtype)), truth
    real, imaginary = rng.standard_normal(half) ** 3, np.abs(rng.standard_normal(half)) ** 3
    outliers: np.ndarray = np.zeros(0)
    if family == "outliers":
        real, imaginary, outliers = 0.01 * real, 0.05 * imaginary, np.linspace(5, 20, int(rng.integers(5, 50)))
    if family == "skew":
        real = np.zeros(half)
    condition = 10.0 ** rng.uniform(0, 4) if family == "conditioned" else 1.0
    if family == "conditioned":  # attracting or repelling as a whole, by little
        real = (np.abs(real) + 10.0 ** -rng.uniform(0, 7)) * rng.choice([-1, 1])
    A, truth = oracles.rotations(real, imaginary, outliers, dtype, condition, seed)
    return A, np.linalg.eigvals(A.dense().double().numpy()) if family == "conditioned" else truth


def score(values: np.ndarray, which: str) -> np.ndarray:
    """Return how good eigenvalues are; written again here, apart from the library."""
    return {
        "LM": np.abs(values),
        "LR": values.real,
        "SR": -values.real,
        "LI": np.abs(values.imag),
        "SM": -np.abs(values),
        "NI": -np.abs(values.real),
        "NU": -np.abs(np.abs(values) - 1),
    }[which]


@dataclasses.dataclass(frozen=True)
class Case:
    """A random problem.

    Attributes:
        family: of the spectrum, see `SYMMETRIC` and `GENERAL`.
        which: the selection, one of `SELECTIONS`.
        n: order of the operator, about.
        k: eigenvalues asked for.
        seed: of everything that is random.
        single: float32.
        kind: "field", or "map" of a general operator.
    """

    family: str
    which: str
    n: int
    k: int
    seed: int
    single: bool
    kind: str = "field"

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the products."""
        return torch.float32 if self.single else torch.float64

    def operator(self):
        """Return the operator and its eigenvalues."""
        rng = np.random.default_rng(self.seed)
        if self.family in SYMMETRIC:
            truth = symmetric_values(self.family, self.n, rng)
            return oracles.symmetric(truth, self.dtype, seed=self.seed % 1000), truth
        A, truth = general_operator(self.family, self.n, rng, self.dtype)
        A.kind = self.kind
        return A, truth

    def rounding(self, truth: np.ndarray) -> float:
        """Return what rounding in this precision may do to an eigenvalue of a normal operator."""
        return 300 * float(torch.finfo(self.dtype).eps) * max(float(np.abs(truth).max()), 1e-300)


def complaint(case: Case) -> str:
    """Return what is wrong with the answers to a random problem; empty if nothing is.

    A wrong value marked converged; an omission without a warning after a verified search, or under SM, NI and NU
    without a doubt; a verdict on stability or a count of the index that the truth contradicts.
    """
    A, truth = case.operator()
    limit, block = 40 * max(20, 4 * case.k), (1, 1, 2, 4)[case.seed % 4]
    options = {"tol": 1e-6, "seed": case.seed, "verify": True, "dense_limit": 0}
    if case.which in INTERIOR:
        options |= {"max_matvecs": (10**6, 3 * case.n // 4)[case.seed % 2]}
    else:
        options |= {"max_matvecs": block * limit, "block": block}
    s = eigenvalues(A, min(case.k, A.n), case.which, **options)
    words = _wrong_value(case, A, s, truth) or _omission(case, s, truth)
    if not words and case.family != "zero":
        words = _wrong_verdict(case, s, truth)
    if not words and case.seed % 10 == 0 and case.kind != "map":
        words = _wrong_index(case, A, truth)
    return words


def _wrong_value(case: Case, A, s, truth: np.ndarray) -> str:
    values, good, rounding = s.values.numpy().astype(complex), s.converged.numpy(), case.rounding(truth)
    if case.family not in ILL_CONDITIONED:
        for value, error in zip(values[good], s.errors.numpy()[good], strict=True):
            if np.abs(truth - value).min() > 10 * error + 1e-6 * abs(value) + rounding:
                return (
                    f"{value} is marked converged, and the nearest eigenvalue is {np.abs(truth - value).min():.1e} away"
                )
    elif good.any():
        # Eigenvalues of these move by far more than the residual, which is all that is promised.
        V = s.vectors[:, s.converged].to(case.dtype.to_complex())
        residual = torch.linalg.vector_norm(A @ V - V * s.values[s.converged].to(V.dtype), dim=0).double()
        if bool((residual > 1.1 * s.residuals[s.converged] + rounding).any()):
            return "a residual is larger than reported"
    return ""


def _omission(case: Case, s, truth: np.ndarray) -> str:
    sure = not s.doubt if case.which in INTERIOR else s.verified
    if case.family in ILL_CONDITIONED or not (sure and s.converged.all()):
        return ""
    values = s.values.numpy().astype(complex)
    best = np.sort(score(truth.astype(complex), case.which))[::-1][: len(values)]
    found = np.sort(score(values, case.which))[::-1]
    worst = float((best[: len(found)] - found).max())
    if worst > 1e-4 * max(float(np.abs(truth).max()), 1e-300) + case.rounding(truth):
        return f"missed by {worst:.1e} under {case.which}, without a warning: {s.message} {s.certified}"
    return ""


def _wrong_verdict(case: Case, s, truth: np.ndarray) -> str:
    """Compare the verdict with the true eigenvalues; where these are within rounding of the border, anything goes."""
    if not s.converged.any():
        return ""
    v, rounding = stability(s), case.rounding(truth)
    beyond = np.abs(truth) - 1 if case.kind == "map" else -np.real(truth)
    # One that is 0 may be neutral for its modulus; those that the library may call repelling are all not below.
    repelling, near = int((beyond >= -rounding).sum()), int((beyond > rounding).sum())
    if v.repelling > repelling:
        return f"{v.repelling} are said to repel, of which {repelling} do: {v}"
    if v.stable and near and (s.verified or s.complete):
        return f"said to be stable, and {near} repel: {v}"
    return ""


def _wrong_index(case: Case, A, truth: np.ndarray) -> str:
    """Compare what `index` calls certain, without the whole matrix, with the true counts."""
    i = index(A, method="leading" if not A.symmetric else "estimate", k=case.k, seed=case.seed)
    real, rounding = np.real(truth), case.rounding(truth)
    most = {
        "negative": int((real < -i.tolerance + rounding).sum()),
        "positive": int((real > i.tolerance - rounding).sum()),
    }
    for name, count in most.items():
        if i.certain[name] > count:
            return f"index is certain of {i.certain[name]} {name} ones, and there are {count}: {i}"
        least = int(((real < -i.tolerance - rounding) if name == "negative" else (real > i.tolerance + rounding)).sum())
        high = 1 - sum(i.certain[other] for other in most if other != name) / A.n
        if not A.symmetric:
            high = i.interval[name][1]
        if least > high * A.n + 1e-9:
            return f"index allows {high * A.n:.0f} {name} ones at most, and there are {least}: {i}"
    return ""
