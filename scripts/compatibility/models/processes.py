"""Gaussian processes (gpytorch), flows (zuko, normflows), differential equations (torchdiffeq, torchcde, torchsde)."""

import gpytorch
import normflows
import torch
import torchcde
import zuko
from gpytorch.kernels import LinearKernel, MaternKernel, PeriodicKernel, RBFKernel, RQKernel, ScaleKernel
from torch import nn
from torchdiffeq import odeint, odeint_adjoint

from compatibility.entries import model, on_output, scalar

# Gaussian processes -------------------------------------------------------------------------------------------------


class ExactGP(gpytorch.models.ExactGP):
    def __init__(self, x, y, kernel):
        super().__init__(x, y, gpytorch.likelihoods.GaussianLikelihood())
        self.mean_module, self.covar_module = gpytorch.means.ConstantMean(), kernel

    def forward(self, x):
        return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))


def exact(kernel):
    x, y = torch.rand(6, 2), torch.randn(6)
    net = ExactGP(x, y, kernel)

    def loss(net, batch):
        net.set_train_data(*batch, strict=False)
        with gpytorch.settings.fast_computations(False, False, False):
            return -gpytorch.mlls.ExactMarginalLogLikelihood(net.likelihood, net)(net(batch[0]), batch[1])

    return net, loss, (x, y)


@model("gpytorch", train=True)
def gp_rbf():
    return exact(ScaleKernel(RBFKernel()))


@model("gpytorch", train=True)
def gp_rbf_ard():
    return exact(ScaleKernel(RBFKernel(ard_num_dims=2)))


@model("gpytorch", train=True)
def gp_matern():
    return exact(ScaleKernel(MaternKernel(nu=2.5)))


@model("gpytorch", train=True)
def gp_matern_half():
    return exact(ScaleKernel(MaternKernel(nu=0.5)))


@model("gpytorch", train=True)
def gp_rational_quadratic():
    return exact(ScaleKernel(RQKernel()))


@model("gpytorch", train=True)
def gp_periodic_plus_linear():
    return exact(ScaleKernel(PeriodicKernel()) + LinearKernel())


@model("gpytorch", train=True)
def gp_at_default_settings():
    net, _, batch = exact(ScaleKernel(RBFKernel()))

    def loss(net, batch):
        net.set_train_data(*batch, strict=False)
        return -gpytorch.mlls.ExactMarginalLogLikelihood(net.likelihood, net)(net(batch[0]), batch[1])

    return net, loss, batch


@model("gpytorch", train=True)
def gp_with_deep_kernel():
    class Deep(ExactGP):
        def __init__(self, x, y):
            super().__init__(x, y, ScaleKernel(RBFKernel()))
            self.features = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2))

        def forward(self, x):
            return super().forward(self.features(x))

    _, loss, (x, y) = exact(RBFKernel())
    return Deep(x, y), loss, (x, y)


# A Cholesky factor of a nearly singular matrix: float32 has two digits of it left.
@model("gpytorch", train=True, coarse=2e-2)
def gp_variational():
    class Variational(gpytorch.models.ApproximateGP):
        def __init__(self, z):
            distribution = gpytorch.variational.CholeskyVariationalDistribution(len(z))
            super().__init__(gpytorch.variational.VariationalStrategy(self, z, distribution))
            self.mean_module, self.covar_module = gpytorch.means.ConstantMean(), ScaleKernel(RBFKernel())

        def forward(self, x):
            return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))

    net = Variational(torch.rand(3, 2))
    net.likelihood = gpytorch.likelihoods.GaussianLikelihood()
    net(torch.rand(2, 2))  # its first call draws the variational mean

    def loss(net, batch):
        return -gpytorch.mlls.VariationalELBO(net.likelihood, net, 6)(net(batch[0]), batch[1])

    return net, loss, (torch.rand(6, 2), torch.randn(6))


# Flows --------------------------------------------------------------------------------------------------------------


def likelihood(net, x):
    return -net().log_prob(x).mean()


