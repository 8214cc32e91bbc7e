"""Initial weights: explicit, from a generator that is passed in."""

from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

Layer = TypeVar("Layer", nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)


def blank(kind: type[Layer], *args: Any, **kwargs: Any) -> Layer:
    """Return a layer with zero biases whose weights have yet to be drawn.

    The layer's own constructor would draw them from the global generator, which the library leaves alone.
    """
    layer: Any = nn.utils.skip_init(kind, *args, **kwargs)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def variance_gain(activation: nn.Module, domain: str = "real") -> float:
    r"""Return the weight gain that keeps a unit second moment through an activation.

    $$g = E_{x \sim N(0, 1)}[\phi(x)^2]^{-1/2}$$

    sqrt(2) for ReLU (He et al., arXiv:1502.01852), about 1.59 for tanh; one rule for any activation in the registry.
    For "complex" ones x is circular complex normal with $E|x|^2 = 1$, and $|\phi|^2$ is averaged: sqrt(2) for CReLU, 2
    for zReLU, sqrt(8/3) for the cardioid. The module is left in float64.
    """
    points, weights = _circular() if domain == "complex" else _normal()
    with torch.no_grad():
        values = activation.double()(points).abs().square()
    return float((weights * values).sum().rsqrt())


def haar(normal: torch.Tensor) -> torch.Tensor:
    """Return a uniformly distributed orthogonal or unitary matrix (n, n), made of a normal one, real or complex.

    Q of its QR decomposition, with the signs or phases of R's diagonal put back (Mezzadri, math-ph/0609050).
    """
    q, r = torch.linalg.qr(normal)
    return q * torch.sgn(r.diagonal())


def _normal() -> tuple[torch.Tensor, torch.Tensor]:
    """Return nodes and weights for a standard normal x (Gauss-Hermite)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(64)
    return torch.from_numpy(nodes), torch.from_numpy(weights / weights.sum())


def _circular() -> tuple[torch.Tensor, torch.Tensor]:
    """Return nodes and weights for a circular complex normal x.

    |x|^2 is exponential (Gauss-Laguerre); the phase is uniform (midpoints, none on an axis, where zReLU jumps).
    """
    squared, weights = np.polynomial.laguerre.laggauss(64)
    phases = 2 * np.pi * (np.arange(256) + 0.5) / 256
    points = np.sqrt(squared)[:, None] * np.exp(1j * phases)
    return torch.from_numpy(points), torch.from_numpy(np.repeat(weights[:, None] / 256, 256, 1))
