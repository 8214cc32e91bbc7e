r"""Lookahead-minmax: every k steps all players go back part of the way to where they were."""

import dataclasses
from typing import Any, ClassVar, Literal, get_args

from torch import Tensor

from gantools.errors import GantoolsError
from gantools.registry import setting
from gantools.trainers.base_rules import BaseChoice
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer, State, base_setting, make
from gantools.trainers.scales import Unit

Inner = Literal["simultaneous", "alternating", "extragradient"]
SLOW = "slow"
PHASE = "lookahead:phase"


@OPTIMIZERS.register("lookahead")
@dataclasses.dataclass(eq=False)
class Lookahead(GameOptimizer):
    r"""Lookahead-minmax: every k inner steps all players go back to a mean of their slow and their present weights.

    $$\bar w' = \bar w + \alpha\,(w_k - \bar w), \qquad w' = \bar w'$$

    All players go back at the same time; lookahead on each player's own optimizer is another method. The base keeps its
    memory when they do, as in the authors' code. If the inner step has the eigenvalues $\mu$, a period of k steps has
    $1 - \alpha + \alpha\mu^k$, and 0 for each of the slow weights $\bar w$, which are memory.
    """

    base: BaseChoice = base_setting()
    k: int = setting(5, "inner steps before the players go back")
    alpha: float = setting(0.5, "weight of the present weights in the mean, within (0, 1]")
    inner: Inner = setting("alternating", "method of the inner steps, with its default settings")

    cost = "1 gradient"
    paper = "Chavdarova et al. 2021, arXiv:2006.14567"
    memory_units: ClassVar[dict[str, Unit]] = {SLOW: "parameters"}

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k < 1 or not 0 < self.alpha <= 1:
            raise GantoolsError(f"k = {self.k}, alpha = {self.alpha}: pass k of at least 1 and alpha within (0, 1].")
        if self.inner not in get_args(Inner):
            raise GantoolsError(f"Unknown inner method {self.inner!r}: pass one of {', '.join(get_args(Inner))}.")
        self.method = make(self.inner, self.game, lr=self.lr, base=self.base, clip_norm=self.clip_norm)

    @property
    def period(self) -> int:
        return self.k

    def init(self, w: Tensor) -> State:
        state = self.remember(self.method.init(w), SLOW, w.clone())
        return dataclasses.replace(state, counters={**state.counters, PHASE: 0})

    def _update(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        w, state = self.method.update(w, state, *batches)
        phase = (state.counters[PHASE] + 1) % self.k
        if phase == 0:
            slow = self.recall(state, SLOW)
            w = self.game.project(slow + self.alpha * (w - slow))
            state = self.remember(state, SLOW, w)
        return w, dataclasses.replace(state, counters={**state.counters, PHASE: phase})
