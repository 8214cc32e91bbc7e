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
    point. Where a player has a constraint, with the projection $P$ onto it, the equation is $w' = P(w - h\,\xi(w'))$.

    The step is differentiated by the implicit function theorem, $Dw' = (I + hJ(w'))^{-1}$, not through the solver.
    """

    tolerance: float = setting(1e-10, "bound on the residual, relative to that at the start")
    newton_steps: int = setting(10, "largest number of Newton steps")
    krylov_steps: int = setting(50, "largest number of products in each linear system")

    second_order = True
    cost = "1 gradient + (1 gradient + 2 or more products) a Newton step"
    paper = "Rockafellar 1976"
    couples = "its solver has one residual and one number of steps for all of them"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.tolerance > 0 or min(self.newton_steps, self.krylov_steps) < 1:
            raise GantoolsError("The solver needs a positive tolerance and at least one Newton and one Krylov step.")

    def _update(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        start = w.detach()
        here = FieldGraph(self.game, start, state.buffers, batches[0])
        graph, end = here, start
        left = scale = self._residual(start, start, here, state)
        for _ in range(self.newton_steps):
            if not left.norm() > self.tolerance * scale.norm():
                break
            candidate = self.game.project(end + self._solvers(start, graph, state, NEWTON_TOLERANCE)[0](left))
            there = FieldGraph(self.game, candidate, state.buffers, batches[0])
            remaining = self._residual(start, candidate, there, state)
            if not remaining.norm() < left.norm() / 2:
                break
            graph, end, left = there, candidate, remaining
        if w.requires_grad:
            # Zero in value, (I + hJ)^{-1} in derivative.
            moved = self._residual(w, start, graph, state)
            end = end + solution(moved - moved.detach(), *self._solvers(start, graph, state, self.tolerance))
        residual = left.norm() / scale.norm().clamp_min(torch.finfo(w.dtype).tiny)
        info = dataclasses.replace(self.observe(here.value), inner_residual=residual)
        counters = {player: count + 1 for player, count in state.counters.items()}
        return end, dataclasses.replace(state, counters=counters, buffers=here.value.buffers, info=info)

    def _residual(self, start: Tensor, end: Tensor, graph: FieldGraph, state: State) -> Tensor:
        r"""Return $P(w - h\,\xi(w')) - w'$, with the field at the end $w'$ from its graph."""
        return self.game.project(start - self._scaled(graph.value.vector, state)) - end

    def _scaled(self, vector: Tensor, state: State) -> Tensor:
        """Return the vector (n,) with each player's part times its learning rate."""
        rates = self.rates_at(state)
        return torch.cat([rates[player] * part for player, part in self.by_player(vector).items()])

    def _solvers(self, start: Tensor, graph: FieldGraph, state: State, tolerance: float) -> tuple[Solver, Solver]:
        """Return the solvers with I + P' hJ and with its transpose, P' the derivative of the projection."""
        forth, back = self._projections(start - self._scaled(graph.value.vector, state))

        def product(u: Tensor) -> Tensor:
            return u + forth(self._scaled(graph.product(u), state))

        def transposed(u: Tensor) -> Tensor:
            return u + graph.transposed(self._scaled(back(u), state))

        def solver(matrix: Solver) -> Solver:
            return lambda b: gmres(matrix, b, tolerance, self.krylov_steps)[0]

        return solver(product), solver(transposed)

    def _projections(self, point: Tensor) -> tuple[Solver, Solver]:
        """Return products with the derivative of the projection at a point (n,), and with its transpose."""
        if not self.game.constraints:
            return (lambda u: u), (lambda u: u)
        with torch.enable_grad():
            leaf, dummy = point.detach().requires_grad_(), torch.zeros_like(point).requires_grad_()
            nearest = torch.cat([self.game.project(leaf), leaf[:0]])  # joined to the leaf whatever the constraints
            (pulled,) = torch.autograd.grad(nearest, leaf, dummy, create_graph=True)

        def through(output: Tensor, source: Tensor) -> Solver:
            return lambda u: torch.autograd.grad(output, source, u, retain_graph=True, materialize_grads=True)[0]

        return through(pulled, dummy), through(nearest, leaf)
