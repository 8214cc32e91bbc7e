r"""Running averages of the parameters; samples from them are often better than from the last iterate.

An average reads the game after each step and changes nothing in it, so it is no part of the map that `update_operator`
linearises. Buffers are averaged with the parameters; integers and the vectors of power iterations are copied from the
last step.
"""

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor

from gantools.errors import GantoolsError
from gantools.games.elementary.power_iterations import power_iteration_buffers
from gantools.games.game import Game
from gantools.registry import Registry, setting


class Rule(Protocol):
    """A rule for the weight of the newest point in a running average."""

    def share(self, count: int) -> float:
        r"""Return the weight of the newest point after `count` points before it, within [0, 1]."""
        ...


AVERAGES: Registry[Any] = Registry("average")


@AVERAGES.register("ema")
@dataclasses.dataclass(frozen=True)
class Exponential:
    r"""Exponential moving average (for GANs arXiv:1806.04498).

    $$\bar w' = \rho\,\bar w + (1 - \rho)\,w$$

    The half-life $\log 2 / \log(1/\rho)$ is at most `ramp` times the steps so far, so that the average soon forgets the
    start (StyleGAN2, arXiv:1912.04958, and R3GAN, with 0.05); ramp 0 is the plain average.
    """

    decay: float = setting(0.999, "weight of the old average at each step, within [0, 1)")
    ramp: float = setting(0.05, "longest half-life as a fraction of the steps so far; 0 for none")

    def __post_init__(self) -> None:
        if not 0 <= self.decay < 1 or not self.ramp >= 0:
            raise GantoolsError(f"decay = {self.decay}, ramp = {self.ramp}: pass a decay in [0, 1) and a ramp >= 0.")

    def share(self, count: int) -> float:
        """Return the weight of the newest point."""
        decay = self.decay
        if self.ramp:
            decay = min(decay, 0.5 ** (1 / (self.ramp * count))) if count else 0.0
        return 1 - decay


@AVERAGES.register("uniform")
@dataclasses.dataclass(frozen=True)
class Uniform:
    r"""Uniform average, the one that the theory of convex-concave games bounds.

    $$\bar w_t = \frac1t \sum_{s \le t} w_s$$

    On a bilinear game `alternating` steps go round, and their average converges; `simultaneous` steps spiral outwards,
    and their average comes near the equilibrium for a while but diverges in the end (arXiv:1802.10551).
    """

    start: int = setting(0, "steps left out at the beginning")

    def __post_init__(self) -> None:
        if self.start < 0:
            raise GantoolsError(f"start = {self.start}: pass how many steps to leave out, at least 0.")

    def share(self, count: int) -> float:
        """Return the weight of the newest point."""
        return 1 / max(1, count + 1 - self.start)


class Average:
    """The running average of a game's parameters and buffers; call `update` after each step.

    Args:
        game: the game whose points are averaged; the present point is not counted.
        rule: "ema", "uniform", or `Exponential(...)`, `Uniform(...)`.
    """

    def __init__(self, game: Game, rule: str | Rule = "ema"):
        self.game = game
        self.rule: Rule = AVERAGES[rule]() if isinstance(rule, str) else rule
        self.count = 0
        self._vector = game.vector()
        self._buffers = game.buffers()
        self._copied = power_iteration_buffers(game.module)

    @property
    def vector(self) -> Tensor:
        """A copy of the averaged parameters (n,)."""
        return self._vector.clone()

    @property
    def buffers(self) -> dict[str, Tensor]:
        """Copies of the averaged buffers, as `Game.buffers` names them."""
        return {name: value.clone() for name, value in self._buffers.items()}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the game's present point."""
        share = self.rule.share(self.count)
        self._vector.lerp_(self.game.vector(), share)
        for name, value in self.game.live_buffers().items():
            mean = self._buffers[name]
            if (mean.is_floating_point() or mean.is_complex()) and name not in self._copied:
                mean.lerp_(value, share)
            else:
                mean.copy_(value)
        self.count += 1

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Run a block with the averaged parameters and buffers in the modules, and put theirs back."""
        w, buffers = self.game.vector(), self.game.buffers()
        try:
            self.game.load_vector(self._vector)
            self.game.load_buffers(self._buffers)
            yield
        finally:
            self.game.load_vector(w)
            self.game.load_buffers(buffers)

    def state_dict(self) -> dict[str, Any]:
        """Return the average as plain tensors and numbers."""
        return {"count": self.count, "vector": self.vector, "buffers": self.buffers}

    def load_state_dict(self, saved: Mapping[str, Any]) -> None:
        """Take over an average that `state_dict` returned.

        Raises:
            GantoolsError: when it belongs to another game; nothing is changed then.
        """
        shapes = {name: value.shape for name, value in self._buffers.items()}
        if (
            not {"count", "vector", "buffers"} <= set(saved)
            or saved["vector"].shape != self._vector.shape
            or {name: value.shape for name, value in saved["buffers"].items()} != shapes
        ):
            raise GantoolsError("The saved average does not fit this game: load it into the game that it came from.")
        self.count = int(saved["count"])
        self._vector.copy_(saved["vector"])
        for name, value in saved["buffers"].items():
            self._buffers[name].copy_(value)
