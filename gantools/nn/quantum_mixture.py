"""Maximum-likelihood fits of a mixture of interfering Gaussian amplitudes, with scikit-learn's methods."""

import math
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from gantools.errors import GantoolsError
from gantools.nn.wave_function import Array, WaveFunction, triangle


class QuantumMixture(WaveFunction):
    r"""Fit a mixture of interfering Gaussian amplitudes by maximum likelihood; methods as in scikit-learn.

    `WaveFunction` has the density and the parameters (Rahman and Geiger, arXiv:1612.09199).

    A contribution P(x, k) can be negative, where component k interferes destructively: `contributions` are no
    probabilities. `predict` gives the component with the largest $\alpha_k \sqrt{\mathcal N_k}$.

    Args:
        n_components: K.
        learn_phases: whether phases are fitted; otherwise they keep their starting values.
        start_phase: the last component's phase at the start; the others' lie evenly between 0 and it.
        n_init: number of fits, each from its own k-means start; the best is kept.
        max_iter: most iterations of L-BFGS in each fit.
        tol: a fit has converged when no derivative of the mean log-likelihood exceeds this.
        reg_covar: epsilon, a lower bound on the eigenvalues of covariances.
        warm_start: whether a fit starts from the present parameters, those of `set_parameters` or of the last fit.
        rng: draws the k-means starts (the global generator without it).

    Attributes:
        lower_bound_: mean log-likelihood of the data under the best fit.
        converged_: whether the best fit converged.
        n_iter_: its number of iterations.
        message_: the optimizer's sentence on how it ended.

    Raises:
        GantoolsError: for settings out of their range; in `fit`, for points that are not finite (N, d) or fewer than
            the components; before `fit` or `set_parameters`, in all that needs the parameters.
    """

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
        if n_components < 1 or n_init < 1 or max_iter < 1 or reg_covar < 0 or tol <= 0:
            raise GantoolsError(
                "A QuantumMixture needs n_components, n_init and max_iter >= 1, reg_covar >= 0 and tol > 0."
            )
        super().__init__(n_components, learn_phases, reg_covar)
        self.start_phase, self.n_init, self.max_iter, self.tol = start_phase, n_init, max_iter, tol
        self.warm_start, self.rng = warm_start, rng
        self.lower_bound_, self.converged_, self.n_iter_, self.message_ = math.nan, False, 0, "not fitted"

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
            _, waves = self._waves(self._points(np.asarray(X)))
            phases = self._log_amplitudes_and_phases()[1]
            shares = waves * (waves @ (phases[:, None] - phases).cos())
            return (shares / shares.sum(1, keepdim=True)).cpu().numpy()

    def sample(self, n_samples: int = 1, rng: torch.Generator | None = None) -> Array:
        r"""Return points drawn from P, (n, d), by rejection from $K \sum_k \alpha_k^2 \mathcal N_k \ge |\psi|^2$."""
        self._require_parameters()
        drawn: list[Tensor] = []
        with torch.no_grad():
            factors = triangle(self._roots())
            log_a, _ = self._log_amplitudes_and_phases()
            while sum(map(len, drawn)) < n_samples:
                count = 2 * n_samples + 16
                # Drawn on the CPU, where the generator is.
                which = torch.multinomial((2 * log_a).softmax(0).cpu(), count, replacement=True, generator=rng)
                noise = torch.randn(count, factors.shape[-1], 1, generator=rng, dtype=factors.dtype).to(factors.device)
                x = self.means[which] + (factors[which] @ noise)[..., 0]
                _, waves = self._waves(x)
                accept = self._squared_sum(waves) / (len(log_a) * waves.square().sum(1))
                drawn.append(x.cpu()[torch.rand(count, generator=rng, dtype=accept.dtype) < accept.cpu()])
        return torch.cat(drawn)[:n_samples].numpy()
