r"""Hidden-layer activations by name, none of them in place, so that second derivatives can pass through them."""

import ast
import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gantools.errors import GantoolsError
from gantools.registry import Registry

ACTIVATIONS: Registry[Callable[..., nn.Module]] = Registry("activation")


@ACTIVATIONS.register("esp")
class ESP(nn.Module):
    r"""Apply x sigmoid(beta x), with `beta` fixed or learned (Milletari et al., arXiv 1805.08786).

    `beta = 1` is SiLU; a large `beta` approaches ReLU. Learned, it is one scalar parameter a layer.
    """

    def __init__(self, beta: float = 1.0, learned: bool = False):
        super().__init__()
        value = torch.tensor(float(beta))
        if learned:
            self.beta = nn.Parameter(value)
        else:
            self.register_buffer("beta", value)
        self.learned = learned

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(self.beta * x)

    def extra_repr(self) -> str:
        return f"beta={self.beta.item():g}, learned={self.learned}"


class _Sin(nn.Module):
    def __init__(self, frequency: float):
        super().__init__()
        self.frequency = frequency

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.frequency * x)

    def extra_repr(self) -> str:
        return f"frequency={self.frequency:g}"


@ACTIVATIONS.register("relu")
def relu() -> nn.Module:
    """Apply max(0, x); its second derivative is zero wherever it exists."""
    return nn.ReLU()


@ACTIVATIONS.register("leaky_relu")
def leaky_relu(negative_slope: float = 0.2) -> nn.Module:
    """Apply max(x, negative_slope x); 0.2 is the slope of DCGAN (arXiv 1511.06434), not PyTorch's 0.01."""
    return nn.LeakyReLU(negative_slope)


@ACTIVATIONS.register("elu")
def elu(alpha: float = 1.0) -> nn.Module:
    """Apply x where positive, alpha (e^x - 1) elsewhere (arXiv 1511.07289)."""
    return nn.ELU(alpha)


@ACTIVATIONS.register("gelu")
def gelu(approximate: str = "none") -> nn.Module:
    """Apply x Phi(x), Phi the normal distribution function (arXiv 1606.08415); approximate="tanh" for the fast form."""
    if approximate not in ("none", "tanh"):
        raise GantoolsError(f'Activation gelu: approximate must be "none" or "tanh", not {approximate!r}.')
    return nn.GELU(approximate)


@ACTIVATIONS.register("silu")
def silu() -> nn.Module:
    """Apply x sigmoid(x), also called swish (arXiv 1702.03118)."""
    return nn.SiLU()


@ACTIVATIONS.register("softplus")
def softplus(beta: float = 1.0) -> nn.Module:
    """Apply log(1 + e^(beta x)) / beta, a smooth ReLU."""
    if beta <= 0:
        raise GantoolsError(f"Activation softplus: beta must be positive, not {beta}.")
    return nn.Softplus(beta)


@ACTIVATIONS.register("tanh")
def tanh() -> nn.Module:
    """Apply the hyperbolic tangent."""
    return nn.Tanh()


@ACTIVATIONS.register("sigmoid")
def sigmoid() -> nn.Module:
    """Apply 1 / (1 + e^-x)."""
    return nn.Sigmoid()


@ACTIVATIONS.register("sin")
def sin(frequency: float = 1.0) -> nn.Module:
    """Apply sin(frequency x) (SIREN, arXiv 2006.09661, takes frequency 30 in the first layer)."""
    return _Sin(frequency)


def activation(spec: str) -> nn.Module:
    """Return a new activation module from a name with optional arguments, such as "relu" or "esp(beta=2.0)".

    Arguments are Python literals; nothing is evaluated. An unknown name, a malformed specification or an argument of
    the wrong type raises `GantoolsError`.
    """
    name, args, kwargs = _parse(spec)
    factory = ACTIVATIONS[name]
    signature = inspect.signature(factory)
    try:
        bound = signature.bind(*args, **kwargs)
    except TypeError:
        raise GantoolsError(f"Activation {spec!r}: the arguments do not fit {name}{_shown(signature)}.") from None
    for key, value in bound.arguments.items():
        default = signature.parameters[key].default
        if not _fits(value, default):
            raise GantoolsError(f"Activation {spec!r}: {key} must be like its default {default!r}, not {value!r}.")
    return factory(*bound.args, **bound.kwargs)


def _shown(signature: inspect.Signature) -> str:
    return "(" + ", ".join(f"{p.name}={p.default!r}" for p in signature.parameters.values()) + ")"


def _parse(spec: str) -> tuple[str, list[Any], dict[str, Any]]:
    try:
        node = ast.parse(spec.strip(), mode="eval").body
        if isinstance(node, ast.Name):
            return node.id, [], {}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            names = [keyword.arg for keyword in node.keywords]
            if None not in names:
                values = [ast.literal_eval(keyword.value) for keyword in node.keywords]
                args = [ast.literal_eval(argument) for argument in node.args]
                return node.func.id, args, dict(zip(map(str, names), values, strict=True))
    # literal_eval documents these; AttributeError is what a spec that is no string gives.
    except (SyntaxError, ValueError, TypeError, AttributeError, MemoryError, RecursionError):
        pass
    raise GantoolsError(
        f'Cannot read the activation {spec!r}: write a name, or a name with literal arguments as in "esp(beta=2.0)".'
    )


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, type(default))
