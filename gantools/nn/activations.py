r"""Hidden-layer activations by name, none of them in place, so that second derivatives can pass through them.

Each declares which numbers it takes, "real", "complex" or both: torch would run some pairs (sigmoid and tanh of complex
numbers have poles) and answer others with an error of the kernel.
"""

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gantools.errors import GantoolsError
from gantools.registry import Registry, parse_call

ACTIVATIONS: Registry[Callable[..., nn.Module]] = Registry("activation")

# Arguments that the network fills in, not the user.
_CONTEXT = ("units", "rng")


def register(name: str, *accepts: str) -> Callable[[Any], Any]:
    """Return a decorator that files an activation under `name` as one for "real" or "complex" numbers, or both."""

    def add(factory: Callable[..., nn.Module]) -> Callable[..., nn.Module]:
        @functools.wraps(factory)
        def make(*args: Any, **kwargs: Any) -> nn.Module:
            module = factory(*args, **kwargs)
            if accepts == ("real",):
                module.register_forward_pre_hook(_refuse_complex)
            return module

        make.accepts = accepts  # type: ignore[attr-defined]
        return ACTIVATIONS.register(name)(make)

    return add


def accepts(name: str) -> tuple[str, ...]:
    """Return which numbers the activation of this name takes: "real", "complex", or both."""
    return ACTIVATIONS[name].accepts  # type: ignore[attr-defined]


def _accepting(domain: str) -> str:
    return ", ".join(sorted(name for name in ACTIVATIONS if domain in accepts(name)))


def _refuse_complex(module: nn.Module, inputs: tuple[Any, ...]) -> None:
    if isinstance(inputs[0], Tensor) and inputs[0].is_complex():
        raise GantoolsError(
            f"{type(module).__name__} takes real numbers, and its input is {inputs[0].dtype}: for complex ones choose "
            f"among {_accepting('complex')}."
        )


def require_complex(module: nn.Module, x: Tensor) -> None:
    """Refuse a real input with a sentence."""
    if not x.is_complex():
        raise GantoolsError(
            f"{type(module).__name__} takes complex numbers, and its input is {x.dtype}: pass torch.complex(real, "
            "imaginary), or choose a layer or activation for real ones."
        )


def along_channels(x: Tensor, like: Tensor) -> Tensor:
    """Return a parameter (units,) shaped so that it multiplies axis 1 of `like`; a scalar as it is."""
    return x.reshape(-1, *[1] * (like.dim() - 2)) if x.dim() and like.dim() > 2 else x


class ESP(nn.Module):
    r"""Apply $x\,\sigma(\beta x)$ with `beta` fixed, or learned (Milletari et al., arXiv:1805.08786).

    `beta = 1` is SiLU; a large `beta` approaches ReLU, 0 halves the input. Learned, there is one for each unit along
    axis 1, as in the paper, where `units` says how many; else one for the layer. `std` draws them from N(beta, std^2)
    (the authors' code: beta = 0, std = 0.004).
    """

    def __init__(
        self,
        beta: float = 1.0,
        learned: bool = False,
        units: int | None = None,
        std: float = 0.0,
        rng: torch.Generator | None = None,
    ):
        super().__init__()
        value = torch.full((units,) if units and learned else (), float(beta))
        if learned and std:
            value = value + std * torch.randn(value.shape, generator=rng)
        if learned:
            self.beta = nn.Parameter(value)
        else:
            self.register_buffer("beta", value)
        self.learned = learned

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(along_channels(self.beta, x) * x)

    def extra_repr(self) -> str:
        shown = f"beta={self.beta.item():g}" if self.beta.dim() == 0 else f"units={len(self.beta)}"
        return f"{shown}, learned={self.learned}"


@register("esp", "real")
def esp(
    beta: float = 1.0,
    learned: bool = False,
    std: float = 0.0,
    units: int | None = None,
    rng: torch.Generator | None = None,
) -> nn.Module:
    """Apply x sigmoid(beta x), beta fixed or learned for each unit (Milletari et al., arXiv:1805.08786)."""
    if std < 0 or (std and not learned):
        raise GantoolsError("Activation esp: std draws the learned betas, so it must be positive, with learned=True.")
    return ESP(beta, learned, units, std, rng)


class _Sin(nn.Module):
    def __init__(self, frequency: float):
        super().__init__()
        self.frequency = frequency

    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(self.frequency * x)

    def extra_repr(self) -> str:
        return f"frequency={self.frequency:g}"


