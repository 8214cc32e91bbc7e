"""Real steps of an optimizer on a copy of the players, with what is seen on the way."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable
from itertools import cycle
from typing import Any

import numpy as np
import torch
from torch import Tensor

from gantools.analysis.diagnosis.observation import Observation, observe
from gantools.games import functional
from gantools.trainers.optimizer import GameOptimizer, State

LOOKS = 48  # points of a walk at which the samples are looked at, four times as many in a game of few parameters
TINY = 100  # parameters, below which these are few
EXPLODED = 1e4  # growth of the field that no training needs
RUNAWAY = 30.0  # growth of the field, or of the distance to the data, after which nothing tells what caused it
FAR = 0.1  # energy distance over the mean distance of two real samples that is still far from the data
STAYED = 1.25  # growth of a small distance that is no departure


@dataclasses.dataclass(frozen=True)
class Walk:
    """What happened in some steps of an optimizer.

    Attributes:
        looks: what was seen, at evenly spaced steps, the first and the last included; all on the first batch.
        at: the steps of the looks.
        norms: by player, (steps,) norms of the field.
        losses: by player, (steps,).
        turns: (steps,) cosines between each step and the one before.
        failed: the step that led to what is not finite, None if none did.
        w: (n,) the last finite point.
        state: the state there.
        moved: (n,) bool, which parameters changed at all.
        straight: the distance from the start to the last point over the length of the way.
    """

    looks: list[Observation]
    at: list[int]
    norms: dict[str, np.ndarray]
    losses: dict[str, np.ndarray]
    turns: np.ndarray
    failed: int | None
    w: Tensor
    state: State
    moved: Tensor
    straight: float = 0.0

    @property
    def steps(self) -> int:
        """The number of finite steps."""
        return len(self.turns)

    @property
    def field(self) -> np.ndarray:
        """(steps,) norms of the whole field."""
        with np.errstate(over="ignore"):
            return np.sqrt(sum(norms**2 for norms in self.norms.values()))

    @property
    def distances(self) -> np.ndarray | None:
        """Energy distances of real and fake samples at the looks; None where the game has no samples."""
        found = [look.distance for look in self.looks]
        return None if None in found else np.array(found, dtype=float)

    @property
    def by_samples(self) -> bool:
        """Whether progress is that of the samples; of an analytic game, which may circle, it is that of the field."""
        return self.distances is not None and len(self.w) >= TINY

    @property
    def exploded(self) -> bool:
        """Whether it left the finite numbers, or the field or the samples' distance grew without measure."""
        if self.failed is not None or self.steps < 4:
            return self.failed is not None
        if self.by_samples and np.median(self.away[3 * len(self.looks) // 4 :]):
            return True
        early = np.median(self.field[: max(4, self.steps // 10)])
        return bool(np.max(self.field[-max(1, self.steps // 10) :]) > EXPLODED * early)

    @property
    def away(self) -> list[bool]:
        """Whether, at each look, the samples are far outside the data, and were not so at the start."""
        first, found = self.looks[0], [look.distance for look in self.looks]
        if first.distance is None or not first.spread:
            return [False] * len(found)
        limit = RUNAWAY * max(first.spread, first.distance)
        return [distance is None or not distance <= limit for distance in found]

    @property
    def sound(self) -> list[Observation]:
        """The looks before the field or the samples ran away."""
        field, away = self.field, self.away
        high = np.flatnonzero(field > RUNAWAY * np.median(field[:8])) if self.steps else []
        end = int(high[0]) if self.exploded and len(high) else self.steps
        found = [look for look, step in zip(self.looks, self.at, strict=True) if step <= end and look.finite]
        return found[: away.index(True) if True in away else None]

    @property
    def arrived(self) -> bool:
        """Whether the samples of the last quarter lie about the data: they came there, or were there and stayed."""
        spread = self.looks[0].spread
        if not self.by_samples or self.distances is None or not spread:
            return False
        first, late = self.distances[0], np.median(self.distances[3 * len(self.distances) // 4 :])
        return bool(late < FAR * min(spread, first) or first < FAR * spread and late <= STAYED * first)

    @property
    def plateau(self) -> bool:
        """Whether the samples stand still, in the last quarter, far from the data."""
        spread = self.looks[0].spread
        if not self.by_samples or self.distances is None or not spread:
            return False
        late = np.median(self.distances[3 * len(self.distances) // 4 :])
        return bool(late > FAR * spread and self.late > 0.75 * self.middle)

    @property
    def early(self) -> float:
        """How far from its goal the walk is in its first third: distance of samples, else norm of the field."""
        return self._level(slice(0, 1 / 3))

    @property
    def middle(self) -> float:
        """The same from its first third to its last quarter."""
        return self._level(slice(1 / 3, 3 / 4))

    @property
    def late(self) -> float:
        """The same in its last quarter; infinite where it exploded."""
        return float("inf") if self.exploded else self._level(slice(3 / 4, 1))

    @property
    def no_nearer(self) -> bool:
        """Whether the samples of the last quarter are mostly no nearer to the data than those of the start were."""
        if not self.by_samples or self.distances is None:
            return False
        late = self.distances[3 * len(self.distances) // 4 :]
        return bool(np.median(late) > 0.9 * self.distances[0])

    @property
    def typical(self) -> float:
        """As `late`, but of samples the median, in which a moment's excursion is not seen."""
        return self._level(slice(3 / 4, 1), 0.5) if self.by_samples and not self.exploded else self.late

    def _level(self, part: slice, quantile: float = 0.9) -> float:
        series = self.distances if self.by_samples else self.field
        assert series is not None
        n = len(series)
        chosen = series[int(part.start * n) : max(int(part.stop * n), int(part.start * n) + 1)]
        return float(np.quantile(chosen, quantile)) if len(chosen) else float("inf")


def stopwatch() -> Callable[[], float]:
    """Return a function that gives the seconds since now, of this thread's processor.

    What a diagnosis finds then depends less on what else the machine does; an eighth of the time on the wall is counted
    at least.
    """
    wall, own = time.perf_counter(), time.thread_time()
    return lambda: max(time.thread_time() - own, (time.perf_counter() - wall) / 8)


def walk(
    optimizer: GameOptimizer,
    w: Tensor,
    state: State,
    batches: list[Any],
    steps: int,
    seconds: float = float("inf"),
    tell: Callable[[int, int], None] = lambda *_: None,
) -> Walk:
    """Return what happens in at most `steps` steps from (w, state), or in as many as fit in the seconds.

    Nothing of the optimizer or its game is changed: an update is a pure map. `tell` is called with the steps made and
    those planned.
    """
    game, taken = optimizer.game, stopwatch()
    source, wanted = cycle(batches), optimizer.batches_per_step
    start, before, failed, turns, length = w, None, None, [], 0.0
    norms: dict[str, list[float]] = {player: [] for player in game.slices}
    losses: dict[str, list[float]] = {player: [] for player in game.slices}
    looks, at = [observe(game, w, state.buffers, batches[0])], [0]
    moved, every = torch.zeros_like(w, dtype=torch.bool), max(1, steps // (4 * LOOKS if len(w) < TINY else LOOKS))
    with torch.no_grad(), functional.modes_restored(game.module, game.modes()):
        for step in range(1, steps + 1):
            after, new = optimizer.update(w, state, *(next(source) for _ in range(wanted)))
            if not after.isfinite().all():
                failed = step
                break
            if new.info is not None:
                for player in game.slices:
                    norms[player].append(float(new.info.field_norms[player]))
                    losses[player].append(float(new.info.losses[player]))
            tell(step, steps)
            move = after - w
            turns.append(_cosine(move, before))
            length += float(move.norm())
            moved |= after != start
            w, state, before = after, new, move
            if step % every == 0:
                looks.append(observe(game, w, state.buffers, batches[0]))
                at.append(step)
                if taken() > seconds and len(looks) > 4:
                    break
    kept = [{p: np.array(values) for p, values in series.items()} for series in (norms, losses)]
    straight = float((w - start).norm()) / length if length else 0.0
    return Walk(looks, at, kept[0], kept[1], np.array(turns), failed, w, state, moved, straight)


def _cosine(a: Tensor, b: Tensor | None) -> float:
    if b is None:
        return 1.0
    return float((a @ b) / (a.norm() * b.norm()).clamp_min(torch.finfo(a.dtype).tiny))
