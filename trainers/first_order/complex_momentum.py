r"""Complex momentum: a buffer that rotates as it decays."""

import cmath
import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor

from gantools.errors import GantoolsError
from gantools.registry import setting
from gantools.trainers.base_rules import SGD, Base, BaseChoice, Memory
from gantools.trainers.first_order.momentum import Order, OrderedMomentum, order_setting
from gantools.trainers.optimizer import OPTIMIZERS, base_setting
from gantools.trainers.scales import Unit, rule_units


@dataclasses.dataclass(frozen=True)
class RotatingMomentum:
    r"""The rule of complex momentum: $\mu' = \beta\mu + d$, $\mathrm{step} = h\,\Re\mu'$, in two real buffers.

    Over a rule with a second moment, the step is divided by that rule's denominator.

    Attributes:
        beta: the complex momentum.
        over: the base rule.
    """

    beta: complex
    over: Base = dataclasses.field(default_factory=SGD)

    def __post_init__(self) -> None:
        if not isinstance(self.over, SGD) and not hasattr(self.over, "denominator"):
            raise GantoolsError(
                f"Complex momentum does not go over {type(self.over).__name__}, which is a momentum of its own: pass "
                "the base sgd, adam, rmsprop or rmsprop_tf1."
            )

    @property
    def units(self) -> Mapping[str, Unit]:
        """What the memory is measured in."""
        units: dict[str, Unit] = {"momentum_real": "gradient", "momentum_imaginary": "gradient"}
        units.update({key: unit for key, unit in rule_units(self.over).items() if key != "exp_avg"})
        return units

    def denominator(self, direction: Tensor, memory: Memory, count: int) -> tuple[Tensor, Memory]:
        """Return the divisor of the buffer, and the new second moment."""
        return self.over.denominator(direction, memory, count)  # type: ignore[attr-defined]

    def init(self, w: Tensor) -> Memory:
        moments = {key: value for key, value in self.over.init(w).items() if key != "exp_avg"}
        return {"momentum_real": torch.zeros_like(w), "momentum_imaginary": torch.zeros_like(w), **moments}

    def update(self, direction: Tensor, memory: Memory, count: int, lr: float) -> tuple[Tensor, Memory]:
        b, c = self.beta.real, self.beta.imag
        real, imaginary = memory["momentum_real"], memory["momentum_imaginary"]
        buffers = {
            "momentum_real": b * real - c * imaginary + direction,
            "momentum_imaginary": c * real + b * imaginary,
        }
        step = lr * buffers["momentum_real"]
        if isinstance(self.over, SGD):
            return step, buffers
        denominator, moments = self.denominator(direction, memory, count)
        return step / denominator, {**buffers, **moments}


@OPTIMIZERS.register("complex_momentum")
@dataclasses.dataclass(eq=False)
class ComplexMomentum(OrderedMomentum):
    r"""Momentum with a complex factor: the buffer rotates by its phase at each step (arXiv:2102.08431).

    $$\mu' = \beta\mu + \xi(w), \qquad w' = w - h\,\Re\mu'$$

    Phase 0 is positive momentum and phase $\pi$ negative momentum. With simultaneous players the eigenvalues solve
    $(X-1)(X^2 - 2\Re\beta X + |\beta|^2) + h\lambda X(X - \Re\beta) = 0$: unlike any real momentum, it can converge
    on a bilinear game.

    Over `adam` it is complex Adam: the step is divided by the root of Adam's corrected second moment plus $\epsilon$.
    The complex buffer stands in for Adam's first moment: $\beta_1$ is not used, and neither $1 - \beta$ nor a
    correction for the start scales it, so that steps are up to $1/|1 - \beta|$ times as long as Adam's.
    """

    base: BaseChoice = base_setting()
    modulus: float = setting(0.8, "modulus of the momentum, within [0, 1)")
    phase: float = setting(cmath.pi / 8, "phase of the momentum, in radians")
    order: Order = order_setting("simultaneous")

    paper = "Lorraine et al. 2022, arXiv:2102.08431"

    def momenta(self) -> dict[str, Base]:
        if not 0 <= self.modulus < 1:
            raise GantoolsError(f"modulus = {self.modulus} is outside [0, 1): pass a modulus in that range.")
        return {
            player: RotatingMomentum(cmath.rect(self.modulus, self.phase), rule) for player, rule in self.rules.items()
        }
