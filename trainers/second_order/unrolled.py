r"""Unrolled GAN: one player differentiates its loss through several future steps of the others."""

import dataclasses
from typing import Any

import torch
from torch import Tensor

from gantools.errors import GantoolsError
from gantools.games.game import FieldValue
from gantools.registry import setting
from gantools.trainers.base_rules import BaseChoice
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer, State, base_setting, make

GENERATOR = "generator"


@OPTIMIZERS.register("unrolled")
@dataclasses.dataclass(eq=False)
class Unrolled(GameOptimizer):
    r"""Unrolled GAN: the generator differentiates its loss through k steps of the discriminator (arXiv:1611.02163).

    $$\phi_0 = \phi, \quad \phi_{i+1} = \phi_i - h\,\xi_\phi(\theta, \phi_i), \qquad
        \theta' = \theta - h\,\frac{\mathrm d}{\mathrm d\theta} L_\theta\big(\theta, \phi_k(\theta, \phi)\big),
        \qquad \phi' = \phi - h\,\xi_\phi(\theta, \phi)$$

    The derivative is the total one: $\partial_\theta L_\theta$ at $\phi_k$, plus the contribution of
    $\partial\phi_k / \partial\theta$. The discriminator makes its usual step, at the same time; with k = 0 this is
    `simultaneous`. In another game one player leads, and all others are unrolled together.

    The inner steps go through the base from its present memory, on the step's one batch, as the authors' code unrolls
    Adam; their changes to that memory are dropped. With `sgd` they are the gradient steps of the paper's formula.

    On a bilinear game the leader's $x$ descends $A y + 2khAA^{\mathsf T}x$: the eigenvalues solve
    $(X - 1 + 2kh^2s^2)(X - 1) + h^2s^2 = 0$, which for k > 0 contract where $hs < \sqrt{4/(4k - 1)}$.
    """

    base: BaseChoice = base_setting()
    k: int = setting(5, "steps of the others that the leader differentiates through; 0 for none")
    inner_lr: float | None = setting(None, "learning rate of these inner steps; by default the others' own")
    leader: str | None = setting(None, "player that unrolls the others; by default the generator, or the first player")

    second_order = True
    cost = "4 gradients + 2.5 products"
    paper = "Metz et al. 2017, arXiv:1611.02163"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k < 0:
            raise GantoolsError(f"k = {self.k} is not a number of steps: pass 0 or more.")
        players = list(self.game.slices)
        leader = self.leader or (GENERATOR if GENERATOR in players else players[0])
        self.game.require_player(leader)
        self.leading, self.others = leader, [player for player in players if player != leader]
        self.second_order = bool(self.k and self.others)
        rate = self.lr if self.inner_lr is None else self.inner_lr
        self.inner = make("simultaneous", self.game, lr=rate, base=self.base, clip_norm=self.clip_norm)

    def _update(self, w: Tensor, state: State, *batches: Any) -> tuple[Tensor, State]:
        here = self.game.field_at(w, state.buffers, batches[0])
        directions = self.by_player(here.vector)
        if self.second_order:
            directions[self.leading] = self.through(w, state, here, batches[0])
        return self.apply_base(w, directions, state, here)

    def through(self, w: Tensor, state: State, here: FieldValue, batch: Any) -> Tensor:
        """Return the total derivative of the leader's loss, after k steps of the others, by its part of `w` (n,)."""
        game, differentiable, part = self.game, w.requires_grad, self.game.slices[self.leading]
        with torch.enable_grad():
            own = w[part] if differentiable else w[part].detach().requires_grad_()
            point = torch.cat([w[: part.start], own, w[part.stop :]])
            for _ in range(self.k):
                value = game.field_at(point, here.buffers, batch, players=self.others)
                sizes = [game.slices[player].stop - game.slices[player].start for player in self.others]
                pieces = dict(zip(self.others, value.vector.split(sizes), strict=True))
                point, state = self.inner.apply_base(point, pieces, state)
            end = point if differentiable else point.detach()
            gradient = game.field_at(end, here.buffers, batch, players=(self.leading,), by_all=True).vector
            (total,) = torch.autograd.grad(point, own, gradient, create_graph=differentiable)
        return total
