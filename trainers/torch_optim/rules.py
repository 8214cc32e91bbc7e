r"""The update rules of `torch.optim` as pure maps of a parameter, its gradient and its memory, at all their settings.

They are differentiable where the optimizers are not: these write in place, and their $\sqrt v$ has no derivative
at $v = 0$, where a dead unit's second moment is. Keys of a memory are those of `optimizer.state[p]`.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from gantools.errors import GantoolsError
from gantools.trainers.base_rules import Memory, safe_sqrt
from gantools.trainers.scales import Unit


class TorchRule(Protocol):
    """An optimizer's rule at the settings of one of its parameter groups."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the memory's tensors, each of the parameter's shape."""
        ...

    @property
    def units(self) -> dict[str, Unit]:
        """What each of them is measured in, see `gantools.trainers.scales`."""
        ...

    @property
    def lr(self) -> float:
        """The learning rate."""
        ...

    def divisor(self, memory: Memory, count: int) -> Tensor | None:
        """Return the divisor (m,) of the step that led to this memory as the `count`-th; None for 1."""
        ...

    def update(self, w: Tensor, gradient: Tensor, memory: Memory, count: int) -> tuple[Tensor, Memory]:
        """Return the next parameters (m,) and memory, `count` updates having been made before."""
        ...


@dataclasses.dataclass(frozen=True)
class _Group:
    """Settings that the rules share.

    Attributes:
        lr: the learning rate.
        weight_decay: times the parameters, added to the gradient.
        maximize: whether to go up the gradient.
    """

    lr: float
    weight_decay: float
    maximize: bool

    def direction(self, w: Tensor, gradient: Tensor) -> Tensor:
        """Return the gradient to go down, with the weight decay in it."""
        gradient = -gradient if self.maximize else gradient
        return gradient + self.weight_decay * w if self.weight_decay else gradient


@dataclasses.dataclass(frozen=True)
class TorchSGD(_Group):
    """`torch.optim.SGD`: the first momentum is the first gradient, without dampening."""

    momentum: float
    dampening: float
    nesterov: bool

    @property
    def keys(self) -> tuple[str, ...]:
        return ("momentum_buffer",) if self.momentum else ()

    @property
    def units(self) -> dict[str, Unit]:
        return dict.fromkeys(self.keys, "gradient")

    def divisor(self, memory: Memory, count: int) -> None:
        return None

    def update(self, w: Tensor, gradient: Tensor, memory: Memory, count: int) -> tuple[Tensor, Memory]:
        d = self.direction(w, gradient)
        if not self.momentum:
            return w - self.lr * d, memory
        m = self.momentum * memory["momentum_buffer"] + (1 - self.dampening if count else 1) * d
        step = d + self.momentum * m if self.nesterov else m
        return w - self.lr * step, {"momentum_buffer": m}


@dataclasses.dataclass(frozen=True)
class TorchRMSprop(_Group):
    """`torch.optim.RMSprop`, centred or not, with or without momentum."""

    alpha: float
    eps: float
    momentum: float
    centered: bool

    @property
    def keys(self) -> tuple[str, ...]:
        return ("square_avg", *["momentum_buffer"] * (self.momentum > 0), *["grad_avg"] * self.centered)

    @property
    def units(self) -> dict[str, Unit]:
        return {"square_avg": "square", "momentum_buffer": "direction", "grad_avg": "gradient"}

    def divisor(self, memory: Memory, count: int) -> Tensor:
        variance = memory["square_avg"] - memory["grad_avg"].square() if self.centered else memory["square_avg"]
        return safe_sqrt(variance) + self.eps

    def update(self, w: Tensor, gradient: Tensor, memory: Memory, count: int) -> tuple[Tensor, Memory]:
        d = self.direction(w, gradient)
        square = self.alpha * memory["square_avg"] + (1 - self.alpha) * d.square()
        moved = {"square_avg": square}
        if self.centered:
            moved["grad_avg"] = self.alpha * memory["grad_avg"] + (1 - self.alpha) * d
        step = d / self.divisor(moved, count + 1)
        if self.momentum > 0:
            step = moved["momentum_buffer"] = self.momentum * memory["momentum_buffer"] + step
        return w - self.lr * step, moved


