"""A small VQGAN: a quantised autoencoder against patches' discriminator, with an adaptive weight; watched.

The weight is a quotient of two gradients at the decoder's last layer, taken inside the loss and detached, as in the
authors' code (Esser et al. 2021, arXiv:2012.09841, eq. 7); the codebook is passed straight through.

python examples/loops/vqgan.py && gantools board runs
"""

import argparse

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn

import gantools as gt  # see

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=2000)
parser.add_argument("--dim", type=int, default=16)
opt = parser.parse_args()

torch.manual_seed(0)
batch_size = 32
images = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8 - 1
dataloader = torch.utils.data.DataLoader(images, batch_size, shuffle=True, drop_last=True)


class VQModel(nn.Module):
    def __init__(self, n_codes=16, beta=0.25):
        super().__init__()
        self.beta = beta
        self.encoder = nn.Sequential(nn.Conv2d(1, opt.dim, 4, 2, 1), nn.SiLU(), nn.Conv2d(opt.dim, 8, 4, 2, 1))
        self.codebook = nn.Embedding(n_codes, 8)
        self.codebook.weight.data.uniform_(-1 / n_codes, 1 / n_codes)
        self.decoder = nn.Sequential(nn.ConvTranspose2d(8, opt.dim, 4, 2, 1), nn.SiLU())
        self.conv_out = nn.ConvTranspose2d(opt.dim, 1, 4, 2, 1)

    def forward(self, x):
        z = self.encoder(x).permute(0, 2, 3, 1)
        nearest = torch.cdist(z.reshape(-1, 8), self.codebook.weight).argmin(1)
        quantised = self.codebook(nearest).view(z.shape)
        loss = self.beta * F.mse_loss(quantised.detach(), z) + F.mse_loss(quantised, z.detach())
        quantised = z + (quantised - z).detach()
        return self.conv_out(self.decoder(quantised.permute(0, 3, 1, 2))), loss


model = VQModel()
disc = nn.Sequential(nn.Conv2d(1, opt.dim, 4, 2, 1), nn.LeakyReLU(0.2), nn.Conv2d(opt.dim, 1, 2, 1, 0))
opt_ae = torch.optim.Adam(model.parameters(), lr=1e-3, betas=(0.5, 0.9))
opt_disc = torch.optim.Adam(disc.parameters(), lr=1e-3, betas=(0.5, 0.9))


def calculate_adaptive_weight(nll_loss, g_loss, last_layer):
    nll_grads = torch.autograd.grad(nll_loss, last_layer, retain_graph=True)[0]
    g_grads = torch.autograd.grad(g_loss, last_layer, retain_graph=True)[0]
    d_weight = torch.norm(nll_grads) / (torch.norm(g_grads) + 1e-4)
    return torch.clamp(d_weight, 0.0, 1e4).detach()


def autoencoder_loss(x):
    reconstruction, codebook_loss = model(x)
    nll_loss = (x - reconstruction).abs().mean()
    g_loss = -disc(reconstruction).mean()
    d_weight = calculate_adaptive_weight(nll_loss, g_loss, model.conv_out.weight)
    return nll_loss + d_weight * g_loss + codebook_loss, reconstruction


def discriminator_loss(x, reconstruction):
    logits_real, logits_fake = disc(x), disc(reconstruction.detach())
    return 0.5 * (F.relu(1.0 - logits_real).mean() + F.relu(1.0 + logits_fake).mean())


def losses(players, x):  # see
    return {"model": (found := autoencoder_loss(x))[0], "disc": discriminator_loss(x, found[1])}  # see


watch = gt.watch({"model": model, "disc": disc}, losses, optimizers=[opt_ae, opt_disc], log="runs/vqgan")  # see

step = 0
while step < opt.steps:
    for x in dataloader:
        aeloss, reconstruction = autoencoder_loss(x)
        opt_ae.zero_grad()
        aeloss.backward()
        opt_ae.step()

        discloss = discriminator_loss(x, reconstruction)
        opt_disc.zero_grad()
        discloss.backward()
        opt_disc.step()

        watch(step, x)  # see
        if step % 200 == 0:
            print(f"[{step}/{opt.steps}] autoencoder {aeloss.item():.4f} discriminator {discloss.item():.4f}")
        step += 1
        if step == opt.steps:
            break
