r"""Extragradient and extrapolation from the past: descent with the field at an extrapolated point."""

import dataclasses
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor

from gantools.errors import GantoolsError
from gantools.registry import setting
from gantools.trainers.base_rules import BaseChoice
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer, State, base_setting
from gantools.trainers.scales import Unit

Sample = Literal["same", "independent"]
PAST = "past_field"


@OPTIMIZERS.register("extragradient")
@dataclasses.dataclass(eq=False)
class Extragradient(GameOptimizer):
    r"""Extragradient: extrapolate, then step from the start with the field at the extrapolated point.

    $$\tilde w = w - h\,\xi(w), \qquad w' = w - h\,\xi(\tilde w)$$

    For each eigenvalue $\lambda$ of $J$ the update has the eigenvalue $1 - h\lambda(1 - h\lambda)$; on a bilinear game
    it contracts for $hs < 1$ (Korpelevich 1976; for GANs arXiv:1802.10551).

    Over a base with memory both halves go through the base, one after the other, as in Algorithm 4 of the paper: with
    `adam` this is ExtraAdam, whose moments (and bias corrections, $2t-1$ and $2t$) are updated twice a step, as in the
    authors' code.

    With `sample="independent"` a step takes two batches, the second for the update, as the paper's stochastic method
    does; with "same" both fields are of one batch, which on a fixed batch is the deterministic method.

    >>> optimizer = gt.trainers.Extragradient(game, lr=0.5)
    >>> for _ in range(300):
    ...     info = optimizer.step(batch)
    >>> float(info.field_norm) < 1e-3
    True
    """

    base: BaseChoice = base_setting()
    sample: Sample = setting("same", "'same' batch for extrapolation and update, or two 'independent' batches a step")

    cost = "2 gradients"
    paper = "Gidel et al. 2019, arXiv:1802.10551"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sample not in get_args(Sample):
            raise GantoolsError(f"Unknown sample {self.sample!r}: pass 'same' or 'independent'.")

    @property
    def batches_per_step(self) -> int:
        return 2 if self.sample == "independent" else 1

    def _update(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        here = self.game.field_at(w, state.buffers, batches[0])
        ahead, state = self.apply_base(w, self.by_player(here.vector), state, here)
        there = self.game.field_at(ahead, state.buffers, batches[-1])
        return self.apply_base(w, self.by_player(there.vector), state, there, info=state.info)


@OPTIMIZERS.register("past_extragradient")
@dataclasses.dataclass(eq=False)
class PastExtragradient(GameOptimizer):
    r"""Extrapolation from the past: extragradient that extrapolates with the field of the step before.

    $$\tilde w_t = w_t - h\,\xi(\tilde w_{t-1}), \qquad w_{t+1} = w_t - h\,\xi(\tilde w_t)$$

    The past field starts at 0, so that the first step is a plain one. The eigenvalues solve
    $X^2 - (1 - 2h\lambda)X - h\lambda = 0$, as those of `optimistic` over `sgd` do, whose iterates are the points
    $\tilde w$. A base with memory is applied to both fields, as in Algorithm 4 (option 2) of the paper, so that its
    moments are updated twice a step.

    The losses and norms that `step` returns are those at the extrapolated point, where the field is evaluated.
    """

    base: BaseChoice = base_setting()

    cost = "1 gradient"
    paper = "Gidel et al. 2019, arXiv:1802.10551; Popov 1980"
    memory_units: ClassVar[dict[str, Unit]] = {PAST: "gradient"}

    def init(self, w: Tensor) -> State:
        return self.remember(super().init(w), PAST, torch.zeros_like(w))

    def _update(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        ahead, state = self.apply_base(w, self.by_player(self.recall(state, PAST)), state)
        there = self.game.field_at(ahead, state.buffers, batches[0])
        w, state = self.apply_base(w, self.by_player(there.vector), state, there)
        return w, self.remember(state, PAST, there.vector)
