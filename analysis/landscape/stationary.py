r"""Search for a stationary point of a game: where the field vanishes, be it a saddle or a minimum."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from gantools.analysis.krylov.least_squares import krylov_least_squares
from gantools.analysis.landscape.sampler import FieldSampler
from gantools.analysis.operators.jacobian import DifferentiatedOperator, game_of, jacobian
from gantools.errors import GantoolsError, NonFiniteFieldError
from gantools.games.game import Game

# Frye et al. (arXiv:2003.10397) call a point gradient-flat from here on, for a method that came to rest there.
NEARLY_FLAT = 5e-4
FIRST_DAMPING = 1e-2
SUFFICIENT = 1e-3
FAR = 100.0


@dataclass(frozen=True)
class StationaryPoint:
    r"""The point where a search for $\xi(w) = 0$ ended.

    Attributes:
        vector: (n,) the parameters there, on the game's device.
        start_norm: $\|\xi\|$ at the start.
        norm: $\|\xi\|$ at the end.
        norms: $\|\xi\|$ at the start and after every step, falling.
        distance: $\|w - w_0\|$.
        tolerance: the norm that counts as stationary.
        flatness: $\|J^\top \xi\| / (\|J\| \|\xi\|)$ there, with the largest $\|J\|$ seen on the way: 0 where the norm
            of the field is itself stationary. None where the norm is 0, and of no meaning where it is rounding.
        steps: accepted steps.
        evaluations: evaluations of the field.
        products: products with J and its transpose.
        converged: whether the norm is within the tolerance.
        gradient_flat: whether the search ended at a stationary point of the norm that is none of the game.
        n: number of parameters.
        dtype: of the parameters.
        message: a sentence that says whether the search converged, or why not.
    """

    vector: Tensor
    start_norm: float
    norm: float
    norms: tuple[float, ...]
    distance: float
    tolerance: float
    flatness: float | None
    steps: int
    evaluations: int
    products: int
    converged: bool
    gradient_flat: bool
    n: int
    dtype: torch.dtype
    message: str

    def __str__(self) -> str:
        steps = f"{self.steps} step{'' if self.steps == 1 else 's'}"
        return (
            f"The norm of the field goes from {self.start_norm:.3g} to {self.norm:.3g} over a distance of "
            f"{self.distance:.3g} ({steps}, {self.products} products). {self.message}"
        )


def stationary_point(
    subject: Game | nn.Module,
    loss: Any = None,
    batch: Any = ...,
    *,
    tol: float | None = None,
    max_steps: int = 100,
    basis: int = 100,
    apply: bool = False,
    method: str = "reverse",
    check: bool = True,
) -> StationaryPoint:
    r"""Find a stationary point near the present one: `stationary_point(model, loss, batch)`, or `(game, batch)`.

    Levenberg-Marquardt on $\tfrac12 \|\xi(w)\|^2$: each step solves
    $\min_\delta \|J\delta + \xi\|^2 + \lambda \|\delta\|^2$ from products, and is taken only if the norm falls. Since
    the norm of the field is minimised, not a loss, saddles are found as well as minima; for a symmetric J and
    $\lambda \to 0$ it is Newton-MR (arXiv:1810.00303). $\lambda = \mu \|\xi\|$ with $\mu$ from the ratio of actual to
    predicted decrease, which converges quadratically even where J is singular, as that of every network is (Fan and
    Yuan 2005). Steps have no part in the null space of J and the damping keeps them short, so the point is near; that
    it is the nearest of all is certain only where the field is affine. On networks far from a stationary point the way
    leads along narrow valleys of the norm and takes hundreds of steps.

    The norm has local minima that are no stationary points, where $J^\top \xi = 0$ although $\xi \neq 0$: gradient-flat
    regions, in which such searches on networks often end (Frye et al., arXiv:2003.10397). They are reported as that.

    Args:
        subject: a game, or any module, with `loss(model, batch)` a scalar. Its parameters stay where they are. The
            constraints of a game are not observed.
        loss: for a module, `loss(model, batch)`; for a game, the batch takes its place.
        batch: one batch, or several: their mean, weighted by size.
        tol: the norm of the field that counts as stationary, absolute. By default eps^(3/4) times the norms of J and of
            the parameters, somewhat above what their rounding makes of a zero.
        max_steps: at most so many are taken.
        basis: Krylov vectors for each of them, the memory it takes; a step costs at most as many products if J is
            symmetric, else twice as many.
        apply: leave the game at the point that was found, converged or not.
        method: of `jacobian`; by reverse mode results repeat to the last bit.
        check: of `jacobian`.

    Raises:
        GantoolsError: as `jacobian`; and for an invalid tol, max_steps or basis.

    >>> found = gt.analysis.stationary_point(game, batch)
    >>> found.converged, float(found.vector.abs().max()) < 1e-9
    (True, True)
    """
    game, batch = game_of(subject, loss, batch, "stationary_point")
    if tol is not None and not tol >= 0:
        raise GantoolsError(f"tol = {tol} is no norm: give the absolute size of the field that counts as stationary.")
    if max_steps < 0 or basis < 1:
        raise GantoolsError(f"max_steps = {max_steps} and basis = {basis} allow no step: give positive numbers.")
    search = _Search(game, batch, tol, max_steps, basis, method, check)
    found = search.run()
    if apply:
        game.load_vector(found.vector)
    return found


class _Search:
    """The Levenberg-Marquardt iteration of `stationary_point`, and its state."""

    def __init__(self, game: Game, batch: Any, tol: float | None, max_steps: int, basis: int, method: str, check: bool):
        self.game, self.batch, self.tol = game, batch, tol
        self.max_steps, self.basis, self.method, self.check = max_steps, basis, method, check
        self.sampler, self.buffers = FieldSampler(game, batch), game.buffers()
        self.start = self.w = game.vector()
        self.epsilon = float(torch.finfo(self.w.dtype).eps)
        self.scale = 0.0
        self.evaluations = self.products = 0
        self.field = self._field_at(self.w)
        self.norms = [_norm(self.field)]
        self.mu, self.growth = 0.0, 2.0

    @property
    def norm(self) -> float:
        return self.norms[-1]

    @property
    def rounding(self) -> float:
        """Somewhat more than the norm that rounded parameters give a field that is zero."""
        return self.epsilon**0.75 * self.scale * (_norm(self.start) + _norm(self.w - self.start))

    @property
    def tolerance(self) -> float:
        return self.rounding if self.tol is None else self.tol

    def run(self) -> StationaryPoint:
        if not math.isfinite(self.norm):
            raise NonFiniteFieldError("The field is NaN or infinite at these parameters: no search can begin there.")
        flatness, stuck = None, False
        while self.norm > 0:
            model = krylov_least_squares(self._jacobian(), self.field, self.basis)
            self.scale = max(self.scale, model.scale)
            flatness = model.slope / (self.scale * self.norm) if self.scale else 0.0
            done = self.norm <= self.tolerance or model.slope == 0 or len(self.norms) > self.max_steps
            stuck = not done and not self._step(model)
            self.products += model.products
            self.scale = max(self.scale, model.scale)
            if done or stuck:
                break
        return self._result(flatness, stuck)

    def _step(self, model: Any) -> bool:
        r"""Take one step, with as much damping as it needs; return False where none makes the norm fall.

        $\mu$ follows the ratio of actual to predicted decrease, smoothly (Nielsen 1999): near the end of a narrow
        valley a coarser rule fails at every other step. A larger $\lambda$ costs one evaluation and no product.
        """
        if not self.mu:
            self.mu = FIRST_DAMPING * model.scale**2 / self.norm
        # Looser far away; tight enough near the end for faster than linear convergence (Eisenstat and Walker 1996).
        tolerance = max(min(0.1, self.norm / self.norms[0]), 10 * self.epsilon)
        while True:
            step, predicted = model.solve(max(self.mu * self.norm, 1e-300), tolerance)
            if _norm(step) <= self.epsilon * _norm(self.w) or not self.norm - predicted > self.epsilon * self.norm:
                return False
            field = self._field_at(self.w + step)
            norm = _norm(field)
            ratio = (self.norm**2 - norm**2) / (self.norm**2 - predicted**2) if math.isfinite(norm) else -1.0
            if ratio > SUFFICIENT and norm < self.norm:
                self.mu, self.growth = self.mu * max(0.1, 1 - (2 * ratio - 1) ** 3), 2.0
                self.w, self.field = self.w + step, field
                self.norms.append(norm)
                return True
            self.mu, self.growth = self.mu * self.growth, self.growth * 2

    def _field_at(self, w: Tensor) -> Tensor:
        self.evaluations += 1
        return self.sampler(w, self.buffers)[0]

    def _jacobian(self) -> DifferentiatedOperator:
        self.evaluations += 1
        with _moved(self.game, self.w):
            J = jacobian(self.game, self.batch, method=self.method, check=self.check)
        self.check = False  # the checks hold for the game at every point
        return J

    def _result(self, flatness: float | None, stuck: bool) -> StationaryPoint:
        converged = self.norm <= self.tolerance
        # The norm is known to eps, so where it has a minimum the flatness is told from zero to sqrt(eps) at best.
        flat = flatness == 0 or (stuck and flatness is not None and flatness <= NEARLY_FLAT)
        result = StationaryPoint(
            vector=self.w,
            start_norm=self.norms[0],
            norm=self.norm,
            norms=tuple(self.norms),
            distance=_norm(self.w - self.start),
            tolerance=self.tolerance,
            flatness=flatness,
            steps=len(self.norms) - 1,
            evaluations=self.evaluations,
            products=self.products,
            converged=converged,
            gradient_flat=flat and not converged and self.norm > self.rounding,
            n=self.game.num_parameters,
            dtype=self.w.dtype,
            message="",
        )
        return replace(result, message=_message(result, self.max_steps, _norm(self.start)))


def _message(found: StationaryPoint, max_steps: int, start: float) -> str:
    if found.converged:
        beside = "" if found.steps else " This point was stationary already."
        if found.distance > FAR * start > 0:
            beside = " That is far from where it began: the field may only fade out there, without a zero."
        return f"Converged: at most {found.tolerance:.1e} counts as stationary.{beside}"
    if found.gradient_flat:
        return (
            f"Not a stationary point but a gradient-flat one: J^T times the field is zero (to {found.flatness:.1e} of "
            "their norms) although the field is not, so its norm is stationary by itself here (arXiv:2003.10397): "
            "start from elsewhere."
        )
    assert found.flatness is not None
    near = ""
    if found.flatness <= NEARLY_FLAT:
        near = f" It is nearly gradient-flat here ({found.flatness:.1e}): the way may lead to no stationary point."
    if found.steps >= max_steps:
        return f"Not converged within max_steps = {max_steps} (to {found.tolerance:.1e}): allow more.{near}"
    return (
        f"Not converged to {found.tolerance:.1e}: no further step makes the norm fall, by rounding or a kink of the "
        f"field; use float64, or a larger tol.{near}"
    )


@contextmanager
def _moved(game: Game, w: Tensor) -> Iterator[None]:
    """Move the game to `w` within this block."""
    here = game.vector()
    game.load_vector(w)
    try:
        yield
    finally:
        game.load_vector(here)


def _norm(u: Tensor) -> float:
    return float(torch.linalg.vector_norm(u.double()))
