r"""Heun's method, RK2, on the joint flow of all players."""

import dataclasses

from gantools.trainers.optimizer import OPTIMIZERS
from gantools.trainers.runge_kutta import RungeKutta, penalty_setting


@OPTIMIZERS.register("heun")
@dataclasses.dataclass(eq=False)
class Heun(RungeKutta):
    r"""Heun's method (RK2) on the joint field, as in ODE-GAN (arXiv:2010.15040).

    .. math:: w' = w - \tfrac h2\,\big(\xi(w) + \xi(w - h\,\xi(w))\big)

    With $z = -h\lambda$ the update has $1 + z + z^2/2$: on a bilinear game it diverges still, at the rate $a^4/8$.
    """

    penalty: float = penalty_setting()

    nodes = (1.0,)
    weights = (1 / 2, 1 / 2)
    cost = "2 gradients"
    paper = "Qin et al. 2020, arXiv:2010.15040"
