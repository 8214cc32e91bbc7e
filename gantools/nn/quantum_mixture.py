r"""The wave-function mixture: Gaussian amplitudes that interfere, with a density that is normalised exactly.

.. math::
    \psi_k(x) = \mathcal N(x; \mu_k, C_k)^{1/2}\, e^{-i\varphi_k}, \qquad
    P(x) = \frac1Z \Big| \sum_k \alpha_k \psi_k(x) \Big|^2, \qquad
    Z = \sum_{kl} \alpha_k \alpha_l \cos(\varphi_k - \varphi_l)\, B_{kl}

with the overlap of two Gaussians (Bhattacharyya), $S = (C_k + C_l)/2$ and $\Delta = \mu_k - \mu_l$,

.. math::
    B_{kl} = \int \sqrt{\mathcal N_k \mathcal N_l}
           = |C_k|^{1/4} |C_l|^{1/4} |S|^{-1/2} e^{-\Delta^\top S^{-1} \Delta / 8}

(Rahman and Geiger, arXiv 1612.09199, who normalise by a sum over the data instead, where the cosine they solve for
often exceeds 1.) Two components a quarter turn apart are the Gaussian mixture with the weights $\alpha^2$.
"""

import math
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from gantools.errors import GantoolsError

Array = NDArray[Any]