@dataclasses.dataclass(frozen=True)
class TorchAdam(_Group):
    """`torch.optim.Adam`, and with `decoupled` weight decay `AdamW`; with or without AMSGrad."""

    betas: tuple[float, float]
    eps: float
    amsgrad: bool
    decoupled: bool

    @property
    def keys(self) -> tuple[str, ...]:
        return ("exp_avg", "exp_avg_sq", *["max_exp_avg_sq"] * self.amsgrad)

    @property
    def units(self) -> dict[str, Unit]:
        return {"exp_avg": "gradient", "exp_avg_sq": "square", "max_exp_avg_sq": "square"}

    def divisor(self, memory: Memory, count: int) -> Tensor:
        moment = memory["max_exp_avg_sq" if self.amsgrad else "exp_avg_sq"]
        return safe_sqrt(moment) / (1 - self.betas[1] ** count) ** 0.5 + self.eps

    def update(self, w: Tensor, gradient: Tensor, memory: Memory, count: int) -> tuple[Tensor, Memory]:
        if self.decoupled:
            d = -gradient if self.maximize else gradient
            w = w * (1 - self.lr * self.weight_decay)
        else:
            d = self.direction(w, gradient)
        beta1, beta2 = self.betas
        m = beta1 * memory["exp_avg"] + (1 - beta1) * d
        v = beta2 * memory["exp_avg_sq"] + (1 - beta2) * d.square()
        moved = {"exp_avg": m, "exp_avg_sq": v}
        if self.amsgrad:
            moved["max_exp_avg_sq"] = torch.maximum(memory["max_exp_avg_sq"], v)
        return w - (self.lr / (1 - beta1 ** (count + 1))) * m / self.divisor(moved, count + 1), moved


def _shared(group: Mapping[str, Any]) -> Any:
    return {
        "lr": float(group["lr"]),
        "weight_decay": float(group["weight_decay"]),
        "maximize": bool(group["maximize"]),
    }


def _sgd(group: Mapping[str, Any]) -> TorchRule:
    momentum, dampening = float(group["momentum"]), float(group["dampening"])
    return TorchSGD(**_shared(group), momentum=momentum, dampening=dampening, nesterov=bool(group["nesterov"]))


def _rmsprop(group: Mapping[str, Any]) -> TorchRule:
    alpha, eps, momentum = (float(group[name]) for name in ("alpha", "eps", "momentum"))
    return TorchRMSprop(**_shared(group), alpha=alpha, eps=eps, momentum=momentum, centered=bool(group["centered"]))


def _adam(group: Mapping[str, Any]) -> TorchRule:
    beta1, beta2 = map(float, group["betas"])
    decoupled = bool(group.get("decoupled_weight_decay", False))
    amsgrad, eps = bool(group["amsgrad"]), float(group["eps"])
    return TorchAdam(**_shared(group), betas=(beta1, beta2), eps=eps, amsgrad=amsgrad, decoupled=decoupled)


# Subclasses may override `step`, so the class itself is asked for.
_RULES: dict[type, Callable[[Mapping[str, Any]], TorchRule]] = {
    torch.optim.SGD: _sgd,
    torch.optim.RMSprop: _rmsprop,
    torch.optim.Adam: _adam,
    torch.optim.AdamW: _adam,
}


def rule_of(optimizer: torch.optim.Optimizer, group: Mapping[str, Any]) -> TorchRule:
    """Return the rule of an optimizer at the settings of one of its parameter groups.

    Raises:
        GantoolsError: for a class of optimizers that has no rule here.
    """
    if type(optimizer) not in _RULES:
        known = ", ".join(cls.__name__ for cls in _RULES)
        raise GantoolsError(
            f"The step of {type(optimizer).__name__} is not known in closed form: use one of torch.optim's {known}, or "
            "pass gantools.watch(update=step), a function that makes your step, which is then differentiated as it is."
        )
    return _RULES[type(optimizer)](group)
