r"""How fast a method closes in on the equilibrium of an analytic game: as its own linearisation predicts, and observed.

A step is a map of parameters and memory; near its fixed point the distance falls by the spectral radius $\rho$ of the
map's Jacobian, a step. The observed rate is the slope of the logarithm of that distance, memory included.
"""

import dataclasses
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

# Eight a decade: what a coarser grid loses on the best rate shows in the second digit.
GRID = tuple(float(f"{10 ** (k / 8):.4g}") for k in range(-16, 9))
FALLBACK_LR = 0.5

# Analytic games have the scale 1, for which weights that suit learning rates of 1e-4 are far too large or too small.
TOY_SETTINGS: dict[str, dict[str, Any]] = {"consensus": {"gamma": 1.0}, "jare": {"gamma": 1.0}, "lead": {"alpha": 0.3}}

MARGIN = 1e-9  # of 1, within which a rate is neither
NEAR, FAR = 1e-3, 1e-110  # distances; squares of smaller ones vanish, and cubes of larger ones show
DECADES = 100
FEWEST = 12  # steps from which a slope is taken; who needs fewer has reached the equilibrium


@dataclasses.dataclass(frozen=True)
class Rate:
    """What became of one method on one analytic game.

    Attributes:
        lr, tuned: the learning rate, and whether it is the best of the grid.
        predicted: spectral radius of the update at the equilibrium, over one period, a step; None where the step has
            no derivative there.
        observed: factor by which the distance fell a step; None where it reached 0 in too few steps.
        steps: how many were made. seconds: of one, their median.
        verdict: what is to be said of it in a few words.
        distances: (steps + 1,) norms of the whole state, memory included, relative to the first.
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
    verdict: str
    distances: list[float]

    @property
    def evaluations_per_digit(self) -> float | None:
        """Gradients and products for every digit of the distance; None where none is gained."""
        if self.observed is None or not self.verdict.startswith("converges"):
            return None
        return self.cost.evaluations / -math.log10(self.observed)


def build_at(method: str, game: str, lr: float, settings: Mapping[str, Any], distance: float) -> Any:
    """Return the optimizer on a game whose players stand this far from the equilibrium, and the game's batch."""
    built, batch = TOY_GAMES[game]()
    w = built.vector()
    built.load_vector(distance * w / w.norm())
    return trainers.make(method, built, lr=lr, **settings), batch


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
    """Return whether the steps near the equilibrium are those of the derivative; an adaptive step size is not."""
    game = optimizer.game
    state = optimizer.state  # at the equilibrium
    w = torch.linspace(1.0, 2.0, game.num_parameters, dtype=game.dtype)
    w = NEAR * w / w.norm()
    memory = torch.cat([game.vector() * 0, *(value.reshape(-1) for value in state.memory.values())])
    z = torch.zeros(operator.shape[0], dtype=game.dtype)
    z[: len(w)] = w
    expected = (memory + operator @ z)[: len(w)]
    with torch.no_grad():
        for _ in range(optimizer.period):
            w, state = optimizer.update(w, state, *optimizer.complete((batch,))[0])
    return bool((w - expected).norm() <= 0.05 * max(expected.norm(), NEAR))


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
    """Return what is predicted and what is observed of a method on an analytic game.

    Args:
        method, game: names in `OPTIMIZERS` and `TOY_GAMES`.
        lr: the learning rate; by default the best of `GRID`.
        steps: how many to make at most; fewer where the distance falls or grows by `DECADES` before.
    """
    OPTIMIZERS.require(method)
    settings, tuned = dict(TOY_SETTINGS.get(method, {})), lr is None
    if lr is None:
        lr, predicted = tuned_rate(method, game, settings)
    else:
        predicted = predicted_rate(method, game, lr, settings)
    grows = predicted is not None and predicted > 1 + MARGIN
    optimizer, batch = build_at(method, game, lr, settings, FAR if grows else NEAR)
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
        verdict=_verdict(predicted, whole, parameters, made),
        distances=[float(d / norms[0, 0]) for d in norms[:, 0]],
    )


def _cost(method: str, game: str, lr: float, settings: Mapping[str, Any]) -> Cost:
    """Return what the second step costs: the first has no solution to start an inner solve from."""
    optimizer, batch = build_at(method, game, lr, settings, NEAR)
    optimizer.step(batch)
    return measured(optimizer, batch)


def _steps(predicted: float | None, most: int, period: int) -> int:
    """Return after how many steps the distance will have changed by `DECADES`, `most` at most, in whole periods."""
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
        if not FAR * 1e-9 < norms[-1][0] < 1e3 * NEAR:
            break
    return np.array(norms), statistics.median(seconds)


def _norms(optimizer: GameOptimizer) -> tuple[float, float]:
    w = optimizer.game.vector()
    memory = [value.reshape(-1) for value in optimizer.state.memory.values()]
    return float(torch.cat([w, *memory]).norm()), float(w.norm())


def _slope(distances: np.ndarray) -> float | None:
    """Return the factor a step: the slope of log distance over the last two thirds, as leading pairs make it turn."""
    kept = distances[len(distances) // 3 :]
    kept = kept[np.isfinite(kept) & (kept > 0)]
    if len(distances) <= FEWEST or len(kept) < FEWEST // 2:
        return None
    return float(np.exp(np.polyfit(np.arange(len(kept)), np.log(kept), 1)[0]))


def _verdict(predicted: float | None, whole: float | None, parameters: float | None, steps: int) -> str:
    if whole is None:
        return f"reaches it in {steps} steps"
    if predicted is None:
        return "has no linear rate: its steps are not proportional to the distance"
    if abs(predicted - 1) <= MARGIN:
        return "neither converges nor diverges"
    if predicted > 1:
        return "diverges"
    memory_lasts = parameters is None or parameters < 0.98 * whole
    return "converges, its memory after the players" if memory_lasts else "converges"