class QuantumMixture(nn.Module):
    r"""Fit a mixture of interfering Gaussian amplitudes by maximum likelihood; methods as in scikit-learn.

    A module whose parameters are free reals without a redundancy: means (K, d), Cholesky factors of $C - \epsilon I$
    with logarithms on their diagonal, and logarithms of amplitudes and phases relative to the first component's. So
    `forward` can be trained by any optimizer here, and its Hessian has no eigenvalue 0 by construction. All in float64.

    A contribution P(x, k) can be negative, where component k interferes destructively: `contributions` are no
    probabilities. `predict` gives the component with the largest $\alpha_k \sqrt{\mathcal N_k}$.

    Args:
        n_components: K.
        learn_phases: whether phases are fitted, or stay where they start.
        start_phase: the last component's phase at the start; the others' lie evenly between 0 and it.
        n_init: fits from so many k-means starts; the best is kept.
        max_iter: iterations of L-BFGS in each.
        tol: fits end when no derivative of the mean log-likelihood exceeds this.
        reg_covar: epsilon, a lower bound on the eigenvalues of covariances.
        warm_start: whether fits start from the parameters as they are, of `set_parameters` or the last fit, instead.
        rng: draws the starts (the global generator without it).

    Attributes:
        means_, covariances_, amplitudes_, phases_: of the fit, as arrays; amplitudes scaled so that Z = 1, the first
            phase 0 and all in (-pi, pi].
        lower_bound_: mean log-likelihood of the data. converged_, n_iter_, message_: how the best fit ended.
    """

    means: nn.Parameter
    log_diagonal: nn.Parameter
    lower: nn.Parameter
    log_amplitudes: nn.Parameter
    phases: nn.Parameter

    def __init__(
        self,
        n_components: int = 2,
        learn_phases: bool = True,
        start_phase: float = math.pi / 2,
        n_init: int = 1,
        max_iter: int = 500,
        tol: float = 1e-6,
        reg_covar: float = 1e-6,
        warm_start: bool = False,
        rng: torch.Generator | None = None,
    ):
        super().__init__()
        if n_components < 1 or n_init < 1 or max_iter < 1 or reg_covar < 0 or tol <= 0:
            raise GantoolsError(
                "A QuantumMixture needs n_components, n_init and max_iter >= 1, reg_covar >= 0 and tol > 0."
            )
        self.n_components, self.learn_phases, self.start_phase = n_components, learn_phases, start_phase
        self.n_init, self.max_iter, self.tol, self.reg_covar, self.rng = n_init, max_iter, tol, reg_covar, rng
        self.warm_start = warm_start
        self.lower_bound_, self.converged_, self.n_iter_, self.message_ = math.nan, False, 0, "not fitted"

    # Parameters ------------------------------------------------------------------------------------------------------

    def set_parameters(
        self, amplitudes: ArrayLike, means: ArrayLike, covariances: ArrayLike, phases: ArrayLike
    ) -> "QuantumMixture":
        """Take positive amplitudes (K,), means (K, d), covariances (K, d, d) and phases (K,); return the mixture."""
        a, m, c, p = (
            torch.tensor(np.asarray(v), dtype=torch.float64) for v in (amplitudes, means, covariances, phases)
        )
        k, d = self.n_components, m.shape[-1]
        if a.shape != (k,) or p.shape != (k,) or m.shape != (k, d) or c.shape != (k, d, d) or not (a > 0).all():
            raise GantoolsError(
                f"Pass {k} positive amplitudes, means ({k}, d), covariances ({k}, d, d) and {k} phases, not shapes "
                f"{tuple(a.shape)}, {tuple(m.shape)}, {tuple(c.shape)} and {tuple(p.shape)}."
            )
        factors, failed = torch.linalg.cholesky_ex(c - self.reg_covar * torch.eye(d, dtype=c.dtype))
        if failed.any():
            raise GantoolsError(f"A covariance is not symmetric with eigenvalues above reg_covar = {self.reg_covar:g}.")
        self.means = nn.Parameter(m)
        self.log_diagonal = nn.Parameter(factors.diagonal(dim1=1, dim2=2).log())
        rows, columns = torch.tril_indices(d, d, -1)
        self.lower = nn.Parameter(factors[:, rows, columns].contiguous())
        self.log_amplitudes = nn.Parameter((a[1:] / a[0]).log())
        self.phases = nn.Parameter(p[1:] - p[0], requires_grad=self.learn_phases)
        return self

    def _roots(self) -> Tensor:
        """Return roots B (K, d, 2d) of the covariances B B^T, which are never formed: that would square their range."""
        k, d = self.means.shape
        rows, columns = torch.tril_indices(d, d, -1)
        factors = torch.diag_embed(self.log_diagonal.exp())
        # Out of place, so that higher derivatives pass.
        factors = factors.index_put((torch.arange(k)[:, None], rows, columns), self.lower)
        least = self.reg_covar**0.5 * torch.eye(d, dtype=factors.dtype, device=factors.device)
        return torch.cat([factors, least.expand(k, d, d)], dim=2)

    def _log_amplitudes_and_phases(self) -> tuple[Tensor, Tensor]:
        zero = self.log_amplitudes.new_zeros(1)
        return torch.cat([zero, self.log_amplitudes]), torch.cat([zero, self.phases])

    def log_normalizer(self) -> Tensor:
        """Return log Z, for amplitudes relative to the first one's."""
        roots = self._roots()
        log_a, phases = self._log_amplitudes_and_phases()
        k = len(roots)
        pairs = [roots[:, None].expand(k, k, -1, -1), roots[None].expand(k, k, -1, -1)]
        middle = _triangle(torch.cat(pairs, dim=3) / 2**0.5)
        delta = (self.means[:, None] - self.means[None])[..., None]
        distance = torch.linalg.solve_triangular(middle, delta, upper=False).square().sum((-2, -1))
        quarter = _half_log_determinant(_triangle(roots)) / 2
        overlap = quarter[:, None] + quarter[None] - _half_log_determinant(middle) - distance / 8
        log_products = log_a[:, None] + log_a[None] + overlap
        top = log_products.max().detach()
        total = ((log_products - top).exp() * (phases[:, None] - phases[None]).cos()).sum()
        return top + _safe_log(total)

    def _log_moduli(self, x: Tensor) -> Tensor:
        r"""Return $\log \alpha_k \sqrt{\mathcal N_k(x)}$, (N, K)."""
        factors = _triangle(self._roots())
        delta = (x[:, None] - self.means)[..., None]
        distance = torch.linalg.solve_triangular(factors, delta, upper=False).square().sum((-2, -1))
        log_density = -distance / 2 - _half_log_determinant(factors) - x.shape[1] / 2 * math.log(2 * math.pi)
        return self._log_amplitudes_and_phases()[0] + log_density / 2

    def forward(self, x: Tensor) -> Tensor:
        """Return log P of points (N, d), (N,)."""
        moduli, phases = self._log_moduli(self._points(x)), self._log_amplitudes_and_phases()[1]
        top = moduli.max(1, keepdim=True).values.detach()
        waves = (moduli - top).exp()
        squared = (waves @ phases.cos()).square() + (waves @ phases.sin()).square()
        return 2 * top[:, 0] + _safe_log(squared) - self.log_normalizer()

    def _require_parameters(self) -> None:
        if not hasattr(self, "means"):
            raise GantoolsError("This QuantumMixture has no parameters yet: call fit(X) or set_parameters first.")

    def _points(self, x: Any) -> Tensor:
        self._require_parameters()
        x = torch.as_tensor(x, dtype=torch.float64)
        if x.dim() != 2 or x.shape[1] != self.means.shape[1]:
            raise GantoolsError(f"The points have shape {tuple(x.shape)}: pass (N, {self.means.shape[1]}).")
        return x.to(self.means.device)

    # As in scikit-learn ----------------------------------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: Any = None) -> "QuantumMixture":  # noqa: N803 - scikit-learn's names
        """Fit to points (N, d) and return the mixture; y is ignored.

        Raises:
            GantoolsError: for fewer points than components, and points that are not finite or not (N, d).
        """
        x = torch.tensor(np.asarray(X), dtype=torch.float64)
        if x.dim() != 2 or len(x) < self.n_components or not x.isfinite().all():
            raise GantoolsError(
                f"The points have shape {tuple(x.shape)}: pass finite ones (N, d), N at least {self.n_components}."
            )
        best: Any = None
        warm = self.warm_start and hasattr(self, "means")
        if warm:
            self._points(x)
        for _ in range(1 if warm else self.n_init):
            if not warm:
                self._start(x)
            result = self._maximize(x)
            if best is None or result[0].fun < best[0].fun:
                best = result
        outcome, point = best
        self._load(point)
        self.lower_bound_, self.converged_ = -float(outcome.fun), bool(outcome.success)
        self.n_iter_, self.message_ = int(outcome.nit), str(outcome.message)
        return self

    def _start(self, x: Tensor) -> None:
        from sklearn.cluster import KMeans

        k, d = self.n_components, x.shape[1]
        seed = int(torch.randint(2**31 - 1, (), generator=self.rng))
        labels = torch.from_numpy(KMeans(k, n_init=cast(Any, 1), random_state=seed).fit_predict(x.numpy()))
        # Clusters of few points have no covariance of their own: each gets a little of that of all points.
        shared = torch.cov(x.T).reshape(d, d) + (self.reg_covar + 1e-12) * torch.eye(d, dtype=x.dtype)
        means, covariances, shares = [], [], []
        for label in range(k):
            own = x[labels == label]
            centred = own - own.mean(0)
            means.append(own.mean(0))
            covariances.append(0.95 * centred.T @ centred / len(own) + 0.05 * shared)
            shares.append(len(own) / len(x))
        ramp = torch.linspace(0, 1, k, dtype=x.dtype) * self.start_phase
        covariance = torch.stack(covariances) + 2 * self.reg_covar * torch.eye(d, dtype=x.dtype)
        self.set_parameters(np.sqrt(shares), torch.stack(means).numpy(), covariance.numpy(), ramp.numpy())

    def _fitted(self) -> list[nn.Parameter]:
        return [p for p in self.parameters() if p.requires_grad and p.numel()]

    def _load(self, point: Array) -> None:
        nn.utils.vector_to_parameters(torch.from_numpy(np.array(point)), self._fitted())

    def _maximize(self, x: Tensor) -> tuple[Any, Array]:
        from scipy.optimize import minimize

        def objective(point: Array) -> tuple[float, Array]:
            self._load(point)
            loss = -self(x).mean()
            gradient = torch.autograd.grad(loss, self._fitted())
            return loss.item(), nn.utils.parameters_to_vector(gradient).numpy()

        start = nn.utils.parameters_to_vector(self._fitted()).detach().numpy()
        options = {"maxiter": self.max_iter, "gtol": self.tol, "ftol": 0.0, "maxfun": 20 * self.max_iter}
        outcome = minimize(objective, start, jac=True, method="L-BFGS-B", options=options)
        return outcome, outcome.x

    def score_samples(self, X: ArrayLike) -> Array:  # noqa: N803
        """Return log P of points (N, d), (N,)."""
        with torch.no_grad():
            return self(self._points(np.asarray(X))).cpu().numpy()

    def score(self, X: ArrayLike, y: Any = None) -> float:  # noqa: N803
        """Return the mean of log P."""
        return float(self.score_samples(X).mean())

    def predict(self, X: ArrayLike) -> Array:  # noqa: N803
        """Return the number of the component with the largest modulus, (N,)."""
        with torch.no_grad():
            return self._log_moduli(self._points(np.asarray(X))).argmax(1).cpu().numpy()

    def fit_predict(self, X: ArrayLike, y: Any = None) -> Array:  # noqa: N803
        """Fit and predict the same points."""
        return self.fit(X).predict(X)

    def contributions(self, X: ArrayLike) -> Array:  # noqa: N803
        r"""Return $P(x, k) / P(x)$, (N, K): they add up to one, and are negative where k interferes destructively."""
        with torch.no_grad():
            moduli = self._log_moduli(self._points(np.asarray(X)))
            phases = self._log_amplitudes_and_phases()[1]
            waves = (moduli - moduli.max(1, keepdim=True).values).exp()
            shares = waves * (waves @ (phases[:, None] - phases).cos())
            return (shares / shares.sum(1, keepdim=True)).cpu().numpy()

    def sample(self, n_samples: int = 1, rng: torch.Generator | None = None) -> Array:
        r"""Return points drawn from P, (n, d), by rejection from $K \sum_k \alpha_k^2 \mathcal N_k \ge |\psi|^2$."""
        self._require_parameters()
        drawn: list[Tensor] = []
        with torch.no_grad():
            factors = _triangle(self._roots())
            log_a, phases = self._log_amplitudes_and_phases()
            while sum(map(len, drawn)) < n_samples:
                count = 2 * n_samples + 16
                # Drawn on the CPU, where the generator is.
                which = torch.multinomial((2 * log_a).softmax(0).cpu(), count, replacement=True, generator=rng)
                noise = torch.randn(count, factors.shape[-1], 1, generator=rng, dtype=factors.dtype).to(factors.device)
                x = self.means[which] + (factors[which] @ noise)[..., 0]
                waves = self._log_moduli(x)
                waves = (waves - waves.max(1, keepdim=True).values).exp()
                squared = (waves @ phases.cos()).square() + (waves @ phases.sin()).square()
                accept = squared / (len(log_a) * waves.square().sum(1))
                drawn.append(x.cpu()[torch.rand(count, generator=rng, dtype=accept.dtype) < accept.cpu()])
        return torch.cat(drawn)[:n_samples].numpy()

    @property
    def means_(self) -> Array:
        return self.means.detach().cpu().numpy()

    @property
    def covariances_(self) -> Array:
        roots = self._roots().detach()
        return (roots @ roots.mT).cpu().numpy()

    @property
    def amplitudes_(self) -> Array:
        with torch.no_grad():
            return (self._log_amplitudes_and_phases()[0] - self.log_normalizer() / 2).exp().cpu().numpy()

    @property
    def phases_(self) -> Array:
        phases = self._log_amplitudes_and_phases()[1].detach().cpu().numpy()
        return math.pi - (math.pi - phases) % (2 * math.pi)

    def extra_repr(self) -> str:
        return f"n_components={self.n_components}, learn_phases={self.learn_phases}"


def _triangle(root: Tensor) -> Tensor:
    """Return lower triangles L (..., d, d) with L L^T = B B^T for B = `root` (..., d, m), whatever its condition."""
    return torch.linalg.qr(root.mT).R.mT


def _half_log_determinant(factor: Tensor) -> Tensor:
    """Return half the log-determinant of the matrices that these triangles are factors of, of either sign."""
    return factor.diagonal(dim1=-2, dim2=-1).abs().log().sum(-1)


def _safe_log(x: Tensor) -> Tensor:
    """Return the logarithm, of 0 that of the smallest number: where amplitudes cancel, derivatives are to be finite."""
    return x.clamp(min=torch.finfo(x.dtype).tiny).log()
