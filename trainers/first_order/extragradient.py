r"""Extragradient: look one step ahead, and step from where one stands with the field found there."""

import dataclasses
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from gantools.errors import GantoolsError
from gantools.registry import setting
from gantools.trainers.base_rules import Base
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer, State, base_setting

Sample = Literal["same", "independent"]


@OPTIMIZERS.register("extragradient")
@dataclasses.dataclass(eq=False)
class Extragradient(GameOptimizer):
    r"""Extragradient: extrapolate, then step from the start with the field at the extrapolated point.

    .. math:: \tilde w = w - h\,\xi(w), \qquad w' = w - h\,\xi(\tilde w)

    For an eigenvalue $\lambda$ of $J$ the update has $1 - h\lambda(1 - h\lambda)$; on a bilinear game it contracts for
    $hs < 1$ (Korpelevich 1976; for GANs arXiv:1802.10551).

    Over a base with memory both halves go through the base, one after the other, as in Algorithm 4 of the paper: with
    `adam` this is ExtraAdam, whose moments (and bias corrections, $2t-1$ and $2t$) move twice a step. The authors' code
    does so too.

    With `sample="independent"` a step takes two batches, the second for the update, as the paper's stochastic method
    does; with "same" both fields are of one batch, so that on a fixed batch it is extragradient itself.
    """

    base: "str | Base" = base_setting()
    sample: Sample = setting("same", "'same' batch for extrapolation and update, or 'independent' ones: two a step")

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


PAST = "past_field"


@OPTIMIZERS.register("past_extragradient")
@dataclasses.dataclass(eq=False)
class PastExtragradient(GameOptimizer):
    r"""Extrapolation from the past: extragradient for the price of one field, the last one taken again.

    .. math:: \tilde w_t = w_t - h\,\xi(\tilde w_{t-1}), \qquad w_{t+1} = w_t - h\,\xi(\tilde w_t)

    The past field starts at 0, so that the first step is a plain one. Eigenvalues solve
    $X^2 - (1 - 2h\lambda)X - h\lambda = 0$, as those of `optimistic` over `sgd` do: the points $\tilde w$ are its
    iterates. A base with memory sees both fields, as in Algorithm 4 (option 2) of the paper, so its moments move twice.

    What `step` reports was seen at the extrapolated point, the only one where the field is evaluated.
    """

    base: "str | Base" = base_setting()

    cost = "1 gradient"
    paper = "Gidel et al. 2019, arXiv:1802.10551; Popov 1980"

    def init(self, w: Tensor) -> State:
        return self.remember(super().init(w), PAST, torch.zeros_like(w))

    def _update(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        ahead, state = self.apply_base(w, self.by_player(self.recall(state, PAST)), state)
        there = self.game.field_at(ahead, state.buffers, batches[0])
        w, state = self.apply_base(w, self.by_player(there.vector), state, there)
        return w, self.remember(state, PAST, there.vector)
