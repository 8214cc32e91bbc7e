"""Weight clipping: the discriminator's parameters stay in a box."""

import dataclasses

from torch import Tensor

from gantools.errors import GantoolsError
from gantools.registry import setting
from gantools.regularizers.base import REGULARIZERS, Nearest, Regularizer


@REGULARIZERS.register("clip")
@dataclasses.dataclass(frozen=True)
class Clip(Regularizer):
    r"""Clamp the discriminator's parameters after each of its updates (WGAN, Arjovsky et al. 2017, arXiv:1701.07875).

    $$w_D \leftarrow \min(\max(w_D, -c), c)$$

    All its parameters, biases too, after every move of the discriminator within a step of any method, extrapolations
    too, as a constraint of the game: so `update_operator` linearises it, and a clamped coordinate is a row of zeros.
    Initial weights are not clamped.
    """

    c: float = setting(0.01, "half the side of the box")

    def __post_init__(self) -> None:
        if not self.c > 0:
            raise GantoolsError(f"c = {self.c} is not half the side of a box: pass a positive number.")

    def constraints(self) -> dict[str, Nearest]:
        return {"discriminator": self._clamp}

    def _clamp(self, w: Tensor) -> Tensor:
        return w.clamp(-self.c, self.c)
