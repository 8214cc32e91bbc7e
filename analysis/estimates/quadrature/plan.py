"""How many probes of how many steps are made, which vectors are kept, and what that costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.analysis.products.memory import free_bytes
from gantools.described import in_bytes
from gantools.errors import GantoolsError

PRODUCTS = 1600
STORED_BYTES = 2**26  # bases are kept up to this size: there orthogonalisation costs less than it gains
STORED_STEPS = 800  # of one probe, where bases are stored and nothing is asked for
TOGETHER_BYTES = 2**30  # vectors of probes that go in lock-step
LEADING = 20
SHARE = 0.5  # of a device's free memory that the vectors may take; products need the rest


@dataclass(frozen=True)
class ProbePlan:
    """The work of an estimate by quadrature, known before it starts.

    Attributes:
        probes: random vectors.
        steps: Lanczos steps from each.
        leading: eigenpairs computed first and projected out.
        stored: whether the bases are kept and orthogonalised.
        together: probes in lock-step.
        products: with the operator, at most.
        bytes: of all vectors that are kept at one time, without what a product needs.
    """

    probes: int
    steps: int
    leading: int
    stored: bool
    together: int
    products: int
    bytes: int

    def __str__(self) -> str:
        what = f"{self.probes} probe{'s' * (self.probes > 1)} of {self.steps} steps"
        first = f", after {self.leading} leading eigenvectors" if self.leading else ""
        return f"{what}{first}: {self.products} products, {in_bytes(self.bytes)} of vectors"


def split_products(n: int, probes: int | None, steps: int | None, products: int = PRODUCTS) -> tuple[int, int]:
    r"""Return how many probes of how many steps make the narrowest interval of a fraction, if they are not given.

    With $m = N / R$ steps for R probes the bracket is about $18 / m$ wide (measured on Hessians of classifiers) and the
    probes' part $3.9 \sqrt{2 \cdot 0.23 / (R n)}$; their sum is least at $R^{3/2} = 1.3 N / (18 \sqrt n)$. At given
    steps both parts are made equal. So more than one probe is taken only where the error of sampling leads.
    """
    if probes is None and steps is None:
        probes = int(np.clip(round((1.3 * products / (18 * np.sqrt(n))) ** (2 / 3)), 1, 16))
        if n * STORED_STEPS * 8 <= STORED_BYTES:
            # More steps of a stored basis would cost more in orthogonalisation than in products.
            probes = max(probes, products // STORED_STEPS)
    if probes is None:
        assert steps is not None
        enough = int(np.ceil((3.9 * steps / 18) ** 2 * 0.46 / n))
        probes = int(np.clip(products // max(steps, 1), 1, max(enough, 1)))
    return probes, products // max(probes, 1) if steps is None else steps


def plan(
    A: LinearOperator,
    probes: int | None = None,
    steps: int | None = None,
    leading: int | None = None,
    total: int = PRODUCTS,
) -> ProbePlan:
    """Return the work of an estimate.

    Args:
        A: the operator.
        probes: random vectors, see `split_products`.
        steps: Lanczos steps from each.
        leading: eigenpairs to compute first, by default none where the bases are stored, else 20, or as many as a GPU's
            free memory allows.
        total: products to split where probes or steps are not given.
    """
    if (probes is not None and probes < 1) or (steps is not None and steps < 1):
        raise GantoolsError(f"probes = {probes} and steps = {steps} must both be at least 1.")
    if leading is not None and leading < 0:
        raise GantoolsError(f"leading = {leading} is no number of eigenpairs: give 0 or more.")
    probes, steps = split_products(A.n, probes, steps, total)
    vector = -(-A.n // A.space.processes) * torch.finfo(A.dtype).bits // 8
    stored = leading is None and vector * min(steps, A.n) * probes <= STORED_BYTES
    if stored:
        steps = min(steps, A.n)
        return ProbePlan(probes, steps, 0, True, probes, probes * steps + 2, vector * probes * (steps + 4))
    together = int(np.clip(TOGETHER_BYTES // (4 * vector), 1, probes))
    most = max(0, (A.n - 3) // 4)
    leading = min(LEADING, most) if leading is None else min(leading, most)
    free = _free_bytes(A.device)
    while leading and free is not None and _kept(leading, together) * vector > SHARE * free:
        leading, together = leading // 2, max(1, together // 2)
    products = 2 + (7 * leading + 40 if leading else 0) + probes * steps
    # The memory that is free may differ between processes; what they do may not.
    return A.space.agreed(
        ProbePlan(probes, steps, leading, False, together, products, _kept(leading, together) * vector)
    )


def _kept(leading: int, together: int) -> int:
    """Return the most vectors kept: a basis and the vectors made of it while searching, or four a probe afterwards."""
    search = 2 * leading + 10 if leading else 0
    return max(search, leading + 4 * together)


def _free_bytes(device: torch.device) -> int | None:
    return free_bytes(device) if device.type == "cuda" else None
