r"""Base update rules (SGD, momentum, RMSProp, Adam) as pure maps from a direction and a memory to a step and a memory.

Each takes a direction $d$ and returns the step to subtract, $w' = w - \mathrm{step}$. The memory is a dictionary of
tensors shaped like the parameters, so that a game optimizer's update can be linearised with the memory included.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from gantools.errors import GantoolsError
from gantools.registry import Registry, setting
from gantools.schedules import Scheduled, extremes, value_at
from gantools.trainers.scales import Unit

Memory = dict[str, Tensor]


class Base(Protocol):
    """An update rule without side effects.

    A rule may declare what its memory is measured in, `units`: by key "gradient", "parameters", or "square" (of a
    gradient), see `gantools.trainers.scales`. One with a "square" has a method `denominator` as `RMSProp` has it.
    """

    def init(self, w: Tensor) -> Memory:
        """Return the memory before the first update of parameters shaped like `w`."""
        ...

    def update(self, direction: Tensor, memory: Memory, count: int, lr: float) -> tuple[Tensor, Memory]:
        """Return the step to subtract, and the new memory.

        Args:
            direction: the direction to go against, shaped like the parameters.
            memory: tensors shaped like the parameters, as `init` or the last update returned them.
            count: number of updates before this one.
            lr: learning rate.
        """
        ...


BaseChoice = str | Base | Mapping[str, str | Base]  # one for all players, or one for each by name

BASES: Registry[Any] = Registry("base")


def make_base(base: "str | Base") -> Base:
    """Return the base of this name with its default settings, or the base itself."""
    rule = BASES[base]() if isinstance(base, str) else base
    if isinstance(rule, type) or not all(callable(getattr(rule, name, None)) for name in ("init", "update")):
        given = repr(rule).partition("\n")[0].rstrip(" (")  # a torch.optim.Optimizer says much of itself
        raise GantoolsError(
            f"{given} is not a base rule: pass one of {', '.join(BASES)}, or Adam(...) and the like from "
            "gantools.trainers."
        )
    return rule


def safe_sqrt(v: Tensor) -> Tensor:
    r"""Return $\sqrt v$ with derivative 0 at $v = 0$: a dead unit never moves, so neither does its second moment."""
    alive = v > 0
    return torch.where(alive, torch.where(alive, v, 1.0).sqrt(), 0.0)


def clipped(direction: Tensor, longest: float | None, copies: int = 1) -> Tensor:
    """Return the direction, shortened to the norm `longest` if it is longer; of each copy where there are several."""
    if longest is None:
        return direction
    rows = direction.view(copies, -1)
    norm = rows.norm(dim=1, keepdim=True)
    return torch.where(norm > longest, rows * (longest / norm.clamp_min(longest)), rows).view_as(direction)


def _require_unit_interval(**values: Scheduled) -> None:
    for name, value in values.items():
        least, largest = extremes(value, name)
        if not 0 <= least <= largest < 1:
            raise GantoolsError(f"{name} = {value} is outside [0, 1): pass a decay rate in that range.")


def _require_momentum(value: Scheduled, name: str) -> None:
    least, largest = extremes(value, name)
    if not -1 < least <= largest < 1:
        raise GantoolsError(f"{name} = {value} is outside (-1, 1): pass a momentum in that range.")


@BASES.register("sgd")
@dataclasses.dataclass(frozen=True)
class SGD:
    """Plain gradient descent: the step is the learning rate times the direction."""

    def init(self, w: Tensor) -> Memory:
        return {}

    def update(self, direction: Tensor, memory: Memory, count: int, lr: float) -> tuple[Tensor, Memory]:
        return lr * direction, memory


@BASES.register("momentum")
@dataclasses.dataclass(frozen=True)
class Momentum:
    r"""Heavy ball (Polyak 1964), as `torch.optim.SGD(momentum=beta)`.

    $$m' = \beta m + d, \qquad \mathrm{step} = h\,m'$$
    """

    beta: Scheduled = setting(0.9, "momentum; may be negative")

    units: ClassVar[dict[str, Unit]] = {"momentum": "gradient"}

    def __post_init__(self) -> None:
        _require_momentum(self.beta, "beta")

    def init(self, w: Tensor) -> Memory:
        return {"momentum": torch.zeros_like(w)}

    def update(self, direction: Tensor, memory: Memory, count: int, lr: float) -> tuple[Tensor, Memory]:
        m = value_at(self.beta, count) * memory["momentum"] + direction
        return lr * m, {"momentum": m}


@BASES.register("rmsprop")
@dataclasses.dataclass(frozen=True)
class RMSProp:
    r"""RMSProp as `torch.optim.RMSprop` has it: accumulator from 0, epsilon outside the square root.

    $$v' = \alpha v + (1 - \alpha) d^2, \qquad \mathrm{step} = h\,d / (\sqrt{v'} + \epsilon)$$
    """

    alpha: Scheduled = setting(0.99, "decay of the second moment")
    eps: float = setting(1e-8, "added outside the square root")

    units: ClassVar[dict[str, Unit]] = {"square_avg": "square"}

    def __post_init__(self) -> None:
        _require_unit_interval(alpha=self.alpha)

    def init(self, w: Tensor) -> Memory:
        return {"square_avg": torch.zeros_like(w)}

    def denominator(self, direction: Tensor, memory: Memory, count: int) -> tuple[Tensor, Memory]:
        """Return the divisor of the direction, and the new second moment."""
        alpha = value_at(self.alpha, count)
        v = alpha * memory["square_avg"] + (1 - alpha) * direction.square()
        return safe_sqrt(v) + self.eps, {"square_avg": v}

    def update(self, direction: Tensor, memory: Memory, count: int, lr: float) -> tuple[Tensor, Memory]:
        denominator, memory = self.denominator(direction, memory, count)
        return lr * direction / denominator, memory


@BASES.register("rmsprop_tf1")
@dataclasses.dataclass(frozen=True)
class RMSPropTF1:
    r"""RMSProp as TensorFlow 1 had it, and as The Numerics of GANs ran it: accumulator from 1, epsilon inside.

    $$v' = \alpha v + (1 - \alpha) d^2, \qquad \mathrm{step} = h\,d / \sqrt{v' + \epsilon}$$
    """

    alpha: Scheduled = setting(0.9, "decay of the second moment")
    eps: float = setting(1e-10, "added inside the square root")

    units: ClassVar[dict[str, Unit]] = {"square_avg": "square"}

    def __post_init__(self) -> None:
        _require_unit_interval(alpha=self.alpha)

    def init(self, w: Tensor) -> Memory:
        return {"square_avg": torch.ones_like(w)}

    def denominator(self, direction: Tensor, memory: Memory, count: int) -> tuple[Tensor, Memory]:
        """Return the divisor of the direction, and the new second moment."""
        alpha = value_at(self.alpha, count)
        v = alpha * memory["square_avg"] + (1 - alpha) * direction.square()
        return (v + self.eps).sqrt(), {"square_avg": v}

    def update(self, direction: Tensor, memory: Memory, count: int, lr: float) -> tuple[Tensor, Memory]:
        denominator, memory = self.denominator(direction, memory, count)
        return lr * direction / denominator, memory


@BASES.register("adam")
@dataclasses.dataclass(frozen=True)
class Adam:
    r"""Adam with bias correction (Kingma and Ba 2015, arXiv:1412.6980), as `torch.optim.Adam`.

    $$m' = \beta_1 m + (1-\beta_1) d,\quad v' = \beta_2 v + (1-\beta_2) d^2,\quad
        \mathrm{step} = h\,\frac{m'/(1-\beta_1^t)}{\sqrt{v'/(1-\beta_2^t)} + \epsilon}$$

    A negative $\beta_1$ is Adam with negative momentum. With a schedule the powers are those of the present $\beta$, as
    in `torch.optim.Adam` when its betas are set anew.
    """

    betas: tuple[Scheduled, Scheduled] = setting((0.9, 0.999), "decays of the first (also negative) and second moment")
    eps: float = setting(1e-8, "added outside the square root")

    units: ClassVar[dict[str, Unit]] = {"exp_avg": "gradient", "exp_avg_sq": "square"}

    def __post_init__(self) -> None:
        _require_momentum(self.betas[0], "beta_1")
        _require_unit_interval(beta_2=self.betas[1])

    def init(self, w: Tensor) -> Memory:
        return {"exp_avg": torch.zeros_like(w), "exp_avg_sq": torch.zeros_like(w)}

    def denominator(self, direction: Tensor, memory: Memory, count: int) -> tuple[Tensor, Memory]:
        """Return the divisor of the first moment, and the new second moment."""
        beta = value_at(self.betas[1], count)
        v = beta * memory["exp_avg_sq"] + (1 - beta) * direction.square()
        return safe_sqrt(v) / (1 - beta ** (count + 1)) ** 0.5 + self.eps, {"exp_avg_sq": v}

    def update(self, direction: Tensor, memory: Memory, count: int, lr: float) -> tuple[Tensor, Memory]:
        beta1 = value_at(self.betas[0], count)
        m = beta1 * memory["exp_avg"] + (1 - beta1) * direction
        denominator, moment = self.denominator(direction, memory, count)
        return (lr / (1 - beta1 ** (count + 1))) * m / denominator, {"exp_avg": m, **moment}
