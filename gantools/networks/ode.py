"""A generator of continuous depth."""

import dataclasses

import torch
from torch import nn

from gantools.errors import GantoolsError
from gantools.networks.base import NETWORKS, Network, is_image
from gantools.networks.mlp import MLP
from gantools.nn.integrators.ode import FIXED, ODEBlock
from gantools.registry import setting


@NETWORKS.register("ode_mlp")
@dataclasses.dataclass(frozen=True)
class OdeMlp(Network):
    r"""A generator that moves a linear image of the latent by $\dot u = f(u)$ to a sample (arXiv 1806.07366).

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

    # f is to be smooth: an order counts for nothing across kinks.
    default_activation = "tanh"

    def build(
        self,
        data_shape: tuple[int, ...],
        activation: str = "",
        latent_size: int = 16,
        rng: torch.Generator | None = None,
    ) -> tuple[nn.Module, nn.Module]:
        if self.width < 1 or self.state < 1 or self.depth < 0 or latent_size < 1:
            raise GantoolsError("The ode_mlp needs width >= 1, state >= 1, depth >= 0 and a latent size >= 1.")
        for_generator, for_discriminator = self.activations(activation)
        units = (self.state,)
        into = MLP((latent_size,), units, 0, self.width, for_generator, None, rng)
        f = MLP(units, units, self.depth, self.width, for_generator, None, rng)
        out = MLP(units, data_shape, 0, self.width, for_generator, nn.Tanh() if is_image(data_shape) else None, rng)
        steps = self.solver_steps if self.method in FIXED else None
        flow = ODEBlock(f, method=self.method, steps=steps, adjoint=self.adjoint)
        discriminator = MLP(data_shape, (), 4, self.width, for_discriminator, None, rng)
        return nn.Sequential(into, flow, out), discriminator
