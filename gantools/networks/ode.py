"""A generator of continuous depth."""

import dataclasses
from types import MappingProxyType

import torch
from torch import nn

from gantools.networks.base import NETWORKS, Network, Shape, bounded
from gantools.networks.mlp import MLP
from gantools.nn.integrators.ode import FIXED, ODEBlock
from gantools.registry import setting


@NETWORKS.register("ode_mlp")
@dataclasses.dataclass(frozen=True)
class OdeMlp(Network):
    r"""A generator that moves a linear image of the latent by $\dot u = f(u)$ to a sample (arXiv:1806.07366).

    Latent, linear map to `state` units, the flow for a unit of time, linear map to the sample; f and the discriminator
    are fully connected. The flow alone is invertible, so it moves the latent's distribution without tearing it. Needs
    torchdiffeq, the extra "ode".
    """

    depth: int = setting(1, "hidden layers of f; the discriminator has 4 as in mlp")
    width: int = setting(16, "units of a hidden layer")
    state: int = setting(16, "units that flow")
    method: str = setting("rk4", "solver of torchdiffeq: euler, midpoint, heun3, rk4, or adaptive: dopri5, ...")
    solver_steps: int = setting(4, "steps of a solver with fixed steps")
    adjoint: bool = setting(False, "gradients by the adjoint equation; it has no second derivatives")

    name = "ode_mlp"
    # f is to be smooth: an order counts for nothing across kinks.
    default_activation = "tanh"
    least = MappingProxyType({"width": 1, "state": 1, "depth": 0})

    def generator(self, latent_size: int, data_shape: Shape, activation: str, rng: torch.Generator | None) -> nn.Module:
        state = (self.state,)
        enter = MLP((latent_size,), state, 0, self.width, activation, None, rng)
        f = MLP(state, state, self.depth, self.width, activation, None, rng)
        leave = MLP(state, data_shape, 0, self.width, activation, bounded(data_shape), rng)
        steps = self.solver_steps if self.method in FIXED else None
        return nn.Sequential(enter, ODEBlock(f, method=self.method, steps=steps, adjoint=self.adjoint), leave)

    def discriminator(self, data_shape: Shape, activation: str, rng: torch.Generator | None) -> nn.Module:
        return MLP(data_shape, (), 4, self.width, activation, None, rng)
