"""Initial weights: explicit, from a generator that is passed in."""

from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d, nn.ConvTranspose2d)


def blank(kind: type[Layer], *args: Any, **kwargs: Any) -> Layer:
    """Return a layer with zero biases whose weights have yet to be drawn.

    The layer's own constructor would draw them from the global generator, which the library leaves alone.
    """
    layer: Any = nn.utils.skip_init(kind, *args, **kwargs)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def variance_gain(activation: nn.Module) -> float:
    r"""Return the weight gain that keeps a unit second moment through an activation.

    $$g = E_{x \sim N(0, 1)}[\phi(x)^2]^{-1/2}$$

    sqrt(2) for ReLU (He et al., arXiv 1502.01852), about 1.59 for tanh; one rule for any activation in the registry.
    The module is left in float64.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(64)
    with torch.no_grad():
        values = activation.double()(torch.from_numpy(nodes))
    return float((torch.from_numpy(weights / weights.sum()) * values.square()).sum().rsqrt())
