"""The effective dimension of a curvature matrix: how many directions are determined against a damping."""

from __future__ import annotations

import numpy as np

from gantools.analysis.eigen.dense import assemble
from gantools.analysis.estimates.quadrature.measure import ProbeMeasure
from gantools.analysis.estimates.quadrature.plan import plan
from gantools.analysis.estimates.quadrature.probes import Probing
from gantools.analysis.estimates.traces import Estimate, estimate
from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.errors import GantoolsError


def effective_dimension(
    A: LinearOperator, damping: float, probes: int = 10, steps: int = 60, seed: int = 0, max_whole: int = 2000
) -> Estimate:
    r"""Estimate $\mathrm{tr}\, A (A + \lambda I)^{-1}$: how many directions are determined against the damping.

    (MacKay 1992; Maddox, Benton and Wilson, arXiv:2003.02139.) By stochastic Lanczos quadrature. $x/(x+\lambda)$ has
    derivatives of alternating signs, so the Gauss rule and the Gauss-Radau rule with a node at 0 bracket each probe's
    value; the value is the bracket's middle, and `bias` reaches to its ends.

    Args:
        A: a positive semidefinite operator: a Gauss-Newton or Fisher matrix, or a Hessian at a minimum.
        damping: $\lambda$, positive.
        probes: random vectors.
        steps: Lanczos steps for each.
        seed: of the random vectors.
        max_whole: largest n for which the whole matrix is formed instead, in n products.

    Raises:
        GantoolsError: for an operator that is not symmetric or has negative eigenvalues, and a damping <= 0.

    >>> gt.analysis.effective_dimension(gt.analysis.identity(10), damping=1.0).value
    5.0
    """
    if not A.symmetric:
        raise GantoolsError("The effective dimension belongs to a symmetric operator: take gauss_newton or fisher.")
    if not damping > 0:
        raise GantoolsError(f"damping = {damping} is not positive: give a positive number such as 1e-3.")
    if probes < 2:
        raise GantoolsError(f"probes = {probes} gives no standard error: give 2 or more.")
    if max_whole >= A.n:
        values = np.linalg.eigvalsh(assemble(A))
        _require_nonnegative(values, A)
        values = np.maximum(values, 0.0)
        return estimate(A, float((values / (values + damping)).sum()), 0.0, 0, "whole matrix", A.n, None)
    found = Probing(A, plan(A, probes, steps), seed).run()
    values = found.known.values
    _require_nonnegative(np.concatenate([values, *(m.nodes for m in found.measures)]), A)
    known = float((values / (values + damping)).sum())
    brackets = known + found.rest * np.array([_bracket(measure, damping) for measure in found.measures])
    low, high = brackets.mean(axis=0)
    middle = brackets.mean(axis=1)
    reach = float(high - low) / 2
    error = float(middle.std(ddof=1) / probes**0.5)
    return estimate(A, float(middle.mean()), error, probes, "Lanczos quadrature", found.products, seed, (-reach, reach))


def _require_nonnegative(values: np.ndarray, A: LinearOperator) -> None:
    scale = float(np.abs(values).max(initial=0.0))
    rounding = max(100 * A.precision, 1e-12) * scale
    if float(values.min()) < -rounding:
        raise GantoolsError(
            f"The operator has a negative eigenvalue ({values.min():.3g}), so that directions do not add up to a "
            "dimension: take gauss_newton or fisher, which have none."
        )


def _bracket(measure: ProbeMeasure, damping: float) -> tuple[float, float]:
    r"""Return bounds on $\int x/(x+\lambda)\, d\mu$ of a probe's measure on $[0, \infty)$."""
    nodes = np.maximum(measure.nodes, 0.0)
    gauss = float((measure.weights * nodes / (nodes + damping)).sum())
    if measure.exact or measure.nodes.min() <= measure.margin:
        return gauss, gauss
    # The corner entry that puts a node at 0; e_1^T f(T) e_1 then needs no more than its first components.
    corner = measure.off_diagonal[-1] ** 2 * float((measure.vectors[-1] ** 2 / measure.nodes).sum())
    T = np.diag(np.append(measure.diagonal, corner)) + np.diag(measure.off_diagonal, 1)
    values, vectors = np.linalg.eigh(T + np.triu(T, 1).T)
    values = np.maximum(values, 0.0)
    radau = float((vectors[0] ** 2 * values / (values + damping)).sum())
    return min(radau, gauss), max(radau, gauss)
