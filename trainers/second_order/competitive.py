r"""Competitive gradient descent, with given and with adaptive rates (CGD and ACGD)."""

import dataclasses
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from gantools.errors import GantoolsError
from gantools.games import functional
from gantools.random_vectors import normal_entries
from gantools.registry import setting
from gantools.trainers.base_rules import clipped, safe_sqrt
from gantools.trainers.field_graph import FieldGraph
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer, State
from gantools.trainers.scales import Unit
from gantools.trainers.second_order.linear_solvers import Product, Solver, conjugate_gradients, gmres, solution

LinearSolver = Literal["auto", "cg", "gmres"]
SOLUTION = "solution"
SECOND_MOMENT = "square_avg"


@OPTIMIZERS.register("competitive")
@dataclasses.dataclass(eq=False)
class Competitive(GameOptimizer):
    r"""Competitive gradient descent: step to the Nash equilibrium of the losses' bilinear models (arXiv:1905.12103).

    $$w' = w - (I + HA)^{-1} H\,\xi(w)$$

    where $A$ is $J$ without each player's own block and $H$ the diagonal of learning rates. On a bilinear game it is
    `proximal`, with the eigenvalues $1/(1 \pm ihs)$; on $\tfrac\mu2 x^2 + sxy - \tfrac\mu2 y^2$ they are
    $(1 - h\mu)/(1 \pm ihs)$. With more than two players it is the method of arXiv:2111.08565; with one, gradient
    descent.

    With $S = H^{1/2}$ the system is $(I + SAS)\,z = -S\xi$, and the step $Sz$. In a zero-sum game of two players $SAS$
    is antisymmetric, and what remains of the system for the smaller player is symmetric positive definite: conjugate
    gradients solve it, and the other player's part follows from it. (The authors' code alternates the player that is
    solved for.) Elsewhere GMRES solves all of it, without restarts. "auto" decides at every step, by one probe
    $u^{\mathsf T}(A + A^{\mathsf T})u = 0$ with a fixed $u$; terms in one player's own loss alone, such as R1, do not
    matter.

    The solver starts from the last $z$, with the residual $b - Mz$ (several public copies take $b$), and stops at
    `tolerance` or after `krylov_steps`; the residual relative to $\lVert S\xi\rVert$ is `info.inner_residual`. The step
    is differentiated by the implicit function theorem, not through the solver: the derivative by the solver's start is
    0, and the update operator has an eigenvalue 0 for each of its entries.
    """

    solver: LinearSolver = setting("auto", "'cg' for zero-sum games of two, 'gmres' for any, 'auto' by a probe")
    tolerance: float = setting(1e-6, "bound on the residual, relative to the right-hand side")
    krylov_steps: int = setting(50, "largest number of solver steps, of two products each (GMRES: one for each player)")

    second_order = True
    cost = "1 gradient + about 6 products + 2 products a solver step"
    paper = "Schäfer and Anandkumar 2019, arXiv:1905.12103"
    couples = "its Krylov solver has one residual and one number of steps for all of them"
    memory_units: ClassVar[dict[str, Unit]] = {SOLUTION: "balanced"}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.solver not in get_args(LinearSolver):
            raise GantoolsError(f"Unknown solver {self.solver!r}: pass one of {', '.join(get_args(LinearSolver))}.")
        if not self.tolerance > 0 or self.krylov_steps < 1:
            raise GantoolsError("The solver needs a positive tolerance and at least one Krylov step.")
        if self.solver == "cg" and len(self.game.slices) != 2:
            raise GantoolsError(f"solver='cg' is for two players, not {len(self.game.slices)}: pass 'gmres' or 'auto'.")

    def init(self, w: Tensor) -> State:
        return self.remember(super().init(w), SOLUTION, torch.zeros_like(w))

    def _update(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        graph = FieldGraph(self.game, w.detach(), state.buffers, batches[0])
        value = graph.value
        still = self.roots(value.vector, state)[0].detach()
        b = -still * value.vector
        z, residual = self._solve(graph, still, b, self.recall(state, SOLUTION).detach())
        info = dataclasses.replace(self.observe(value), inner_residual=residual)
        if w.requires_grad:
            moving = FieldGraph(self.game, w, state.buffers, batches[0])
            roots, state = self.roots(moving.value.vector, state)
            left = -roots * moving.value.vector - z - roots * moving.off_diagonal(moving.product, roots * z)
            # Zero in value; in derivative that of the solution.
            z = z + solution(left - left.detach(), *self._solvers(graph, still))
        else:
            roots, state = self.roots(value.vector, state)
        state = self.remember(state, SOLUTION, z)
        direction = -z / torch.where(roots > 0, roots, 1.0)
        if self.clip_norm is not None:
            direction = torch.cat([clipped(part, self.clip_norm) for part in self.by_player(direction).values()])
        counters = {player: count + 1 for player, count in state.counters.items()}
        state = dataclasses.replace(state, counters=counters, buffers=value.buffers, info=info)
        return w - roots.square() * direction, state

    def roots(self, field: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the square root of each parameter's rate (n,), and the state with the memory of adaptive rates."""
        rates, parts = self.rates_at(state), self.by_player(field)
        return torch.cat([torch.full_like(part, rates[player] ** 0.5) for player, part in parts.items()]), state

    def _examine(self, batch: Any) -> None:
        if self.solver == "cg":
            with functional.twice_differentiable(self.game.module):
                graph = FieldGraph(self.game, self.game.vector(), self.game.live_buffers(), batch)
                if graph.value.vector.isfinite().all() and not self._zero_sum(graph):
                    raise GantoolsError(
                        "solver='cg' is for zero-sum games, and this one is not (its second derivatives across the "
                        "players are not antisymmetric): pass solver='gmres' or 'auto', or a zero-sum loss."
                    )
        super()._examine(batch)

    def _solve(self, graph: FieldGraph, roots: Tensor, b: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        if self.solver == "cg" or (self.solver == "auto" and len(self.game.slices) == 2 and self._zero_sum(graph)):
            return self._solve_reduced(graph, roots, b, start)
        return gmres(self._matrix(graph.product, graph, roots), b, self.tolerance, self.krylov_steps, start)

    def _solve_reduced(self, graph: FieldGraph, roots: Tensor, b: Tensor, start: Tensor) -> tuple[Tensor, Tensor]:
        """Solve for the smaller player; the products with J across the players are minus those with its transpose."""
        small, large = sorted(self.game.slices.values(), key=lambda part: part.stop - part.start)

        def across(to: slice, of: slice, u: Tensor) -> Tensor:
            padded = torch.zeros_like(b)
            padded[of] = roots[of] * u
            return -roots[to] * graph.transposed(padded)[to]

        def product(u: Tensor) -> Tensor:
            return u - across(small, large, across(large, small, u))

        right = b[small] - across(small, large, b[large])
        own, residual = conjugate_gradients(product, right, self.tolerance, self.krylov_steps, start[small])
        z = torch.empty_like(b)
        z[small], z[large] = own, b[large] - across(large, small, own)
        return z, residual * right.norm() / b.norm().clamp_min(torch.finfo(b.dtype).tiny)

    def _zero_sum(self, graph: FieldGraph) -> bool:
        """Return whether a probe finds the second derivatives across two players antisymmetric."""
        field = graph.value.vector
        first, second = self.game.slices.values()
        probe = normal_entries(0, 0, len(field), field.dtype, field.device)
        u, v = probe.clone(), probe.clone()
        u[second], v[first] = 0, 0
        forth, back = graph.transposed(u)[second], graph.transposed(v)[first]
        total = probe[second].dot(forth) + probe[first].dot(back)
        # The rounding of each term has the size of that of its vector.
        return bool(total.abs() <= torch.finfo(field.dtype).eps ** 0.5 * (forth.norm() + back.norm()))

    def _matrix(self, product: Product, graph: FieldGraph, roots: Tensor) -> Product:
        """Return products with I + SAS, or its transpose, from those with J, or its transpose."""
        return lambda u: u + roots * graph.off_diagonal(product, roots * u)

    def _solvers(self, graph: FieldGraph, roots: Tensor) -> tuple[Solver, Solver]:
        """Return the solvers with I + SAS and with its transpose."""

        def solver(matrix: Product) -> Solver:
            return lambda right: gmres(matrix, right, self.tolerance, self.krylov_steps)[0]

        return (
            solver(self._matrix(graph.product, graph, roots)),
            solver(self._matrix(graph.transposed, graph, roots)),
        )


@OPTIMIZERS.register("adaptive_competitive")
@dataclasses.dataclass(eq=False)
class AdaptiveCompetitive(Competitive):
    r"""ACGD: competitive gradient descent whose rates adapt, one for each parameter (arXiv:1910.05852).

    $$v' = \beta v + (1-\beta)\,\xi^2, \qquad
        H = \operatorname{diag} \frac{h\sqrt{1-\beta^t}}{\sqrt{v'} + \epsilon}, \qquad
        w' = w - (I + HA)^{-1} H\,\xi(w)$$

    See `competitive` for $A$ and for the solution of the system. As in the authors' code, $\epsilon$ is added to the
    root of the uncorrected second moment, so that in the first steps it weighs more than Adam's. Their code for
    general-sum games has $\epsilon = 10^{-6}$ and starts each solution from 0.
    """

    beta: float = setting(0.99, "decay of the second moment")
    eps: float = setting(1e-5, "added outside the square root")

    paper = "Schäfer et al. 2020, arXiv:1910.05852"
    memory_units: ClassVar[dict[str, Unit]] = {SOLUTION: "balanced", SECOND_MOMENT: "square"}

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.beta < 1:
            raise GantoolsError(f"beta = {self.beta} is outside [0, 1): pass a decay rate in that range.")
        if not self.eps > 0:
            raise GantoolsError(f"eps = {self.eps} does not bound the rates: pass a positive number.")

    def init(self, w: Tensor) -> State:
        return self.remember(super().init(w), SECOND_MOMENT, torch.zeros_like(w))

    def denominator(self, w: Tensor, state: State) -> Tensor:
        parts = self.by_player(safe_sqrt(self.recall(state, SECOND_MOMENT)) + self.eps)
        counts = {player: max(state.counters[player], 1) for player in parts}
        return torch.cat([part / (1 - self.beta ** counts[player]) ** 0.5 for player, part in parts.items()])

    def roots(self, field: Tensor, state: State) -> tuple[Tensor, State]:
        moment = self.beta * self.recall(state, SECOND_MOMENT) + (1 - self.beta) * field.square()
        rates, parts = self.rates_at(state), self.by_player(safe_sqrt(moment) + self.eps)
        corrected = {player: rates[player] * (1 - self.beta ** (state.counters[player] + 1)) ** 0.5 for player in parts}
        roots = torch.cat([corrected[player] ** 0.5 * part.rsqrt() for player, part in parts.items()])
        return roots, self.remember(state, SECOND_MOMENT, moment)
