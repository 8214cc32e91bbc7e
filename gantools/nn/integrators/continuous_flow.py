r"""Continuous normalizing flows: a density whose samples move from a normal one along $\dot u = f(t, u)$."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import vjp

from gantools.errors import GantoolsError
from gantools.nn.integrators.ode import ODEBlock


class ContinuousFlow(nn.Module):
    r"""Density of x = u(T), where u(0) is standard normal and $\dot u = f(t, u)$ (FFJORD, arXiv:1810.01367).

    $$\log p(x) = \log N(u(0); 0, I) - \int_0^T \mathrm{tr}\,\frac{\partial f}{\partial u}(t, u(t))\,dt$$

    The equation is integrated backwards from x by `ODEBlock`. The trace costs one vector-Jacobian product for each
    dimension; with `noise`, entries +-1 drawn by the caller, it is Hutchinson's estimate
    $\varepsilon^\top (\partial f/\partial u)\,\varepsilon$ for one, unbiased over the noise for the trace along a given
    path. p integrates to 1 as exactly as the equation is solved: with few fixed steps it need not. Training minimizes
    `-flow(x).mean()`; with fixed steps this is one fixed function of the parameters, as a spectrum needs it.

    Args:
        f: a module that keeps the shape (B, size) and takes each row by itself: f(u), or f(t, u) with `takes_time`,
            t a scalar from 0 at the normal end to `time` at the data.
        size: dimension of a sample.
        time: T.
        method: of `ODEBlock`, as are the others.
        steps: number of fixed steps; needed by the fixed methods alone.
        rtol: relative tolerance of adaptive methods.
        atol: absolute tolerance of adaptive methods.
        adjoint: whether gradients come from the adjoint equation, or through the solver's operations.
        takes_time: whether f takes t as its first argument.

    Attributes:
        evaluations: number of evaluations of f in the last call.

    Raises:
        GantoolsError: for what `ODEBlock` refuses, samples or noise of another shape, and f that changes the shape.
    """

    def __init__(
        self,
        f: nn.Module,
        size: int,
        time: float = 1.0,
        method: str = "dopri5",
        steps: int | None = None,
        rtol: float = 1e-5,
        atol: float = 1e-6,
        adjoint: bool = False,
        takes_time: bool = False,
    ):
        super().__init__()
        if size < 1 or not time > 0:
            raise GantoolsError(f"size = {size}, time = {time}: pass at least one dimension and a positive time.")
        self.f, self.size, self.time, self.takes_time = f, size, time, takes_time
        self.settings: dict[str, Any] = {
            "method": method, "steps": steps, "rtol": rtol, "atol": atol, "adjoint": adjoint,
        }  # fmt: skip
        self.evaluations = 0
        ODEBlock(f, time, **self.settings)  # refuses what it refuses now, not at the first call

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        return self.log_prob(x, noise)

    def log_prob(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        """Return the log-density (B,) of samples (B, size), in nats; with `noise` (B, size) an estimate of it."""
        u, change = self.to_base(x, noise)
        return change - u.square().sum(1) / 2 - self.size * math.log(2 * math.pi) / 2

    def to_base(self, x: Tensor, noise: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return where samples (B, size) come from, (B, size), and log |det| (B,) of that map's Jacobian."""
        for name, given in (("Samples", x), ("Noise", x if noise is None else noise)):
            if given.dim() != 2 or given.shape != (len(x), self.size):
                raise GantoolsError(
                    f"{name} of shape {tuple(given.shape)}: a flow of size {self.size} takes (B, {self.size})."
                )
        state = [x, x.new_zeros(len(x), 1)] + ([] if noise is None else [noise])
        block = ODEBlock(_WithVolume(self), -self.time, takes_time=True, **self.settings)
        end = block(torch.cat(state, 1))
        self.evaluations = block.evaluations
        return end[:, : self.size], end[:, self.size]

    def sample(self, n: int, rng: torch.Generator | None = None) -> Tensor:
        """Return n samples (n, size), which can be differentiated; `rng` draws them (the global generator without)."""
        like = next(self.f.parameters(), torch.empty(()))
        start = torch.randn(n, self.size, generator=rng, dtype=like.dtype, device=like.device)
        block = ODEBlock(self.f, self.time, takes_time=self.takes_time, **self.settings)
        x = block(start)
        self.evaluations = block.evaluations
        return x

    def extra_repr(self) -> str:
        return f"size={self.size}, time={self.time:g}, method={self.settings['method']!r}"


class _WithVolume(nn.Module):
    """Right-hand side of the samples, of the logarithm of their volume, and of the noise, which stays."""

    def __init__(self, flow: ContinuousFlow):
        super().__init__()
        self.f, self.size, self.time, self.takes_time = flow.f, flow.size, flow.time, flow.takes_time

    def forward(self, t: Tensor, state: Tensor) -> Tensor:
        u, noise = state[:, : self.size], state[:, self.size + 1 :]
        value, pull = vjp(lambda u: self.f(t + self.time, u) if self.takes_time else self.f(u), u)  # type: ignore[misc]
        if value.shape != u.shape:
            raise GantoolsError(f"f maps {tuple(u.shape)} to {tuple(value.shape)}: a flow needs one that keeps it.")
        if noise.shape[1]:
            trace = (noise * pull(noise)[0]).sum(1, keepdim=True)
        else:
            # One product for each dimension: a loop, which for few dimensions is faster than a vmap.
            basis = torch.eye(self.size, dtype=u.dtype, device=u.device)
            rows = [pull(e.expand_as(u))[0][:, i] for i, e in enumerate(basis)]
            trace = torch.stack(rows).sum(0).unsqueeze(1)
        return torch.cat([value, trace, torch.zeros_like(noise)], 1)
