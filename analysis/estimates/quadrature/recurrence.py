r"""The Lanczos recurrence from random probes: three vectors each, or a stored basis where that is small.

Without reorthogonalisation converged Ritz values come again, as ghosts, and share the weight of the eigenvalue they
copy: the Jacobi matrix is that of a measure whose atoms are split within rounding (Greenbaum, Linear Algebra Appl. 113,
1989; Druskin and Knizhnerman 1991; Chen, Trogdon and Ubaru, arXiv:2105.06595), so that brackets hold, a margin of
rounding apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from gantools.analysis.estimates.quadrature.known import KnownPart
from gantools.analysis.estimates.quadrature.measure import ProbeMeasure
from gantools.analysis.krylov.gram_schmidt import ROUNDING
from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.errors import GantoolsError

Array = NDArray[Any]

CHUNK = 32  # steps between two transfers of coefficients to the host
# What brackets are widened by, at least five times what scripts/checks/check_brackets.py finds necessary. Nodes, in
# units of eps * scale (of a stored basis ROUNDING), and of the products' rounding; weights, in units of eps, and of
# eps / sqrt(n): rounding mixes the eigenvectors of near eigenvalues, whose weights in a random probe are alike.
NODES, PRODUCTS = 30.0, 10.0
WEIGHTS, MIXING = 100.0, 2e4
# What `radau_masses` resolves in float64: weights, and nodes in units of the largest.
INTEGRATION, RESOLUTION = 1e-7, 1e-11


class _State(NamedTuple):
    """What the recurrence goes on from, replaced as a whole, so that an interruption finds one that is consistent.

    Attributes:
        previous: (p, n) the last vectors but one.
        current: (p, n) the last vectors.
        coupling: (p,) float64, the coefficient between them.
        steps: how many were made.
    """

    previous: Tensor
    current: Tensor
    coupling: Tensor
    steps: int


class ProbeRecurrence:
    """Lanczos from several probes in lock-step, one block product a step; it can always go on.

    Args:
        operator: symmetric.
        probes: (p, n) rows, normal; without their parts in what is known they are the start vectors.
        known: what every product is cleared of.
        stored: whether to keep the basis, against which every vector is then orthogonalised: no ghosts, and Ritz values
            that interlace.

    Attributes:
        diagonal: (p, m), of the Jacobi matrices after m steps.
        off_diagonal: (p, m); the last entries couple to the vectors that were not added.
        squared_norms: (p,), of the start vectors.
    """

    def __init__(self, operator: LinearOperator, probes: Tensor, known: KnownPart, stored: bool):
        starts = known.removed(probes)
        self._space = operator.space
        norms = self._space.norm(starts, dim=1, dtype=torch.float64)
        self._operator, self._known, self._stored = operator, known, stored
        self.squared_norms: Array = (norms**2).cpu().numpy()
        self.diagonal, self.off_diagonal = np.zeros((len(starts), 0)), np.zeros((len(starts), 0))
        starts = starts / norms.to(starts.dtype)[:, None]
        self._state = _State(torch.zeros_like(starts), starts, torch.zeros_like(norms), 0)
        self._basis = starts.new_empty(len(starts), 0, starts.shape[1])

    @property
    def steps(self) -> int:
        """The number of steps so far."""
        return self.diagonal.shape[1]

    def advance(self, steps: int, tell: Callable[[int], None] = lambda _: None) -> None:
        """Go on until so many steps are made, or more would add nothing; interrupted, keep those that were.

        Args:
            steps: of every probe, in all.
            tell: gets their number now and then.
        """
        if self._stored and self._basis.shape[1] < steps:
            before = self._basis
            self._basis = before.new_empty(len(before), steps, before.shape[2])
            self._basis[:, : before.shape[1]] = before
        while self.steps < steps and not self.ended:
            first, current = self.steps, self._state.current
            size = min(CHUNK, steps - first)
            found = torch.zeros(2, size, len(current), dtype=torch.float64, device=current.device)
            try:
                for i in range(size):
                    self._step(found[:, i])
            finally:
                host = found[:, : self._state.steps - first].mT.cpu().numpy()
                self.diagonal = np.concatenate([self.diagonal, host[0]], axis=1)
                self.off_diagonal = np.concatenate([self.off_diagonal, host[1]], axis=1)
            tell(self.steps)

    def _step(self, out: Tensor) -> None:
        """Make one step and write its coefficients to `out` (2, p), on the device: nothing waits for it."""
        before, q, coupling, made = self._state
        product = (self._operator @ q[0])[None] if len(q) == 1 else (self._operator @ q.T).T
        # Out of place: a product may return its argument.
        w = torch.addcmul(product, before, coupling.to(q.dtype)[:, None], value=-1)
        alpha = self._space.total((q * w).sum(dim=1, dtype=torch.float64))
        w = self._known.cleared(w.addcmul_(q, alpha.to(q.dtype)[:, None], value=-1))
        if self._stored:
            self._basis[:, made] = q
            # As rows: batched products with single columns are ten times slower on CPUs.
            basis, row = self._basis[:, : made + 1], w[:, None]
            part = self._space.total(torch.bmm(row, basis.mT))
            w, alpha = torch.baddbmm(row, part, basis, alpha=-1).squeeze(1), alpha + part[:, 0, -1]
        beta = self._space.norm(w, dim=1, dtype=torch.float64)
        out[0], out[1] = alpha, beta
        # A probe that has ended goes on with noise, or zeros, which disturb nobody and are cut off afterwards.
        w = w.mul_(torch.where(beta > 0, 1 / beta, 0.0).to(q.dtype)[:, None])
        self._state = _State(q, w, beta, made + 1)

    @property
    def ended(self) -> bool:
        """Whether every probe's measure is resolved to rounding, or a product was not finite: no step adds anything."""
        if self.steps == 0:
            return False
        finite = np.isfinite(self.diagonal).all() and np.isfinite(self.off_diagonal).all()
        return not finite or all(measure.ended for measure in self.measures())

    def measures(self) -> list[ProbeMeasure]:
        """Return the probes' measures.

        Raises:
            GantoolsError: for products that are not finite.
        """
        # Of the space that the start vectors lie in, which an orthogonal basis fills.
        dimension = self._known.dimension(self._operator.n)
        epsilon = self._operator.precision
        slack = epsilon * (WEIGHTS + MIXING / dimension**0.5) + INTEGRATION
        nodes, limit = (ROUNDING, dimension) if self._stored else (NODES, self.steps + 1)
        return [
            _measure(*coefficients, (nodes * epsilon, PRODUCTS * self._known.rounding, slack), limit)
            for coefficients in zip(self.diagonal, self.off_diagonal, self.squared_norms.tolist(), strict=True)
        ]

    def state(self) -> dict[str, Any]:
        """Return what `restored` goes on from, on the host."""
        previous, current, coupling, steps = self._state
        tensors = {"previous": previous, "current": current, "coupling": coupling, "basis": self._basis[:, :steps]}
        arrays = {name: getattr(self, name) for name in ("diagonal", "off_diagonal", "squared_norms")}
        return {name: t.cpu() for name, t in tensors.items()} | {k: torch.from_numpy(a) for k, a in arrays.items()}

    @classmethod
    def restored(
        cls, operator: LinearOperator, known: KnownPart, stored: bool, state: dict[str, Any]
    ) -> ProbeRecurrence:
        """Return a recurrence that goes on from a state."""
        made = object.__new__(cls)
        made._operator, made._known, made._stored, made._space = operator, known, stored, operator.space
        for name in ("diagonal", "off_diagonal", "squared_norms"):
            setattr(made, name, state[name].numpy())
        there = {name: state[name].to(operator.device) for name in ("previous", "current", "coupling", "basis")}
        made._basis = there.pop("basis")
        made._state = _State(**there, steps=made.steps)
        return made

    def belongs(self) -> bool:
        """Return whether this is the operator's own recurrence, by one product with the last vector but one."""
        previous, current, coupling, steps = self._state
        if steps == 0:
            return True
        product = self._operator @ previous[0]
        found = torch.stack([(previous[0] * product).sum(), (current[0] * product).sum()]).double().cpu().numpy()
        expected = np.array([self.diagonal[0, -1], float(coupling[0])])
        size = float(np.abs(self.diagonal[0]).max() + self.off_diagonal[0].max())
        allowed = 1e3 * self._operator.precision * size + 10 * self._known.rounding
        return bool(np.abs(found - expected).max() <= allowed)


