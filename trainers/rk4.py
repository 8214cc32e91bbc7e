r"""The classical Runge-Kutta method of order four on the joint flow of all players."""

import dataclasses

from gantools.trainers.optimizer import OPTIMIZERS
from gantools.trainers.runge_kutta import RungeKutta, penalty_setting


@OPTIMIZERS.register("rk4")
@dataclasses.dataclass(eq=False)
class RK4(RungeKutta):
    r"""The classical Runge-Kutta method on the joint field, as in ODE-GAN (arXiv:2010.15040).

    .. math:: w' = w - \tfrac h6\,(\xi_1 + 2\xi_2 + 2\xi_3 + \xi_4), \quad \xi_1 = \xi(w),\
              \xi_2 = \xi(w - \tfrac h2 \xi_1),\ \xi_3 = \xi(w - \tfrac h2 \xi_2),\ \xi_4 = \xi(w - h\,\xi_3)

    With $z = -h\lambda$ the update has $1 + z + z^2/2 + z^3/6 + z^4/24$: it contracts a bilinear game for
    $hs < 2\sqrt2$.
    """

    penalty: float = penalty_setting()

    nodes = (1 / 2, 1 / 2, 1.0)
    weights = (1 / 6, 1 / 3, 1 / 3, 1 / 6)
    cost = "4 gradients"
    paper = "Qin et al. 2020, arXiv:2010.15040"
