"""Inertia: the numbers of negative, zero and positive eigenvalues, exact or with intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from gantools.analysis.eigen.dense import LONG, assemble
from gantools.analysis.estimates.exact_half_planes import bounded_curve, counted, real_parts
from gantools.analysis.estimates.half_planes import leading_half_planes
from gantools.analysis.estimates.index_estimate import estimated_index, tolerances
from gantools.analysis.estimates.index_result import NAMES, Index
from gantools.analysis.estimates.inertia import counts_from_factors, gap_tolerance
from gantools.analysis.estimates.quadrature.plan import plan
from gantools.analysis.estimates.quadrature.probes import Probing, Tell, untold
from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.errors import GantoolsError
from gantools.signals import interruptibly

Array = NDArray[Any]

METHODS = ("auto", "exact", "factors", "estimate", "leading")


def index(
    A: LinearOperator,
    tol: float | None = None,
    method: str = "auto",
    probes: int | None = None,
    steps: int | None = None,
    max_exact: int = 4096,
    confidence: float = 0.95,
    seed: int = 0,
    k: int = 10,
    leading: int | None = None,
    store: str | Path | None = None,
    progress: Tell = untold,
    interruptible: bool = False,
) -> Index:
    r"""Count the negative, zero and positive eigenvalues of an operator, or bound how many there are.

    Exact: the whole matrix, LAPACK in float64; if not symmetric, real parts within the rounding of their eigenvalues
    are neutral, and where that is large, undecided (see `exact_half_planes`). Factors: the same matrix, $LDL^\top$ at
    $\pm\tau$. Estimate: leading eigenvalues and zero rows one by one, the rest by Lanczos quadrature with three
    vectors; per probe a Gauss-Radau bracket of the mass below $-\tau$ and above $\tau$, which holds whatever the number
    of steps, and the exact law of the pooled probes for what they omit (see `quadrature`).
    Leading, of non-symmetric operators, which have no such law: eigenvalues at both ends, and a box around all (see
    `half_planes`).

    Args:
        A: the operator. If not symmetric, real parts are counted.
        tol: $\tau$, the size up to which an eigenvalue counts as zero, absolute. By default, if exact, from the gap
            between the structural zeros and the rest (`gap_tolerance`), or, if not symmetric, each eigenvalue's own
            error; if estimated, the finest size whose intervals are at most 5 points wide. Neither is finer than 4 eps
            times the largest |eigenvalue| where no gap shows. Of "leading", 32 eps times the largest |A v|.
        method: "exact", "factors" (needs tol=; several times faster), "estimate" (if symmetric), "leading" (if not), or
            "auto": exact up to n = `max_exact`.
        probes: random vectors of the estimate, which costs probes * steps products. By default 1600 products, split so
            as to make the interval narrow: its width has a part that falls like 1 / steps and one like 1 / sqrt(probes
            n).
        steps: Lanczos steps from each of them. The size that can be told from zero falls about like 1 / steps.
        max_exact: largest n for which "auto" forms the whole matrix.
        confidence: of each interval that is estimated.
        seed: of the random vectors.
        k: how many leading eigenvalues at each end, of "leading".
        leading: eigenpairs that the estimate computes first and projects out: by default 20, or what a GPU's memory
            allows; none where n is so small that bases are stored (64 MiB).
        store: file that the estimate keeps its vectors in; a later call with more steps goes on from it.
        progress: called with the products made and planned, of the estimate.
        interruptible: return the interval of the steps made so far when interrupted (Ctrl-C), once there are any.

    Raises:
        GantoolsError: for an unknown method, one that is not for this operator, and an update map (its eigenvalues are
            judged by the unit circle).

    >>> values = torch.tensor([-1.0, 0.0, 1.0, 2.0], dtype=torch.float64)
    >>> i = gt.analysis.index(gt.analysis.LinearOperator(lambda u: values * u, 4, symmetric=True))
    >>> i.negative, i.zero, i.positive
    (0.25, 0.25, 0.5)
    """
    _check(A, tol, method, confidence)
    if method in ("exact", "factors") or (method == "auto" and max_exact >= A.n):
        result = _whole(A, tol, max(max_exact, A.n if method != "auto" else 0), confidence, seed, method == "factors")
    elif not A.symmetric:
        result = leading_half_planes(A, tol, k, confidence, seed, _zero_rows(A, seed))
    else:
        probing = Probing(A, plan(A, probes, steps, leading), seed, progress, None if store is None else Path(store))
        result = estimated_index(probing.run(interruptible), tol, confidence, seed)
    return replace(result, gradient_norm=getattr(A, "field_norm", None))


def _check(A: LinearOperator, tol: float | None, method: str, confidence: float) -> None:
    if method not in METHODS:
        raise GantoolsError(f"Unknown method {method!r} of index: use {', '.join(map(repr, METHODS))}.")
    if not 0 < confidence < 1:
        raise GantoolsError(f"confidence = {confidence} is not a probability: give one between 0 and 1, such as 0.95.")
    if tol is not None and not tol >= 0:
        raise GantoolsError(
            f"tol = {tol} is not a size: give the absolute size, 0 or more, up to which an eigenvalue counts as zero."
        )
    if A.kind == "map":
        raise GantoolsError(
            "The eigenvalues of an update map are judged by the unit circle: use stability(spectrum(U))."
        )
    if method == "factors" and (tol is None or not A.symmetric):
        raise GantoolsError("method='factors' counts at a given tol= and for symmetric operators: use 'exact'.")
    if method == "estimate" and not A.symmetric:
        raise GantoolsError(
            "method='estimate' is for symmetric operators: half-planes of others are counted by 'exact', or bounded by "
            "'leading'."
        )
    if method == "leading" and A.symmetric:
        raise GantoolsError("method='leading' is for non-symmetric operators: use 'estimate' for a symmetric one.")


def _whole(A: LinearOperator, tol: float | None, limit: int, confidence: float, seed: int, factors: bool) -> Index:
    matrix, epsilon = assemble(A, limit), A.precision
    run = interruptibly if len(matrix) > LONG else _at_once
    scale, curve, undecided = float(np.linalg.norm(matrix, axis=0).max()), None, 0
    if factors:
        assert tol is not None
        counts, tau = run(partial(counts_from_factors, matrix, tol)), tol
        reason = "That tolerance was asked for; counted from factors."
    elif not A.symmetric:
        real, errors, neutral = run(partial(real_parts, matrix, epsilon))
        counts, undecided, tau, reason = counted(real, errors, neutral, tol)
        curve = partial(bounded_curve, real, errors, tolerances(epsilon, scale, tau))
    else:
        values = run(partial(np.linalg.eigvalsh, matrix))
        scale = float(np.abs(values).max())
        tau, reason = gap_tolerance(np.abs(values), epsilon)
        if tol is not None:
            tau, reason = tol, "That tolerance was asked for."
        counts = {"negative": int((values < -tau).sum()), "positive": int((values > tau).sum())}
        counts["zero"] = A.n - counts["negative"] - counts["positive"]
        curve = partial(bounded_curve, values, np.zeros(A.n), tolerances(epsilon, scale, tau))
    shares = {name: counts[name] / A.n for name in NAMES}
    return Index(
        negative=shares["negative"],
        zero=shares["zero"],
        positive=shares["positive"],
        interval={name: (shares[name], (counts[name] + undecided) / A.n) for name in NAMES},
        tolerance=tau,
        method="factors" if factors else "exact",
        counts={name: counts[name] for name in NAMES},
        symmetric=A.symmetric,
        n=A.n,
        matvecs=A.n,
        confidence=confidence,
        seed=seed,
        message=reason,
        certain={name: counts[name] for name in ("negative", "positive")},
        zero_rows=int((~matrix.any(axis=1)).sum()),
        make_curve=curve,
        undecided=undecided,
        scale=scale,
    )


def _at_once(work: Callable[[], Any]) -> Any:
    return work()


def _zero_rows(A: LinearOperator, seed: int) -> int:
    """Count the zero rows: those, and no others, make a product with a random vector exactly zero."""
    u = A.space.normal(A.dtype, A.device, torch.Generator().manual_seed(seed + 1))
    return int(A.space.total(((A @ u) == 0).sum()))