@register("relu", "real")
def relu() -> nn.Module:
    """Apply max(0, x); its second derivative is zero wherever it exists."""
    return nn.ReLU()


@register("leaky_relu", "real")
def leaky_relu(negative_slope: float = 0.2) -> nn.Module:
    """Apply max(x, negative_slope x); 0.2 is the slope of DCGAN (arXiv:1511.06434), not PyTorch's 0.01."""
    return nn.LeakyReLU(negative_slope)


@register("elu", "real")
def elu(alpha: float = 1.0) -> nn.Module:
    """Apply x where positive, alpha (e^x - 1) elsewhere (arXiv:1511.07289)."""
    return nn.ELU(alpha)


@register("gelu", "real")
def gelu(approximate: str = "none") -> nn.Module:
    """Apply x Phi(x), Phi the normal distribution function (arXiv:1606.08415); approximate="tanh" for the fast form."""
    if approximate not in ("none", "tanh"):
        raise GantoolsError(f'Activation gelu: approximate must be "none" or "tanh", not {approximate!r}.')
    return nn.GELU(approximate)


@register("silu", "real")
def silu() -> nn.Module:
    """Apply x sigmoid(x), also called swish (arXiv:1702.03118)."""
    return nn.SiLU()


@register("softplus", "real")
def softplus(beta: float = 1.0) -> nn.Module:
    """Apply log(1 + e^(beta x)) / beta, a smooth ReLU."""
    if beta <= 0:
        raise GantoolsError(f"Activation softplus: beta must be positive, not {beta}.")
    return nn.Softplus(beta)


@register("tanh", "real")
def tanh() -> nn.Module:
    """Apply the hyperbolic tangent."""
    return nn.Tanh()


@register("sigmoid", "real")
def sigmoid() -> nn.Module:
    """Apply 1 / (1 + e^-x)."""
    return nn.Sigmoid()


@register("sin", "real")
def sin(frequency: float = 1.0) -> nn.Module:
    """Apply sin(frequency x) (SIREN, arXiv:2006.09661, takes frequency 30 in the first layer)."""
    return _Sin(frequency)


def activation(
    spec: str, units: int | None = None, domain: str | None = None, rng: torch.Generator | None = None
) -> nn.Module:
    """Return a new activation module from a name with optional arguments, such as "relu" or "esp(beta=2.0)".

    Arguments are Python literals; nothing is evaluated.

    Args:
        spec: the name and arguments.
        units: the length of axis 1 of the input, for activations with a parameter of each unit; without it those have
            one for the layer.
        domain: "real" or "complex", what the input will be; an activation that does not take it is refused.
        rng: draws initial parameters where there are any to draw.

    Raises:
        GantoolsError: for an unknown name, a malformed specification, an argument of the wrong type, and an activation
            that does not take numbers of the domain.
    """
    try:
        name, args, kwargs = parse_call(spec)
    except ValueError:
        raise GantoolsError(
            f"Cannot read the activation {spec!r}: write a name, or a name with literal arguments as in "
            '"esp(beta=2.0)".'
        ) from None
    factory = ACTIVATIONS[name]
    if domain is not None and domain not in accepts(name):
        other = "complex" if domain == "real" else "real"
        raise GantoolsError(
            f"The activation {name!r} takes {other} numbers, and this layer's are {domain}: choose among "
            f"{_accepting(domain)}, or a {other} network."
        )
    signature = inspect.signature(factory)
    context = {"units": units, "rng": rng}
    own = [p for p in signature.parameters.values() if p.name not in _CONTEXT]
    written = signature.replace(parameters=own)
    try:
        bound = written.bind(*args, **kwargs)
    except TypeError:
        raise GantoolsError(f"Activation {spec!r}: the arguments do not fit {name}{_shown(written)}.") from None
    for key, value in bound.arguments.items():
        default = signature.parameters[key].default
        if not _fits(value, default):
            raise GantoolsError(f"Activation {spec!r}: {key} must be like its default {default!r}, not {value!r}.")
    known = {key: value for key, value in context.items() if key in signature.parameters}
    return factory(**bound.arguments, **known)


def _shown(signature: inspect.Signature) -> str:
    return "(" + ", ".join(f"{p.name}={p.default!r}" for p in signature.parameters.values()) + ")"


def _fits(value: Any, default: Any) -> bool:
    if isinstance(default, float):
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, type(default))
