r"""Complex batch and layer normalization: means of zero, and covariances of real and imaginary parts whitened.

$$\tilde z = V^{-1/2} (z - E z), \qquad V = \mathrm{Cov}(\Re z, \Im z) + \epsilon I$$

$$V^{-1/2} = \frac{1}{s t} \begin{pmatrix} V_{ii} + s & -V_{ri} \\ -V_{ri} & V_{rr} + s \end{pmatrix}, \qquad
s = \sqrt{\det V},\quad t = \sqrt{\mathrm{tr} V + 2 s}$$

then $\gamma \tilde z + \beta$ with a symmetric 2 x 2 matrix $\gamma$, at first $I/\sqrt2$, so that $E|z|^2 = 1$ (Deep
Complex Networks, arXiv:1705.09792, section 3.5). All of it is made of elementary operations: third derivatives
are right, unlike those of PyTorch's fused norms (`gantools.games.elementary`).
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from gantools.errors import GantoolsError
from gantools.nn.activations import require_complex
from gantools.nn.complex.layers import parts, real_dtype


def moments(z: Tensor, dims: Sequence[int]) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]:
    """Return the mean over `dims` (kept), z - mean, and the biased covariance $(V_{rr}, V_{ri}, V_{ii})$."""
    mean = z.mean(list(dims), keepdim=True)
    centred = z - mean
    x, y = parts(centred).unbind(-1)
    rr, ri, ii = ((p * q).mean(list(dims), keepdim=True) for p, q in ((x, x), (x, y), (y, y)))
    return mean, centred, (rr, ri, ii)


def whitened(centred: Tensor, covariance: tuple[Tensor, Tensor, Tensor], eps: float) -> tuple[Tensor, Tensor]:
    r"""Return real and imaginary part of $V^{-1/2} z$ with V = covariance + eps I."""
    rr, ri, ii = covariance[0] + eps, covariance[1], covariance[2] + eps
    trace = rr + ii
    # Both eigenvalues are at least eps, so the determinant is at least eps (trace - eps): where the parts are
    # proportional, rounding of rr ii - ri^2 must not make it negative.
    determinant = torch.maximum(rr * ii - ri * ri, eps * (trace - eps))
    s = determinant.sqrt()
    scale = (s * (trace + 2 * s).sqrt()).reciprocal()
    x, y = parts(centred).unbind(-1)
    return scale * ((ii + s) * x - ri * y), scale * ((rr + s) * y - ri * x)


def affine(z: tuple[Tensor, Tensor], weight: Tensor | None, bias: Tensor | None, shape: Sequence[int]) -> Tensor:
    """Return gamma z + beta from `weight` (..., 3) = (rr, ri, ii) and `bias` (..., 2), reshaped to `shape`."""
    x, y = z
    if weight is not None:
        rr, ri, ii = (part.reshape(shape) for part in weight.unbind(-1))
        x, y = rr * x + ri * y, ri * x + ii * y
    if bias is not None:
        real, imaginary = (part.reshape(shape) for part in bias.unbind(-1))
        x, y = x + real, y + imaginary
    return torch.complex(x, y)


def _identity_(weight: Tensor) -> None:
    with torch.no_grad():
        weight.copy_(weight.new_tensor([1.0, 0.0, 1.0]) / math.sqrt(2))


class ComplexBatchNorm(nn.Module):
    """Whiten each channel of complex numbers (B, C, ...) over the batch and all further axes.

    The arguments are those of `torch.nn.BatchNorm2d`; eps is that of the paper's code. Parameters: `weight` (C, 3), the
    matrix gamma as (rr, ri, ii), and `bias` (C, 2). Running statistics, for evaluation mode: `running_mean` (C, 2) and
    `running_covariance` (C, 3), unbiased as in torch; they start at 0 and the identity over sqrt(2), as in that code.

    Raises:
        GantoolsError: for another number of channels, or a single value a channel in training.
    """

    running_mean: Tensor | None
    running_covariance: Tensor | None
    num_batches_tracked: Tensor | None

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-4,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        options: dict[str, Any] = {"device": device, "dtype": real_dtype(dtype)}
        self.weight = nn.Parameter(torch.empty(num_features, 3, **options)) if affine else None
        self.bias = nn.Parameter(torch.empty(num_features, 2, **options)) if affine else None
        tracked = track_running_stats
        self.register_buffer("running_mean", torch.empty(num_features, 2, **options) if tracked else None)
        self.register_buffer("running_covariance", torch.empty(num_features, 3, **options) if tracked else None)
        self.register_buffer("num_batches_tracked", torch.tensor(0, device=device) if tracked else None)
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget the running statistics."""
        if self.running_mean is not None and self.running_covariance is not None:
            self.running_mean.zero_()
            _identity_(self.running_covariance)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Reset gamma, beta and the running statistics to their initial values."""
        self.reset_running_stats()
        if self.weight is not None and self.bias is not None:
            _identity_(self.weight)
            nn.init.zeros_(self.bias)

    def forward(self, z: Tensor) -> Tensor:
        require_complex(self, z)
        if z.dim() < 2 or z.shape[1] != self.num_features:
            raise GantoolsError(
                f"ComplexBatchNorm({self.num_features}) was given shape {tuple(z.shape)}: pass (batch, "
                f"{self.num_features}, ...)."
            )
        shape = [1, -1] + [1] * (z.dim() - 2)
        if self.training or self.running_mean is None or self.running_covariance is None:
            count = z.numel() // self.num_features
            if count == 1:
                raise GantoolsError(
                    "ComplexBatchNorm has one value a channel, which has no covariance: pass a larger batch, or call "
                    ".eval()."
                )
            mean, centred, covariance = moments(z, [0, *range(2, z.dim())])
            if self.training:
                self._track(mean, covariance, count)
        else:
            mean = torch.complex(*self.running_mean.unbind(-1)).reshape(shape)
            rr, ri, ii = (part.reshape(shape) for part in self.running_covariance.unbind(-1))
            centred, covariance = z - mean, (rr, ri, ii)
        return affine(whitened(centred, covariance, self.eps), self.weight, self.bias, shape)

    @torch.no_grad()
    def _track(self, mean: Tensor, covariance: tuple[Tensor, Tensor, Tensor], count: int) -> None:
        if self.running_mean is None or self.running_covariance is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = 1 / self.num_batches_tracked if self.momentum is None else self.momentum
        batch_mean = torch.view_as_real(mean.detach().flatten())
        batch_covariance = torch.stack([part.detach().flatten() for part in covariance], -1) * (count / (count - 1))
        self.running_mean.lerp_(batch_mean, share)
        self.running_covariance.lerp_(batch_covariance, share)

    def extra_repr(self) -> str:
        return f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}"


class ComplexLayerNorm(nn.Module):
    """Whiten each sample over its last axes, `normalized_shape`; no statistics of the batch.

    The arguments are those of `torch.nn.LayerNorm`. Parameters: `weight` (*normalized_shape, 3), the matrix gamma as
    (rr, ri, ii), and `bias` (*normalized_shape, 2).

    Raises:
        GantoolsError: for real numbers, and where the last axes are not `normalized_shape`, when it is called.
    """

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-4,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        self.normalized_shape = (
            (normalized_shape,) if isinstance(normalized_shape, int) else tuple(int(size) for size in normalized_shape)
        )
        self.eps, self.elementwise_affine = eps, elementwise_affine
        options: dict[str, Any] = {"device": device, "dtype": real_dtype(dtype)}
        shape = self.normalized_shape
        self.weight = nn.Parameter(torch.empty(*shape, 3, **options)) if elementwise_affine else None
        self.bias = nn.Parameter(torch.empty(*shape, 2, **options)) if elementwise_affine and bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset gamma and beta to their initial values."""
        if self.weight is not None:
            _identity_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def forward(self, z: Tensor) -> Tensor:
        require_complex(self, z)
        axes = len(self.normalized_shape)
        if tuple(z.shape[z.dim() - axes :]) != self.normalized_shape:
            raise GantoolsError(
                f"ComplexLayerNorm{self.normalized_shape} was given shape {tuple(z.shape)}: its last axes must be "
                f"{self.normalized_shape}."
            )
        _, centred, covariance = moments(z, range(-axes, 0))
        return affine(whitened(centred, covariance, self.eps), self.weight, self.bias, self.normalized_shape)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"
