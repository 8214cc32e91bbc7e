"""The spectral density of a symmetric operator, with rigorous bounds on its distribution function."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from gantools.analysis.estimates.quadrature.measure import pooled
from gantools.analysis.estimates.quadrature.plan import plan
from gantools.analysis.estimates.quadrature.probes import ProbedSpectrum, Probing, Tell, untold
from gantools.analysis.estimates.quadrature.sampling import fraction_interval
from gantools.analysis.operators.linear_operator import LinearOperator

PRODUCTS = 800


@dataclass(frozen=True)
class Density:
    """The spectral density of a symmetric operator, and bounds on its distribution function. All float64, on the CPU.

    Attributes:
        nodes: (probes, nodes), leading eigenvalues, where such were computed, and the nodes of the Gauss rules.
        weights: (probes, nodes), their weights, which sum to one in each row; 0 where a probe's measure ended early.
        grid: (points,), eigenvalue units.
        density: (points,), smoothed by a Gaussian of standard deviation `width`; integrates to one.
        lower: (points,), lower bounds on the fraction of eigenvalues <= grid, at `confidence` at each point. They hold
            without any smoothing; the density itself has no such bound.
        upper: (points,), upper bounds, likewise.
        atom: (low, high), at `confidence`, of the fraction of eigenvalues that are zero to the rules' rounding,
            where quadrature proves that there are some; else None. It is left out of the curve, which would blur it.
        width: standard deviation of the smoothing, in eigenvalue units.
        confidence: of the bounds and of `atom`.
        seed: of the probes.
        matvecs: products spent.
        n: order of the operator.
        probes: random vectors.
        steps: Lanczos steps from each.
        interrupted: whether the work was, so that this rests on fewer steps than planned.
        found: the probes' measures, from which `cdf` computes bounds.
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
    probes: int
    steps: int
    atom: tuple[float, float] | None = None
    interrupted: bool = False
    found: ProbedSpectrum | None = field(default=None, repr=False, compare=False)

    def cdf(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return bounds on the fractions of eigenvalues <= points (p,): a Radau rule each, as on the grid."""
        assert self.found is not None
        order = torch.argsort(points)
        lower, upper = distribution(self.found, points[order].double().cpu().numpy(), self.confidence)
        back = torch.argsort(order)
        return torch.from_numpy(lower)[back], torch.from_numpy(upper)[back]

    def to_numpy(self) -> dict[str, np.ndarray]:
        """Return rules, curve and bounds as arrays, ready for `numpy.savez(path, **d.to_numpy())`."""
        return {name: getattr(self, name).numpy() for name in ("nodes", "weights", "grid", "density", "lower", "upper")}

    def __repr__(self) -> str:
        return (
            f"Density of {self.n} eigenvalues between {self.nodes.min():.4g} and {self.nodes.max():.4g}: "
            f"{self.probes} x {self.steps} Lanczos steps, {self.matvecs} products" + ", interrupted" * self.interrupted
        )

    def _repr_html_(self) -> str:
        from gantools.board.live.looks import density_look  # notebooks alone need them
        from gantools.board.live.notebook import frame

        return frame("spectral density", density_look(self), str(self), height=500)

    def __str__(self) -> str:
        gap = self.upper - self.lower
        atom = f" Between {self.atom[0]:.2%} and {self.atom[1]:.2%} are zero." if self.atom else ""
        return (
            f"Spectral density of {self.n} eigenvalues between {self.nodes.min():.4g} and {self.nodes.max():.4g}, from "
            f"{self.probes} probe{'s' * (self.probes > 1)} of {self.steps} steps ({self.matvecs} products); the "
            f"distribution function is known to within {gap.median():.3f} ({gap.max():.3f} at worst) at "
            f"{self.confidence:.0%}.{atom}"
        )


def spectral_density(
    A: LinearOperator,
    probes: int | None = None,
    steps: int | None = None,
    seed: int = 0,
    points: int = 512,
    width: float | None = None,
    confidence: float = 0.95,
    leading: int | None = None,
    progress: Tell = untold,
    interruptible: bool = False,
) -> Density:
    r"""Estimate the spectral density $\frac1n \sum_i \delta(\lambda - \lambda_i)$ by stochastic Lanczos quadrature.

    Leading eigenvalues and zero rows one by one, the rest by probes (Ubaru, Chen and Saad 2017), with three vectors
    each where bases would be large (error theory: Chen, Trogdon and Ubaru, arXiv:2105.06595, by which steps matter more
    than probes when n is large). The envelope adds the two errors: of the quadrature (Chebyshev-Markov-Stieltjes) and
    of the probes (`fraction_interval`).

    Args:
        A: a symmetric operator.
        probes: random vectors; probes * steps products are spent, by default 800, and more probes than one taken only
            where the error of sampling leads.
        steps: Lanczos steps from each.
        seed: of the random vectors.
        points: of the grid, which reaches three widths beyond the outermost nodes.
        width: of the smoothing, by default the range over `steps`, about the resolution of the rule, or what the grid
            can show.
        confidence: of the envelope, at each point.
        leading: eigenpairs to compute first, see `index`.
        progress: called with the products made and planned.
        interruptible: return the density of the steps made so far when interrupted (Ctrl-C), once there are any.

    Raises:
        GantoolsError: for a non-symmetric operator, no probes or steps, or products that are not finite.

    >>> A = gt.analysis.LinearOperator(lambda u: torch.arange(1.0, 101.0, dtype=u.dtype) * u, 100, symmetric=True)
    >>> low, high = gt.analysis.spectral_density(A, probes=4, steps=20).cdf(torch.tensor([50.5], dtype=torch.float64))
    >>> bool(low <= 0.5 <= high)
    True
    """
    work = plan(A, probes, steps, leading, PRODUCTS)
    found = Probing(A, work, seed, progress).run(interruptible)
    nodes, weights = _rules(found)
    span = float(nodes.max() - nodes.min())
    # A multiple of the identity has no width of its own: draw it as a narrow peak.
    width = width or (span / min(found.steps, points / 4) if span > 1e-12 * found.scale else 1e-3 * found.scale) or 1e-3
    grid = np.linspace(nodes.min() - 3 * width, nodes.max() + 3 * width, points)
    zero = 3 * max(measure.margin for measure in found.measures)
    atom, tight = _atom(found, zero, confidence)
    smooth = np.where(np.abs(nodes) <= zero, 0.0, weights) if tight else weights
    share = pooled(found.measures, smooth[..., None] * _gaussian(grid - nodes[..., None], width)).sum(axis=0)
    lower, upper = distribution(found, grid, confidence)
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
        matvecs=found.products,
        n=A.n,
        probes=len(found.measures),
        steps=found.steps,
        atom=atom,
        interrupted=found.interrupted,
        found=found,
    )


def _rules(found: ProbedSpectrum) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights (probes, nodes) of all eigenvalues: those known, and each probe's rule for the rest."""
    known = np.append(found.known.values, 0.0)
    shares = np.append(np.ones(len(known) - 1), found.n - found.rest - len(known) + 1) / found.n
    known, shares = known[shares > 0], shares[shares > 0]
    most = max(len(m.nodes) for m in found.measures)
    nodes = [np.pad(np.append(known, m.nodes), (0, most - len(m.nodes)), mode="edge") for m in found.measures]
    weights = [
        np.pad(np.append(shares, m.weights * found.rest / found.n), (0, most - len(m.nodes))) for m in found.measures
    ]
    return np.stack(nodes), np.stack(weights)


def distribution(found: ProbedSpectrum, points: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Return bounds (p,) on the fractions of eigenvalues <= points (p,) ascending."""
    brackets = found.brackets(points)
    likely = fraction_interval(brackets[:, 0], brackets[:, 1], found.rest, len(found.measures), confidence)
    rows = np.where(points >= 0.0, found.n - found.rest - len(found.known.values), 0)
    lower, upper = (
        (count + rows + found.rest * share) / found.n
        for count, share in zip(found.known.counts(points), likely, strict=True)
    )
    return lower, upper


def _atom(found: ProbedSpectrum, zero: float, confidence: float) -> tuple[tuple[float, float] | None, bool]:
    """Return bounds on the mass within `zero` of 0, if it is proved positive, and whether the rules resolve it."""
    if zero == 0.0:
        return (1.0, 1.0), True
    rows = found.n - found.rest - len(found.known.values)
    below, upto = found.brackets(np.array([-zero, zero]))
    low, high = max(upto[0] - below[1], 0.0), upto[1] - below[0]
    if low <= 0.0 and rows == 0:
        return None, False
    lower, upper = fraction_interval(np.array(low), np.array(high), found.rest, len(found.measures), confidence)
    least, most = ((rows + found.rest * float(share)) / found.n for share in (lower, upper))
    return (least, most), bool(most - least < 0.1 * least or high - low < 0.1 * low)


def _gaussian(distance: np.ndarray, width: float) -> np.ndarray:
    return np.exp(-0.5 * (distance / width) ** 2) / (width * np.sqrt(2 * np.pi))
