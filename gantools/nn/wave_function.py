r"""Gaussian amplitudes that interfere: a probability density with an exact normaliser.

$$\psi_k(x) = \mathcal N(x; \mu_k, C_k)^{1/2}\, e^{-i\varphi_k}, \qquad
  P(x) = \frac1Z \Big| \sum_k \alpha_k \psi_k(x) \Big|^2, \qquad
  Z = \sum_{kl} \alpha_k \alpha_l \cos(\varphi_k - \varphi_l)\, B_{kl}$$

with the overlap of two Gaussians (Bhattacharyya), $S = (C_k + C_l)/2$ and $\Delta = \mu_k - \mu_l$,

$$B_{kl} = \int \sqrt{\mathcal N_k \mathcal N_l}
         = |C_k|^{1/4} |C_l|^{1/4} |S|^{-1/2} e^{-\Delta^\top S^{-1} \Delta / 8}.$$

Rahman and Geiger (arXiv:1612.09199) normalise by a sum over the data instead, where the cosine they solve for often
exceeds 1. Two components whose phases differ by a quarter turn are the Gaussian mixture with the weights $\alpha^2$.
"""

import math
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from gantools.errors import GantoolsError

Array = NDArray[Any]


class WaveFunction(nn.Module):
    r"""Log-density of K Gaussian amplitudes that interfere; its parameters are free reals without redundancy.

    Means (K, d), Cholesky factors of $C - \epsilon I$ with logarithms on their diagonal, and logarithms of amplitudes
    and phases relative to the first component's: so `forward` can be trained by any optimizer here, and its Hessian has
    no eigenvalue 0 by construction. All in float64.

    Args:
        n_components: K.
        learn_phases: whether phases are trained; otherwise they keep the values that `set_parameters` gives them.
        reg_covar: epsilon, a lower bound on the eigenvalues of covariances.

    Attributes:
        means_: (K, d), means of the components.
        covariances_: (K, d, d), their covariances.
        amplitudes_: (K,), scaled so that Z = 1.
        phases_: (K,), in (-pi, pi], the first one 0.
    """

    means: nn.Parameter
    log_diagonal: nn.Parameter
    lower: nn.Parameter
    log_amplitudes: nn.Parameter
    phases: nn.Parameter

    def __init__(self, n_components: int = 2, learn_phases: bool = True, reg_covar: float = 1e-6):
        super().__init__()
        if n_components < 1 or reg_covar < 0:
            raise GantoolsError("A wave function needs n_components >= 1 and reg_covar >= 0.")
        self.n_components, self.learn_phases, self.reg_covar = n_components, learn_phases, reg_covar

    def set_parameters(
        self, amplitudes: ArrayLike, means: ArrayLike, covariances: ArrayLike, phases: ArrayLike
    ) -> Self:
        """Set positive amplitudes (K,), means (K, d), covariances (K, d, d) and phases (K,); return the module."""
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
        """Return roots B (K, d, 2d) of the covariances B B^T: forming those would square the condition number."""
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
        middle = triangle(torch.cat(pairs, dim=3) / 2**0.5)
        delta = (self.means[:, None] - self.means[None])[..., None]
        distance = torch.linalg.solve_triangular(middle, delta, upper=False).square().sum((-2, -1))
        quarter = _half_log_determinant(triangle(roots)) / 2
        overlap = quarter[:, None] + quarter[None] - _half_log_determinant(middle) - distance / 8
        log_products = log_a[:, None] + log_a[None] + overlap
        top = log_products.max().detach()
        total = ((log_products - top).exp() * (phases[:, None] - phases[None]).cos()).sum()
        return top + _safe_log(total)

    def _log_moduli(self, x: Tensor) -> Tensor:
        r"""Return $\log \alpha_k \sqrt{\mathcal N_k(x)}$, (N, K)."""
        factors = triangle(self._roots())
        delta = (x[:, None] - self.means)[..., None]
        distance = torch.linalg.solve_triangular(factors, delta, upper=False).square().sum((-2, -1))
        log_density = -distance / 2 - _half_log_determinant(factors) - x.shape[1] / 2 * math.log(2 * math.pi)
        return self._log_amplitudes_and_phases()[0] + log_density / 2

    def _waves(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logarithm of the largest modulus at each point, (N,), and all moduli divided by it, (N, K)."""
        log_moduli = self._log_moduli(x)
        top = log_moduli.max(1, keepdim=True).values.detach()
        return top[:, 0], (log_moduli - top).exp()

    def _squared_sum(self, waves: Tensor) -> Tensor:
        r"""Return $|\sum_k r_k e^{-i\varphi_k}|^2$ for moduli r (N, K), (N,)."""
        phases = self._log_amplitudes_and_phases()[1]
        return (waves @ phases.cos()).square() + (waves @ phases.sin()).square()

    def forward(self, x: Tensor) -> Tensor:
        """Return log P of points (N, d), (N,)."""
        top, waves = self._waves(self._points(x))
        return 2 * top + _safe_log(self._squared_sum(waves)) - self.log_normalizer()

    def _require_parameters(self) -> None:
        if not hasattr(self, "means"):
            raise GantoolsError(
                f"This {type(self).__name__} has no parameters yet: call fit(X) or set_parameters first."
            )

    def _points(self, x: Any) -> Tensor:
        self._require_parameters()
        x = torch.as_tensor(x, dtype=torch.float64)
        if x.dim() != 2 or x.shape[1] != self.means.shape[1]:
            raise GantoolsError(f"The points have shape {tuple(x.shape)}: pass (N, {self.means.shape[1]}).")
        return x.to(self.means.device)

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


def triangle(root: Tensor) -> Tensor:
    """Return lower triangles L (..., d, d) with L L^T = B B^T for B = `root` (..., d, m), whatever its condition."""
    return torch.linalg.qr(root.mT).R.mT


def _half_log_determinant(factor: Tensor) -> Tensor:
    """Return half the log-determinant of L L^T for triangles L (..., d, d) with a diagonal of any sign."""
    return factor.diagonal(dim1=-2, dim2=-1).abs().log().sum(-1)


def _safe_log(x: Tensor) -> Tensor:
    """Return log x, with 0 replaced by the smallest normal number: derivatives stay finite where amplitudes cancel."""
    return x.clamp(min=torch.finfo(x.dtype).tiny).log()
