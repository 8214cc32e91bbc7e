r"""Residual blocks as steps of a scheme that integrates $\dot u = f(u)$ (Lu et al., arXiv:1710.10121).

Every block has one interface: `block(u)` is one step of length `step` from the state u, `block.scheme` names the scheme
and `block.order` its order of accuracy, where the same f is used all along. f is any module that keeps the shape; the
networks of the papers are these blocks with step 1 and convolutions in f. `Flow` runs blocks one after another.
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from gantools.errors import GantoolsError
from gantools.nn.recurrent.base import uniform


class Integrator(nn.Module):
    """Base class of the blocks: one step of a numerical scheme, with its name, its order and the step length.

    Raises:
        GantoolsError: for a step of 0, or one that is not finite.
    """

    scheme: str
    order: int

    def __init__(self, step: float = 1.0):
        super().__init__()
        if not (math.isfinite(step) and step != 0):
            raise GantoolsError(f"step = {step}: pass a finite step other than 0.")
        self.step = step

    def extra_repr(self) -> str:
        return f"step={self.step:g}, scheme={self.scheme!r}, order={self.order}"


class Flow(nn.Sequential):
    """Run blocks one after another, from one state to one state; two-step blocks hand pairs of states on in between."""

    def forward(self, input: Any) -> Any:
        state = super().forward(input)
        return state[0] if isinstance(state, tuple) else state


class ResidualBlock(Integrator):
    r"""Forward Euler, the ResNet block: $u + h f(u)$ (He et al., arXiv:1512.03385).

    Raises:
        GantoolsError: for a step of 0, or one that is not finite.
    """

    scheme, order = "forward Euler", 1

    def __init__(self, f: nn.Module, step: float = 1.0):
        super().__init__(step)
        self.f = f

    def forward(self, u: Tensor) -> Tensor:
        return u + self.step * self.f(u)


class LMBlock(Integrator):
    r"""Linear two-step scheme, the LM-ResNet block: $u_{n+1} = (1 - k) u_n + k u_{n-1} + h f(u_n)$.

    Lu et al., arXiv:1710.10121. k is a learned scalar, uniform in [-0.1, 0] at the start, as the authors draw it (their
    code has 1 - k). The limit of small steps is $(1 + k)\dot u = f(u)$, of order 1: k < 0 speeds it up. Only k = 1, the
    leapfrog, is of order 2. The scheme has the roots 1 and -k: it is stable for -1 < k <= 1.

    Blocks pass on a pair (u_{n+1}, u_n); `Flow` begins and ends with one state. The first block of a chain has no
    u_{n-1} and no k: it is `LMBlock(f, first=True)`, a plain Euler step.

    Args:
        f: the right-hand side.
        step: h.
        k: initial value of k.
        learned: whether k is a parameter.
        first: whether the block begins a chain.
        rng: draws k where it is None (the global generator without it).

    Raises:
        GantoolsError: for a step of 0, and, when it is called, one state where a pair is needed, or the other way
            round.
    """

    scheme = "linear two-step"

    def __init__(
        self,
        f: nn.Module,
        step: float = 1.0,
        k: float | None = None,
        learned: bool = True,
        first: bool = False,
        rng: torch.Generator | None = None,
    ):
        super().__init__(step)
        self.f, self.first = f, first
        if first:
            return
        start = (uniform((), 0.05, rng) - 0.05 if k is None else torch.tensor(float(k))).to(torch.get_default_dtype())
        if learned:
            self.k = nn.Parameter(start)
        else:
            self.register_buffer("k", start)

    @property
    def order(self) -> int:  # type: ignore[override]
        """Order of accuracy: 2 for k = 1, the leapfrog, else 1."""
        return 2 if not self.first and self.k.item() == 1 else 1

    def forward(self, state: Any) -> tuple[Tensor, Tensor]:
        if self.first:
            if not isinstance(state, Tensor):
                raise GantoolsError("LMBlock(first=True) begins a chain: pass it one state, not a pair.")
            return state + self.step * self.f(state), state
        if not isinstance(state, tuple):
            raise GantoolsError("An LMBlock needs the pair (u_n, u_{n-1}): let LMBlock(f, first=True) begin the chain.")
        u, last = state
        return u + self.k * (last - u) + self.step * self.f(u), u


class PolyBlock(Integrator):
    r"""Backward Euler with a truncated Neumann series: the PolyInception blocks (Zhang et al., arXiv:1611.05725).

    With F = h f and G = h g: "poly-2" $u + F(u) + F(F(u))$, "mpoly-2" $u + F(u) + G(F(u))$, "2-way"
    $u + F(u) + G(u)$. For linear f, $(I - F)^{-1} = I + F + F^2 + \dots$ is backward Euler, from which poly-2 differs
    by $O(h^3)$; its order is 1. For other f the inner F sees h f(u), not a state: it is a step of $\dot u = f(u)$ only
    where f(0) = 0.

    Raises:
        GantoolsError: for a step of 0, an unknown kind, and a `g` that the kind does not take, or lacks.
    """

    def __init__(
        self,
        f: nn.Module,
        g: nn.Module | None = None,
        kind: Literal["poly-2", "mpoly-2", "2-way"] = "poly-2",
        step: float = 1.0,
    ):
        super().__init__(step)
        if kind not in ("poly-2", "mpoly-2", "2-way"):
            raise GantoolsError(f'Unknown kind {kind!r}: pass "poly-2", "mpoly-2" or "2-way".')
        if (g is None) != (kind == "poly-2"):
            raise GantoolsError(f'{kind} takes {"f alone" if kind == "poly-2" else "f and g"}: pass kind="..." to fit.')
        self.f, self.g, self.kind = f, g, kind

    order = 1

    @property
    def scheme(self) -> str:  # type: ignore[override]
        """Name of the scheme; "2-way" is forward Euler with f + g."""
        return "forward Euler of f + g" if self.kind == "2-way" else "backward Euler, two terms of its Neumann series"

    def forward(self, u: Tensor) -> Tensor:
        first = self.step * self.f(u)
        outer = self.f if self.g is None else self.g
        return u + first + self.step * outer(u if self.kind == "2-way" else first)


class DropPath(_DropoutNd):
    """Random choice of the branches of a fractal that take part in training; counts as dropout for `isinstance`.

    Half of the batches are global, with a single column; in the others each branch of each join is left out with
    probability p, never all of them (arXiv:1605.07648, section 3).
    """

    def column(self, columns: int) -> int | None:
        """Return the one column of a global batch, or None."""
        if not self.training or self.p == 0 or torch.rand(()) < 0.5:
            return None
        return int(torch.randint(1, columns + 1, ()))

    def join(self, level: int, column: int | None) -> tuple[bool, bool]:
        """Return whether the deep and the shallow branch of a join take part."""
        if column is not None:
            return column != level, column == level
        if not self.training or self.p == 0:
            return True, True
        deep, shallow = (torch.rand(2) >= self.p).tolist()
        if not (deep or shallow):
            deep = bool(torch.rand(()) < 0.5)
            shallow = not deep
        return deep, shallow


class FractalBlock(Integrator):
    r"""Runge-Kutta as a fractal: $f_{C+1} = \mathrm{mean}(f_C \circ f_C, \text{shallow})$.

    FractalNet, arXiv:1605.07648. f_1 is a unit, the Euler step $u + a f(u)$. The shallow branch of each join is another
    unit, as in FractalNet, or the "identity". Two columns with the identity are Heun's method,
    $u + \tfrac h2 (f(u) + f(u + h f(u)))$, of order 2; everything else is of order 1, with a such that the block
    advances by h: a = 2h/(C + 1) with units, h with the identity.

    Args:
        f: one module for all units, or one for each: 2^C - 1 with units, 2^(C-1) with the identity.
        columns: C.
        shallow: the branch beside the deep one.
        step: h.
        drop_path: p of `DropPath`; 0.15 in the paper.
        residual: whether a unit adds its input. Without it a unit is f(u), as in FractalNet, and the block no scheme:
            its order is 0.

    Raises:
        GantoolsError: for a step of 0, columns below 1, an unknown `shallow`, and another number of modules than units.
    """

    def __init__(
        self,
        f: nn.Module | Sequence[nn.Module],
        columns: int = 2,
        shallow: Literal["unit", "identity"] = "identity",
        step: float = 1.0,
        drop_path: float = 0.0,
        residual: bool = True,
    ):
        super().__init__(step)
        if columns < 1 or shallow not in ("unit", "identity"):
            raise GantoolsError(f'columns = {columns}, shallow = {shallow!r}: pass columns >= 1, "unit" or "identity".')
        self.columns, self.shallow, self.residual = columns, shallow, residual
        count, given = self._count(columns), [f] if isinstance(f, nn.Module) else list(f)
        if len(given) not in (1, count):
            raise GantoolsError(f"{len(given)} modules for {count} units: pass one for all, or {count}.")
        self.units = nn.ModuleList(given)
        self.drop_path = DropPath(drop_path)

    def _count(self, level: int) -> int:
        return 2**level - 1 if self.shallow == "unit" else 2 ** (level - 1)

    @property
    def scheme(self) -> str:  # type: ignore[override]
        """Name of the scheme."""
        return "Heun's Runge-Kutta" if self.order == 2 else "Runge-Kutta" if self.residual else "none"

    @property
    def order(self) -> int:  # type: ignore[override]
        """Order of accuracy: 2 for Heun's method, else 1; 0 without residual units."""
        if not self.residual:
            return 0
        return 2 if self.columns == 2 and self.shallow == "identity" else 1

    def forward(self, u: Tensor) -> Tensor:
        return self._level(u, self.columns, 0, self.drop_path.column(self.columns))

    def _level(self, u: Tensor, level: int, first: int, column: int | None) -> Tensor:
        if level == 1:
            return self._unit(u, first)
        deep, shallow = self.drop_path.join(level, column)
        below, branches = self._count(level - 1), []
        if deep:
            inner = self._level(u, level - 1, first, column)
            branches.append(self._level(inner, level - 1, first + below, column))
        if shallow:
            branches.append(u if self.shallow == "identity" else self._unit(u, first + 2 * below))
        return branches[0] if len(branches) == 1 else (branches[0] + branches[1]) / 2

    def _unit(self, u: Tensor, index: int) -> Tensor:
        value = self.units[index if len(self.units) > 1 else 0](u)
        if not self.residual:
            return value
        a = self.step * (2 / (self.columns + 1) if self.shallow == "unit" else 1)
        return u + a * value
