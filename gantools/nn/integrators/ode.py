r"""Layers of continuous depth: $\dot u = f(t, u)$ integrated by torchdiffeq."""

import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from gantools.errors import GantoolsError, MissingDependencyError
from gantools.games.functional import is_dual
from gantools.nn.integrators.schemes import Integrator
from gantools.registry import suggest

FIXED = {"euler": 1, "midpoint": 2, "heun3": 3, "rk4": 4}
ADAPTIVE = {"adaptive_heun": 2, "fehlberg2": 2, "bosh3": 3, "dopri5": 5, "dopri8": 8}


class ODEBlock(Integrator):
    r"""Integrate $\dot u = f(u)$, or $f(t, u)$, from 0 to `time` (Chen et al., arXiv:1806.07366).

    Fixed steps ("euler", "midpoint", "heun3", "rk4") make one fixed function of the parameters, as a game's spectrum
    needs it. Adaptive steps ("dopri5" and others) hold the error to `rtol` and `atol`; derivatives take the steps as
    given, so they are exact up to those tolerances only.

    Gradients come through the solver's own operations, or by the adjoint $\dot a = -a^\top \partial f/\partial u$,
    integrated backwards with u, whose memory does not grow with the number of steps. The adjoint gives
    the gradient of the equation, not of the steps: with 10 Euler steps it is some percent off, with dopri5 as good as
    the tolerance. It cannot be differentiated again: second derivatives raise `GantoolsError`.

    Args:
        f: a module that keeps the shape: f(u), or f(t, u) with `takes_time`.
        time: end of the integration.
        method: a key of `FIXED` or `ADAPTIVE`.
        steps: number of fixed steps; needed by the fixed methods alone.
        rtol: relative tolerance of adaptive methods.
        atol: absolute tolerance of adaptive methods.
        adjoint: whether gradients come from the adjoint equation, or through the solver's operations.
        takes_time: whether f takes t as its first argument.

    Attributes:
        evaluations: number of evaluations of f in the last forward pass.

    Raises:
        GantoolsError: when torchdiffeq is missing, for an unknown method, steps that do not fit it, and in the backward
            pass of an adjoint that is to be differentiated.
    """

    def __init__(
        self,
        f: nn.Module,
        time: float = 1.0,
        method: str = "dopri5",
        steps: int | None = None,
        rtol: float = 1e-5,
        atol: float = 1e-6,
        adjoint: bool = False,
        takes_time: bool = False,
    ):
        super().__init__(time)
        engine()
        if method not in FIXED | ADAPTIVE:
            raise suggest("method", method, list(FIXED | ADAPTIVE))
        if (method in FIXED) != (steps is not None) or (steps is not None and steps < 1):
            raise GantoolsError(
                f"method = {method!r}, steps = {steps}: fixed methods ({', '.join(FIXED)}) take steps >= 1, adaptive "
                f"ones ({', '.join(ADAPTIVE)}) none."
            )
        if not (math.isfinite(rtol) and math.isfinite(atol) and rtol >= 0 and atol >= 0 and rtol + atol > 0):
            raise GantoolsError(
                f"rtol = {rtol}, atol = {atol}: pass tolerances that are not negative, one of them positive."
            )
        self.f, self.method, self.steps, self.adjoint, self.takes_time = f, method, steps, adjoint, takes_time
        self.rtol, self.atol = rtol, atol
        self.evaluations = 0

    @property
    def scheme(self) -> str:  # type: ignore[override]
        """Name of the solver's method."""
        return self.method

    @property
    def order(self) -> int:  # type: ignore[override]
        """Order of the method."""
        return (FIXED | ADAPTIVE)[self.method]

    def forward(self, u: Tensor) -> Tensor:
        self.evaluations = 0
        t = torch.tensor([0.0, self.step], dtype=u.dtype.to_real() if u.is_complex() else u.dtype, device=u.device)
        settings: dict[str, Any] = {"method": self.method, "rtol": self.rtol, "atol": self.atol}
        if self.steps is not None:
            settings["options"] = {"grid_constructor": self._grid}
        if not self.adjoint or is_dual(u) or any(map(is_dual, self.f.parameters())):
            return engine().odeint(self._right_hand_side(self.f), u, t, **settings)[-1]
        # The backward pass evaluates f again, when other tensors may stand in the module: it must find those of now.
        tensors = dict(self.f.named_parameters()) | dict(self.f.named_buffers())

        def bound(*inputs: Tensor) -> Tensor:
            return functional_call(self.f, tensors, inputs)

        moved = engine().odeint_adjoint(
            self._right_hand_side(bound), u, t, adjoint_params=tuple(self.f.parameters()), **settings
        )
        return _OnceDifferentiable.apply(moved[-1])

    def _right_hand_side(self, f: Callable[..., Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        def evaluate(t: Tensor, u: Tensor) -> Tensor:
            self.evaluations += 1
            return f(t, u) if self.takes_time else f(u)

        return evaluate

    def _grid(self, func: Any, u: Tensor, t: Tensor) -> Tensor:
        # A step size would be rounded, and so at times the number of steps with it.
        fractions = torch.linspace(0, 1, (self.steps or 1) + 1, dtype=t.dtype, device=t.device)
        return torch.lerp(t[:1], t[-1:], fractions)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, steps={self.steps}, adjoint={self.adjoint}"


class _OnceDifferentiable(torch.autograd.Function):
    """Identity whose backward pass refuses to be recorded: the adjoint has no second derivatives."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        if torch.is_grad_enabled():
            raise GantoolsError(
                "The adjoint gradient of an ODEBlock cannot be differentiated again, and this game or method needs "
                "second derivatives: build it with adjoint=False."
            )
        return gradients[0]


@functools.cache
def engine() -> Any:
    """Return the torchdiffeq module, or raise the error that says how to install it."""
    try:
        import torchdiffeq
    except ImportError:
        raise MissingDependencyError(
            'Nets of continuous depth need torchdiffeq: pip install "gantools[ode]".'
        ) from None
    return torchdiffeq