def _measure(
    diagonal: Array, off_diagonal: Array, squared_norm: float, rounding: tuple[float, float, float], limit: int
) -> ProbeMeasure:
    """Return the measure up to the first coupling that is no more than rounding, or to the limit of the dimension.

    Args:
        diagonal: see `ProbeMeasure`.
        off_diagonal: see `ProbeMeasure`.
        squared_norm: see `ProbeMeasure`.
        rounding: of nodes in units of the largest, of nodes, and of weights.
        limit: steps after which the rule is the whole measure.
    """
    relative, absolute, slack = rounding
    scale = np.maximum.accumulate(np.abs(diagonal) + off_diagonal + np.append(0.0, off_diagonal[:-1]))
    noise = relative * scale + absolute
    ended = np.append(np.flatnonzero(off_diagonal <= noise) + 1, limit)
    length = min(int(ended[0]), len(diagonal))
    diagonal, off_diagonal = diagonal[:length], off_diagonal[:length].copy()
    if not (np.isfinite(diagonal).all() and np.isfinite(off_diagonal).all()):
        raise GantoolsError("A product of the operator contains NaN or infinite values: check parameters and batch.")
    if length == limit:
        off_diagonal[-1] = 0.0
    margin = float(max(noise[length - 1], RESOLUTION * scale[length - 1]))
    return ProbeMeasure(diagonal, off_diagonal, margin, slack, squared_norm, ended=length == ended[0])
