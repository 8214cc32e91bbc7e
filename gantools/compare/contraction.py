r"""Convergence rates of a method on an analytic game: predicted by the Jacobian of its update, and observed.

A step is a map of parameters and optimizer state; near its fixed point it multiplies the distance by the spectral
radius $\rho$ of its Jacobian. The observed rate is the slope of the logarithm of that distance over the steps,
optimizer state included.
"""

import dataclasses
import enum
import math
import statistics
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from gantools import analysis, trainers
from gantools.compare.cost import Cost, measured
from gantools.errors import GantoolsError
from gantools.games.analytic import TOY_GAMES
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer

# Eight rates a decade: with fewer, the best rate changes in the second digit.
GRID = tuple(float(f"{10 ** (k / 8):.4g}") for k in range(-16, 9))
FALLBACK_LR = 0.5

# Analytic games have the scale 1, for which weights that suit learning rates of 1e-4 are far too large or too small.
TOY_SETTINGS: dict[str, dict[str, Any]] = {"consensus": {"gamma": 1.0}, "jare": {"gamma": 1.0}, "lead": {"alpha": 0.3}}

SETTLED = 120  # steps in which a method that adapts its settings has chosen them
MARGIN = 1e-9  # Rates within 1e-9 of 1 count as neutral.
# Distances between which a step is linear in double precision: cubes of larger ones show, smaller ones square to 0.
LARGEST, SMALLEST = 1e-3, 1e-110
DECADES = 100
FEWEST = (
    12  # The least number of steps that a slope is fitted to; a method that makes fewer has reached the equilibrium.
)


class Behaviour(enum.Enum):
    """The behaviour of a method near the equilibrium; the values are the words in which it is printed."""

    REACHED = "reaches it in {steps} steps"
    NOT_LINEAR = "has no linear rate: its steps are not proportional to the distance"
    NEUTRAL = "neither converges nor diverges"
    DIVERGES = "diverges"
    STATE_LAST = "converges; optimizer state decays more slowly than the parameters"
    CONVERGES = "converges"

    @property
    def converges(self) -> bool:
        """Whether the distance falls at a rate."""
        return self in (Behaviour.CONVERGES, Behaviour.STATE_LAST)


@dataclasses.dataclass(frozen=True)
class Rate:
    """The convergence rates of one method on one analytic game.

    Attributes:
        method: the optimizer's name.
        game: the game's name.
        settings: of the optimizer, beside the learning rate.
        lr: the learning rate.
        tuned: whether it is the best of the grid.
        predicted: spectral radius of the update at the equilibrium, for one step of its period; None where the step has
            no derivative there.
        observed: factor by which each step multiplied the distance; None where it reached 0 in too few steps.
        cost: of a step.
        steps: number of steps made.
        seconds: median duration of a step.
        behaviour: whether it converges.
        distances: (steps + 1,) norms of parameters and optimizer state, relative to the first.
    """

    method: str
    game: str
    settings: dict[str, Any]
    lr: float
    tuned: bool
    predicted: float | None
    observed: float | None
    cost: Cost
    steps: int
    seconds: float
    behaviour: Behaviour
    distances: list[float]

    @property
    def verdict(self) -> str:
        """The behaviour in a few words."""
        return self.behaviour.value.format(steps=self.steps)

    @property
    def evaluations_per_digit(self) -> float | None:
        """Gradients and products for every digit of the distance; None where none is gained."""
        if self.observed is None or not self.behaviour.converges:
            return None
        return self.cost.evaluations / -math.log10(self.observed)


def build_at(method: str, game: str, lr: float, settings: Mapping[str, Any], distance: float) -> Any:
    """Return the optimizer on a game that starts at this distance from the equilibrium, and the game's batch."""
    built, batch = TOY_GAMES[game]()
    w = built.vector()
    optimizer = trainers.make(method, built, lr=lr, **settings)
    if optimizer.adapts:
        built.load_vector(0 * w)  # where steps move nothing but its settings
        for _ in range(SETTLED):
            optimizer.step(batch)
    built.load_vector(distance * w / w.norm())
    return optimizer, batch


def predicted_rate(method: str, game: str, lr: float, settings: Mapping[str, Any]) -> float | None:
    """Return the spectral radius of the update at the equilibrium, a step; None where it has no derivative there."""
    optimizer, batch = build_at(method, game, lr, settings, 0.0)
    try:
        operator = analysis.update_operator(optimizer, batch)
        found = analysis.stability(analysis.spectrum(operator))
    except GantoolsError:
        return None
    rate = 1.0 if found.rate is None else found.rate
    return rate ** (1 / optimizer.period) if _follows(optimizer, batch, operator) else None


def _follows(optimizer: GameOptimizer, batch: Any, operator: analysis.LinearOperator) -> bool:
    """Return whether a step near the equilibrium is that of its linearisation; with an adaptive step size it is not."""
    game = optimizer.game
    state = optimizer.state  # at the equilibrium
    w = torch.linspace(1.0, 2.0, game.num_parameters, dtype=game.dtype)
    w = LARGEST * w / w.norm()
    memory = torch.cat([game.vector() * 0, *(value.reshape(-1) for value in state.memory.values())])
    z = torch.zeros(operator.shape[0], dtype=game.dtype)
    z[: len(w)] = w
    expected = (memory + operator @ z)[: len(w)]
    with torch.no_grad():
        for _ in range(optimizer.period):
            w, state = optimizer.update(w, state, *optimizer.complete((batch,))[0])
    return bool((w - expected).norm() <= 0.05 * max(expected.norm(), LARGEST))