@model("zuko")
def masked_autoregressive_flow():
    return zuko.flows.MAF(2, transforms=2, hidden_features=(6,)), likelihood, torch.randn(5, 2)


@model("zuko")
def neural_spline_flow():
    return zuko.flows.NSF(2, transforms=1, hidden_features=(6,), bins=4), likelihood, torch.randn(5, 2)


@model("zuko")
def neural_autoregressive_flow():
    return zuko.flows.NAF(2, transforms=1, hidden_features=(6,), signal=4), likelihood, torch.randn(5, 2)


@model("zuko")
def nice():
    return zuko.flows.NICE(2, transforms=2, hidden_features=(6,)), likelihood, torch.randn(5, 2)


@model("zuko", train=True)
def continuous_flow():
    return zuko.flows.CNF(2, hidden_features=(4,)), likelihood, torch.randn(3, 2)


@model("zuko")
def bernstein_flow():
    return zuko.flows.BPF(2, transforms=1, degree=4, hidden_features=(6,)), likelihood, torch.rand(5, 2) - 0.5


@model("normflows")
def real_nvp():
    flows = []
    for _ in range(2):
        flows += [
            normflows.flows.AffineCouplingBlock(normflows.nets.MLP([1, 6, 2])),
            normflows.flows.Permute(2, mode="swap"),
        ]
    base = normflows.distributions.base.DiagGaussian(2)
    return normflows.NormalizingFlow(base, flows), lambda net, x: net.forward_kld(x), torch.randn(5, 2)


@model("normflows")
def residual_flow():
    net = normflows.nets.LipschitzMLP([2, 4, 2], init_zeros=False, lipschitz_const=0.9)
    flow = normflows.flows.Residual(net, reduce_memory=False, exact_trace=True, brute_force=True)
    base = normflows.distributions.base.DiagGaussian(2)
    return normflows.NormalizingFlow(base, [flow]), lambda net, x: net.forward_kld(x), torch.randn(5, 2)


@model("normflows")
def planar_flow():
    base = normflows.distributions.base.DiagGaussian(2)
    return (
        normflows.NormalizingFlow(base, [normflows.flows.Planar((2,))]),
        lambda net, x: scalar(net.flows[0](x)),
        torch.randn(5, 2),
    )


# Differential equations ---------------------------------------------------------------------------------------------


class Dynamics(nn.Module):
    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2))

    def forward(self, t, y):
        return self.net(y)


def solved(solver, **options):
    return lambda net, y: scalar(solver(net, y, torch.tensor([0.0, 0.5, 1.0]).to(y), **options))


@model("torchdiffeq")
def neural_ode_rk4():
    return Dynamics(), solved(odeint, method="rk4"), torch.randn(4, 2)


@model("torchdiffeq")
def neural_ode_dopri5():
    return Dynamics(), solved(odeint, method="dopri5", rtol=1e-6, atol=1e-8), torch.randn(4, 2)


@model("torchdiffeq")
def neural_ode_implicit_adams():
    return Dynamics(), solved(odeint, method="implicit_adams", options={"step_size": 0.25}), torch.randn(4, 2)


@model("torchdiffeq")
def neural_ode_adjoint():
    return Dynamics(), solved(odeint_adjoint, method="rk4", options={"step_size": 0.25}), torch.randn(4, 2)


@model("torchcde")
def neural_cde():
    class CDE(nn.Module):
        def __init__(self):
            super().__init__()
            self.start, self.field, self.read = nn.Linear(2, 3), nn.Linear(3, 6), nn.Linear(3, 1)

        def forward(self, coefficients):
            path = torchcde.CubicSpline(coefficients)
            z = torchcde.cdeint(
                path, lambda t, z: self.field(z).tanh().view(-1, 3, 2), self.start(path.evaluate(path.interval[0])),
                path.interval, adjoint=False, method="rk4", options={"step_size": 0.5},
            )  # fmt: skip
            return self.read(z[:, -1])

    coefficients = torchcde.hermite_cubic_coefficients_with_backward_differences(torch.randn(3, 4, 2))
    return CDE(), on_output, coefficients
