"""A WGAN-GP with five critic steps for each of the generator, as public code writes it, watched by gantools.

The penalty draws its mixing coefficients from NumPy's global generator: a look leaves that where it is.

python examples/loops/wgan_gp.py && gantools board runs
"""

import argparse

import numpy as np
import torch
from torch import autograd, nn

import gantools as gt  # see

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=20000, help="steps of the critic")
parser.add_argument("--n_critic", type=int, default=5)
parser.add_argument("--dim", type=int, default=64)
parser.add_argument("--batch_size", type=int, default=128)
args = parser.parse_args()

torch.manual_seed(0)
np.random.seed(0)  # noqa: NPY002
lambda_gp, latent_dim = 10, 2
generator = nn.Sequential(
    nn.Linear(latent_dim, args.dim), nn.ReLU(), nn.Linear(args.dim, args.dim), nn.ReLU(), nn.Linear(args.dim, 2)
)
discriminator = nn.Sequential(
    nn.Linear(2, args.dim), nn.LeakyReLU(0.2), nn.Linear(args.dim, args.dim), nn.LeakyReLU(0.2), nn.Linear(args.dim, 1)
)
opt_G = torch.optim.Adam(generator.parameters(), lr=1e-4, betas=(0.5, 0.9))
opt_D = torch.optim.Adam(discriminator.parameters(), lr=1e-4, betas=(0.5, 0.9))


def real_samples():
    """Points on a ring of eight Gaussians."""
    angles = torch.randint(8, (args.batch_size,)) * (2 * np.pi / 8)
    return 2 * torch.stack([angles.cos(), angles.sin()], dim=1) + 0.05 * torch.randn(args.batch_size, 2)


def compute_gradient_penalty(D, real_samples, fake_samples):
    """Calculates the gradient penalty loss for WGAN GP"""
    alpha = torch.tensor(np.random.random((real_samples.size(0), 1)), dtype=torch.float32)  # noqa: NPY002
    interpolates = (alpha * real_samples + ((1 - alpha) * fake_samples)).requires_grad_(True)
    d_interpolates = D(interpolates)
    gradients = autograd.grad(
        outputs=d_interpolates,
        inputs=interpolates,
        grad_outputs=torch.ones(real_samples.shape[0], 1),
        create_graph=True,
        retain_graph=True,
        only_inputs=True,
    )[0]
    return ((gradients.norm(2, dim=1) - 1) ** 2).mean()


def critic_loss(real, fake):
    penalty = compute_gradient_penalty(discriminator, real.data, fake.data)
    return -discriminator(real).mean() + discriminator(fake).mean() + lambda_gp * penalty


def losses(players, b):  # see
    return {"G": -discriminator(fake := generator(b[1])).mean(), "D": critic_loss(b[0], fake.detach())}  # see


watch = gt.watch({"D": discriminator, "G": generator}, losses, optimizers=[opt_D, opt_G], log="runs/wgan")  # see

for i in range(args.steps):
    opt_D.zero_grad()
    real_imgs = real_samples()
    z = torch.randn(args.batch_size, latent_dim)
    d_loss = critic_loss(real_imgs, generator(z).detach())
    d_loss.backward()
    opt_D.step()

    # Train the generator every n_critic steps
    if i % args.n_critic == args.n_critic - 1:
        opt_G.zero_grad()
        g_loss = -discriminator(generator(z)).mean()
        g_loss.backward()
        opt_G.step()

    watch(i + 1, (real_imgs, z))  # see
    if i % 1000 == 0:
        print(f"[{i}/{args.steps}] D loss {d_loss.item():.4f}")
