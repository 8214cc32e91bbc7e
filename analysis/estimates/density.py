"""The spectral density of a symmetric operator, with rigorous bounds on its distribution function."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from gantools.analysis.estimates.quadrature import ProbeMeasure, fraction_interval, pooled, probe_measures
from gantools.analysis.operators.linear_operator import LinearOperator


@dataclass(frozen=True)
class Density:
    """The spectral density of a symmetric operator, and bounds on its distribution function. All float64, on the CPU.

    Attributes:
        nodes: (probes, steps), nodes of the Gauss rules.
        weights: (probes, steps), their weights, which sum to one in each row; 0 where a probe's measure ended early.
        grid: (points,), eigenvalue units.
        density: (points,), smoothed by a Gaussian of standard deviation `width`; integrates to one.
        lower: (points,), lower bounds on the fraction of eigenvalues <= grid, at `confidence` at each point. They hold
            without any smoothing; the density itself has no such bound.
        upper: (points,), upper bounds, likewise.
        atom: (low, high), at `confidence`, of the fraction of eigenvalues that are zero to the rounding of products,
            where quadrature proves that there are some; else None. It is left out of the curve, which would blur it.
        width: standard deviation of the smoothing, in eigenvalue units.
        confidence: of the bounds and of `atom`.
        seed: of the probes.
        matvecs: products spent.
        n: order of the operator.
        measures: the probes' measures, from which `cdf` computes tighter bounds.
    """

    nodes: Tensor
    weights: Tensor
    grid: Tensor
    density: Tensor
    lower: Tensor
    upper: Tensor
    width: float
    confidence: float
    seed: int
    matvecs: int
    n: int
    atom: tuple[float, float] | None = None
    measures: tuple[ProbeMeasure, ...] = field(default=(), repr=False, compare=False)

    def cdf(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return bounds on the fractions of eigenvalues <= points (p,), tighter than the grid's: a Radau rule each."""
        brackets = np.array([[measure.bracket(float(x)) for x in points] for measure in self.measures])
        low, high = (pooled(list(self.measures), brackets[..., end]) for end in (0, 1))
        lower, upper = fraction_interval(low, high, self.n, len(self.measures), self.confidence)
        return torch.from_numpy(lower), torch.from_numpy(upper)

    def to_numpy(self) -> dict[str, np.ndarray]:
        """Return rules, curve and bounds as arrays, ready for `numpy.savez(path, **d.to_numpy())`."""
        return {name: getattr(self, name).numpy() for name in ("nodes", "weights", "grid", "density", "lower", "upper")}

    def __str__(self) -> str:
        (probes, steps), gap = self.nodes.shape, self.upper - self.lower
        atom = f" Between {self.atom[0]:.2%} and {self.atom[1]:.2%} are zero." if self.atom else ""
        return (
            f"Spectral density of {self.n} eigenvalues between {self.nodes.min():.4g} and {self.nodes.max():.4g}, from "
            f"{probes} probe{'s' * (probes > 1)} of {steps} steps ({self.matvecs} products); the distribution function "
            f"is known to within {gap.median():.3f} ({gap.max():.3f} at worst) at {self.confidence:.0%}.{atom}"
        )


def spectral_density(
    A: LinearOperator,
    probes: int = 10,
    steps: int = 80,
    seed: int = 0,
    points: int = 512,
    width: float | None = None,
    confidence: float = 0.95,
) -> Density:
    r"""Estimate the spectral density $\frac1n \sum_i \delta(\lambda - \lambda_i)$ by stochastic Lanczos quadrature.

    With full reorthogonalisation (Ubaru, Chen and Saad 2017; error theory: Chen, Trogdon and Ubaru, arXiv:2105.06595,
    by which steps matter more than probes when n is large). The envelope adds the two errors: of the quadrature
    (Chebyshev-Markov-Stieltjes) and of the probes (`fraction_interval`).

    Args:
        A: a symmetric operator.
        probes: random vectors; probes * steps products are spent.
        steps: Lanczos steps from each; the basis of a probe holds as many vectors.
        seed: of the random vectors.
        points: of the grid, which reaches three widths beyond the outermost nodes.
        width: of the smoothing, by default the range over `steps`, about the resolution of the rule.
        confidence: of the envelope, at each point.

    Raises:
        GantoolsError: for a non-symmetric operator, no probes or steps, or products that are not finite.
    """
    measures, scale, products = probe_measures(A, probes, steps, seed)
    most = max(len(measure.nodes) for measure in measures)
    nodes = np.stack([np.pad(m.nodes, (0, most - len(m.nodes)), mode="edge") for m in measures])
    weights = np.stack([np.pad(m.weights, (0, most - len(m.weights))) for m in measures])
    span = float(nodes.max() - nodes.min())
    # A multiple of the identity has no width of its own: draw it as a narrow peak.
    width = width or (span / most if span > 1e-12 * scale else 1e-3 * scale) or 1e-3
    grid = np.linspace(nodes.min() - 3 * width, nodes.max() + 3 * width, points)
    zero = 32 * A.precision * scale
    atom, tight = _atom(measures, zero, A.n, probes, confidence)
    smooth = np.where(np.abs(nodes) <= zero, 0.0, weights) if tight else weights
    share = pooled(measures, smooth[..., None] * _gaussian(grid - nodes[..., None], width)).sum(axis=0)
    brackets = np.array([measure.coarse_bracket(grid) for measure in measures])
    lower, upper = fraction_interval(
        pooled(measures, brackets[:, 0]), pooled(measures, brackets[:, 1]), A.n, probes, confidence
    )
    return Density(
        nodes=torch.from_numpy(nodes),
        weights=torch.from_numpy(weights),
        grid=torch.from_numpy(grid),
        density=torch.from_numpy(share),
        lower=torch.from_numpy(lower),
        upper=torch.from_numpy(upper),
        width=float(width),
        confidence=confidence,
        seed=seed,
        matvecs=products,
        n=A.n,
        atom=atom,
        measures=tuple(measures),
    )


def _atom(
    measures: list[ProbeMeasure], zero: float, n: int, probes: int, confidence: float
) -> tuple[tuple[float, float] | None, bool]:
    """Return bounds on the mass within `zero` of 0, if it is proved positive, and whether the rules resolve it."""
    if zero == 0.0:
        return (1.0, 1.0), True
    below, upto = (np.array([measure.bracket(x) for measure in measures]) for x in (-zero, zero))
    low = pooled(measures, np.maximum(upto[:, 0] - below[:, 1], 0.0))
    high = pooled(measures, upto[:, 1] - below[:, 0])
    if low <= 0.0:
        return None, False
    lower, upper = fraction_interval(np.array(low), np.array(high), n, probes, confidence)
    return (float(lower), float(upper)), bool(high - low < 0.1 * low)


def _gaussian(distance: np.ndarray, width: float) -> np.ndarray:
    return np.exp(-0.5 * (distance / width) ** 2) / (width * np.sqrt(2 * np.pi))
