r"""The proximal point method: the implicit step, solved to a tolerance."""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from gantools.errors import GantoolsError
from gantools.registry import setting
from gantools.trainers.field_graph import FieldGraph
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer, State
from gantools.trainers.second_order.linear_solvers import Solver, gmres, solution

# Tolerance of the linear systems: Newton steps that take off three digits are as good as exact ones.
NEWTON_TOLERANCE = 1e-3


@OPTIMIZERS.register("proximal")
@dataclasses.dataclass(eq=False)
class Proximal(GameOptimizer):
    r"""Proximal point method: an implicit step, with the field at its end; a reference for methods that approximate it.

    $$w' = w - h\,\xi(w')$$

    The update has the eigenvalues $1/(1 + h\lambda)$: on a bilinear game it contracts for every step size (Rockafellar
    1976).

    The equation is solved from $w$ by Newton's method, each linear system to three digits by GMRES without restarts,
    until the residual $w' - w + h\,\xi(w')$ is `tolerance` times that at $w' = w$, or no step halves it any more. This
    ratio is `info.inner_residual`; with a large $h$ it can stay large on a GAN, and then $w'$ is not the proximal
    point.

    The step is differentiated by the implicit function theorem, $Dw' = (I + hJ(w'))^{-1}$, not through the solver.
    """

    tolerance: float = setting(1e-10, "bound on the residual, relative to that at the start")
    newton_steps: int = setting(10, "largest number of Newton steps")
    krylov_steps: int = setting(50, "largest number of products in each linear system")

    second_order = True
    cost = "1 gradient + (1 gradient + 2 or more products) a Newton step"
    paper = "Rockafellar 1976"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.tolerance > 0 or min(self.newton_steps, self.krylov_steps) < 1:
            raise GantoolsError("The solver needs a positive tolerance and at least one Newton and one Krylov step.")

    def _update(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        start = w.detach()
        here = FieldGraph(self.game, start, state.buffers, batches[0])
        graph, end = here, start
        left = scale = -self._scaled(here.value.vector, state)
        for _ in range(self.newton_steps):
            if not left.norm() > self.tolerance * scale.norm():
                break
            candidate = end + self._solvers(graph, state, NEWTON_TOLERANCE)[0](left)
            there = FieldGraph(self.game, candidate, state.buffers, batches[0])
            remaining = start - candidate - self._scaled(there.value.vector, state)
            if not remaining.norm() < left.norm() / 2:
                break
            graph, end, left = there, candidate, remaining
        if w.requires_grad:
            # Zero in value, (I + hJ)^{-1} in derivative.
            end = end + solution(w - start, *self._solvers(graph, state, self.tolerance))
        residual = left.norm() / scale.norm().clamp_min(torch.finfo(w.dtype).tiny)
        info = dataclasses.replace(self.observe(here.value), inner_residual=residual)
        counters = {player: count + 1 for player, count in state.counters.items()}
        return end, dataclasses.replace(state, counters=counters, buffers=here.value.buffers, info=info)

    def _scaled(self, vector: Tensor, state: State) -> Tensor:
        """Return the vector (n,) with each player's part times its learning rate."""
        rates = self.rates_at(state)
        return torch.cat([rates[player] * part for player, part in self.by_player(vector).items()])

    def _solvers(self, graph: FieldGraph, state: State, tolerance: float) -> tuple[Solver, Solver]:
        """Return the solvers with I + hJ and with its transpose."""

        def product(u: Tensor) -> Tensor:
            return u + self._scaled(graph.product(u), state)

        def transposed(u: Tensor) -> Tensor:
            return u + graph.transposed(self._scaled(u, state))

        def solver(matrix: Solver) -> Solver:
            return lambda b: gmres(matrix, b, tolerance, self.krylov_steps)[0]

        return solver(product), solver(transposed)
