r"""Complex momentum: a buffer that rotates as it decays."""

import cmath
import dataclasses

import torch
from torch import Tensor

from gantools.errors import GantoolsError
from gantools.registry import setting
from gantools.trainers.base import Base, Memory
from gantools.trainers.momentum import Order, OrderedMomentum, order_setting
from gantools.trainers.optimizer import OPTIMIZERS


@dataclasses.dataclass(frozen=True)
class RotatingMomentum:
    r"""The base rule of complex momentum: $\mu' = \beta\mu + d$, $\mathrm{step} = h\,\Re\mu'$, in two real buffers."""

    beta: complex

    def init(self, w: Tensor) -> Memory:
        return {"momentum_real": torch.zeros_like(w), "momentum_imaginary": torch.zeros_like(w)}

    def update(self, direction: Tensor, memory: Memory, count: int, lr: float) -> tuple[Tensor, Memory]:
        b, c = self.beta.real, self.beta.imag
        real, imaginary = memory["momentum_real"], memory["momentum_imaginary"]
        memory = {
            "momentum_real": b * real - c * imaginary + direction,
            "momentum_imaginary": c * real + b * imaginary,
        }
        return lr * memory["momentum_real"], memory


@OPTIMIZERS.register("complex_momentum")
@dataclasses.dataclass(eq=False)
class ComplexMomentum(OrderedMomentum):
    r"""Momentum with a complex beta: the buffer turns by its phase at each step (arXiv:2102.08431).

    .. math:: \mu' = \beta\mu + \xi(w), \qquad w' = w - h\,\Re\mu'

    Phase 0 is positive momentum and phase $\pi$ negative momentum. With simultaneous players the eigenvalues solve
    $(X-1)(X^2 - 2\Re\beta X + |\beta|^2) + h\lambda X(X - \Re\beta) = 0$: unlike any real momentum, it can converge
    on a bilinear game.
    """

    modulus: float = setting(0.8, "modulus of the momentum, within [0, 1)")
    phase: float = setting(cmath.pi / 8, "phase of the momentum, in radians")
    order: Order = order_setting("simultaneous")

    paper = "Lorraine et al. 2022, arXiv:2102.08431"

    def momenta(self) -> dict[str, Base]:
        if not 0 <= self.modulus < 1:
            raise GantoolsError(f"modulus = {self.modulus} is outside [0, 1): pass a modulus in that range.")
        return dict.fromkeys(self.game.slices, RotatingMomentum(cmath.rect(self.modulus, self.phase)))
