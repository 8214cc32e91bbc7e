"""The loss-surface index of a Gaussian process of gpytorch: what its marginal likelihood says of each hyperparameter.

pip install gpytorch
gantools index examples/gaussian_process.py:build
python examples/gaussian_process.py
"""

import gpytorch
import torch
from gpytorch.kernels import RBFKernel, ScaleKernel

import gantools as gt


class Process(gpytorch.models.ExactGP):
    """A constant mean and an RBF kernel with a length for each input."""

    def __init__(self, x, y):
        super().__init__(x, y, gpytorch.likelihoods.GaussianLikelihood())
        self.mean_module, self.covar_module = gpytorch.means.ConstantMean(), ScaleKernel(RBFKernel(ard_num_dims=2))

    def forward(self, x):
        return gpytorch.distributions.MultivariateNormal(self.mean_module(x), self.covar_module(x))


def build(samples=20, steps=100, dtype=torch.float64):
    """Return a trained Gaussian process as a game of one player, and its data as the batch."""
    torch.manual_seed(0)
    x = torch.rand(samples, 2, dtype=dtype)
    y = torch.sin(6 * x[:, 0]) + 0.1 * torch.randn(samples, dtype=dtype)
    model = Process(x, y).to(dtype)

    def loss(model, batch):
        model.set_train_data(*batch, strict=False)  # it compares what it is called on with its training data
        return -gpytorch.mlls.ExactMarginalLogLikelihood(model.likelihood, model)(model(batch[0]), batch[1])

    game = gt.minimization(model, loss)
    optimizer = gt.trainers.make("simultaneous", game, lr=5e-2, base="adam")
    for _ in range(steps):
        optimizer.step((x, y))
    return game, (x, y)


if __name__ == "__main__":
    game, batch = build()
    H = gt.analysis.hessian(game, batch)
    print(gt.analysis.index(H))
    for name, curvature in zip(game.named_parameters(), H.dense().diagonal().split(1), strict=False):
        print(f"{name:<50}{curvature.item():+.3g}")
