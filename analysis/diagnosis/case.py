"""What the causes share: the game and its optimizer, what was seen of them, and trials of candidate cures."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property, partial
from typing import Any

from torch import Tensor

from gantools.analysis.diagnosis.cures import Cure
from gantools.analysis.diagnosis.observation import Observation, observe
from gantools.analysis.diagnosis.result import Advice
from gantools.analysis.diagnosis.walk import Walk, stopwatch, walk
from gantools.games.game import Game
from gantools.trainers.optimizer import GameOptimizer, State

Tell = Callable[[str, int, int], None]  # what is made, how many are, how many are planned
ALIKE = 1.25  # ratio of what two cures leave that is no difference
BETTER = 0.5  # a trial cures where what is left of the distance to the goal is at most this share of what was


def untold(what: str, made: int, planned: int) -> None:
    """Tell nobody."""


class Case:
    """A training to diagnose.

    Args:
        game: at the point to begin from.
        batches: a few of them.
        optimizer: with its present state.
        given: whether the optimizer is the user's, so that its steps are judged.
        steps: at most so many are followed.
        seconds: for everything.
        tell: called with what is being made, how many are, and how many are planned.
        numbers: of the batches, where they are not the first ones.
        order: how much more the means of batches vary than those of shuffled rows, where consecutive ones are alike.
    """

    def __init__(
        self,
        game: Game,
        batches: list[Any],
        optimizer: GameOptimizer,
        given: bool,
        steps: int,
        seconds: float,
        tell: Tell = untold,
        numbers: Sequence[int] | None = None,
        order: float = 1.0,
    ):
        self.game, self.batches, self.optimizer, self.given = game, batches, optimizer, given
        self.steps, self.seconds, self.taken = steps, seconds, stopwatch()
        self.start: Tensor = game.vector()
        self.tell = tell
        self.numbers = list(range(len(batches))) if numbers is None else numbers
        self.order = order
        self._trials: dict[tuple[str, ...], Walk] = {}

    @property
    def left(self) -> float:
        """The seconds that are left."""
        return self.seconds - self.taken()

    @cached_property
    def first(self) -> list[Observation]:
        """What is seen at the start, on each batch."""
        return [observe(self.game, self.start, self.game.buffers(), batch) for batch in self.batches]

    @cached_property
    def walk(self) -> Walk:
        """The steps of the given optimizer."""
        return self._walk(self.optimizer, self.start, self.optimizer.state, self.steps, self.seconds / 6, "steps")

    @cached_property
    def last(self) -> list[Observation]:
        """What is seen at the last finite point of the walk, on each batch."""
        return [observe(self.game, self.walk.w, self.walk.state.buffers, batch) for batch in self.batches]

    @property
    def looks(self) -> list[Observation]:
        """Everything that was seen, in order."""
        return [*self.first, *self.walk.looks[1:]]

    @property
    def stalled(self) -> bool:
        """Whether the walk exploded, or its last quarter is no nearer to the goal than all before it, or stands still.

        About the data, where noise is all that is left, it may.
        """
        walk = self.walk
        if walk.exploded or walk.no_nearer or walk.plateau:
            return True
        return not walk.arrived and walk.typical > 0.75 * max(walk.early, walk.middle)

    @property
    def pinned(self) -> bool:
        """Whether the second half of the walk is stalled under a discriminator that tells nearly every pair apart."""
        looks = self.walk.looks[len(self.walk.looks) // 2 :]
        sure = all(look.confidence is not None and look.confidence > 0.99 for look in looks)
        # One that is now right, now wrong, circles with the generator.
        alike = len({(look.separation or 0.0) > 0.5 for look in looks}) == 1
        return self.walk.steps >= 50 and self.stalled and sure and alike

    def trial(self, cure: Cure) -> Walk | None:
        """Return the steps of a changed optimizer, from the cure's start or the same, or None where no time is left."""
        if cure.key not in self._trials:
            if self.left < 1:
                return None
            steps = self.walk.steps if self.walk.failed is None else self.steps
            start = self.start if cure.start is None else cure.start
            state = cure.optimizer.init(start)
            what = f"steps with {' '.join(cure.flags) or cure.words}"
            # Every trial has the same time, that none looks better for having had more steps.
            seconds = min(self.left, self.seconds / 9)
            self._trials[cure.key] = self._walk(cure.optimizer, start, state, max(steps, 8), seconds, what)
        return self._trials[cure.key]

    def _walk(
        self, optimizer: GameOptimizer, start: Tensor, state: State, steps: int, seconds: float, what: str
    ) -> Walk:
        return walk(optimizer, start, state, self.batches, steps, seconds, partial(self.tell, what))

    def ratio(self, cure: Cure) -> float | None:
        """Return what is left of the distance to the goal under a cure, relative to that without; None if untried.

        Where the given steps explode, relative to the early distance under the cure.
        """
        tried = self.trial(cure)
        if tried is None:
            return None
        if tried.exploded:
            return float("inf")
        before = tried.early if self.walk.exploded else self.walk.late
        return tried.late / before if before > 0 else float("inf")

    def best(self, cures: Iterable[Cure | None]) -> tuple[Cure, float] | None:
        """Return the cure after which least is left, and what is left; None where none was tried or none cures.

        Of cures that leave about as little, the first.
        """
        found = [(cure, ratio) for cure in cures if cure is not None and (ratio := self.ratio(cure)) is not None]
        cured = [pair for pair in found if pair[1] <= (1.0 if self.walk.exploded else BETTER) and self._gains(pair[0])]
        least = min((ratio for _, ratio in cured), default=0.0)
        return next((pair for pair in cured if pair[1] <= ALIKE * least), None)

    def _gains(self, cure: Cure) -> bool:
        tried = self._trials[cure.key]
        return self.walk.exploded or tried.late <= 0.9 * tried.early

    def advised(self, cure: Cure, ratio: float, line: str, cost: str) -> Advice:
        """Return the advice of a cure that was tried."""
        steps = self._trials[cure.key].steps
        what = "energy distance of real and fake samples" if self.walk.by_samples else "norm of the field"
        if self.walk.exploded:
            effect = f"tried for {steps} steps: it stays finite, and the {what} goes to {ratio:.2g} of what it was."
        else:
            effect = f"tried for {steps} steps: the {what} ends at {ratio:.2g} of what the present steps leave."
        return Advice(line, effect, cost, cure.flags, tried=True)