def tuned_rate(method: str, game: str, settings: Mapping[str, Any]) -> tuple[float, float | None]:
    """Return the learning rate of the grid with the smallest predicted rate, and that rate.

    Where none converges they are those of `FALLBACK_LR`.
    """
    rates = {lr: predicted_rate(method, game, lr, settings) for lr in GRID}
    known = {lr: rate for lr, rate in rates.items() if rate is not None}
    best = min(known, key=lambda lr: known[lr], default=None)
    if best is None or known[best] >= 1 - MARGIN:
        return FALLBACK_LR, predicted_rate(method, game, FALLBACK_LR, settings)
    return best, known[best]


def rate_of(method: str, game: str, lr: float | None = None, steps: int = 1000) -> Rate:
    """Return the predicted and the observed convergence rate of a method on an analytic game.

    Args:
        method: a name in `OPTIMIZERS`.
        game: a name in `TOY_GAMES`.
        lr: the learning rate; by default the best of `GRID`.
        steps: the largest number of steps; fewer are made where the distance changes by `DECADES` before.
    """
    OPTIMIZERS.require(method)
    settings, tuned = dict(TOY_SETTINGS.get(method, {})), lr is None
    if lr is None:
        lr, predicted = tuned_rate(method, game, settings)
    else:
        predicted = predicted_rate(method, game, lr, settings)
    grows = predicted is not None and predicted > 1 + MARGIN
    optimizer, batch = build_at(method, game, lr, settings, SMALLEST if grows else LARGEST)
    norms, seconds = _follow(optimizer, batch, _steps(predicted, steps, optimizer.period))
    whole, parameters = (_slope(column) for column in norms.T)
    made = len(norms) - 1
    return Rate(
        method=method,
        game=game,
        settings=settings,
        lr=lr,
        tuned=tuned,
        predicted=predicted,
        observed=whole,
        cost=_cost(method, game, lr, settings),
        steps=made,
        seconds=seconds,
        behaviour=_behaviour(predicted, whole, parameters),
        distances=[float(d / norms[0, 0]) for d in norms[:, 0]],
    )


def _cost(method: str, game: str, lr: float, settings: Mapping[str, Any]) -> Cost:
    """Return the cost of the second step: in the first, an inner solve has no earlier solution to start from."""
    optimizer, batch = build_at(method, game, lr, settings, LARGEST)
    optimizer.step(batch)
    return measured(optimizer, batch)


def _steps(predicted: float | None, most: int, period: int) -> int:
    """Return the number of steps, `most` at most, in which the distance changes by `DECADES`, in whole periods."""
    digits = 0.0 if predicted is None else abs(math.log10(max(predicted, 1e-300)))
    wanted = most if digits * most < DECADES else max(FEWEST, math.ceil(DECADES / digits))
    return math.ceil(wanted / period) * period


def _follow(optimizer: GameOptimizer, batch: Any, steps: int) -> tuple[np.ndarray, float]:
    """Return the norms of the state and of the parameters (steps + 1, 2), and the median seconds of a step."""
    norms, seconds = [_norms(optimizer)], []
    for _ in range(steps):
        began = time.perf_counter()
        optimizer.step(batch)
        seconds.append(time.perf_counter() - began)
        norms.append(_norms(optimizer))
        if not SMALLEST * 1e-9 < norms[-1][0] < 1e3 * LARGEST:
            break
    return np.array(norms), statistics.median(seconds)


def _norms(optimizer: GameOptimizer) -> tuple[float, float]:
    w = optimizer.game.vector()
    memory = [value.reshape(-1) for value in optimizer.state.memory.values()]
    return float(torch.cat([w, *memory]).norm()), float(w.norm())


def _slope(distances: np.ndarray) -> float | None:
    """Return the factor of a step, from the slope of the logarithm of the distance over the last two thirds of them.

    A line is fitted because complex leading eigenvalues make the distance oscillate; None for too few steps.
    """
    kept = distances[len(distances) // 3 :]
    kept = kept[np.isfinite(kept) & (kept > 0)]
    if len(distances) <= FEWEST or len(kept) < FEWEST // 2:
        return None
    return float(np.exp(np.polyfit(np.arange(len(kept)), np.log(kept), 1)[0]))


def _behaviour(predicted: float | None, whole: float | None, parameters: float | None) -> Behaviour:
    """Judge by the predicted rate, and by the observed ones of the whole state and of the parameters alone."""
    if whole is None:
        return Behaviour.REACHED
    if predicted is None:
        return Behaviour.NOT_LINEAR
    if abs(predicted - 1) <= MARGIN:
        return Behaviour.NEUTRAL
    if predicted > 1:
        return Behaviour.DIVERGES
    state_lasts = parameters is None or parameters < 0.98 * whole
    return Behaviour.STATE_LAST if state_lasts else Behaviour.CONVERGES
