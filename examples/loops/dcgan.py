"""A DCGAN as PyTorch's tutorial writes it, watched by gantools (five lines, marked so).

python examples/loops/dcgan.py && gantools board runs
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn, optim

import gantools as gt  # see

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=2000)
parser.add_argument("--ngf", type=int, default=16)
opt = parser.parse_args()

torch.manual_seed(999)
batch_size, nz, ngf, ndf = 64, 16, opt.ngf, opt.ngf
images = torch.tensor(load_digits().images, dtype=torch.float32)[:, None] / 8 - 1  # 8 x 8 pixels within [-1, 1]
dataset = torch.utils.data.TensorDataset(images)
dataloader = torch.utils.data.DataLoader(dataset, batch_size, shuffle=True, drop_last=True)


def weights_init(m):
    if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d)):
        nn.init.normal_(m.weight.data, 0.0, 0.02)
    elif isinstance(m, nn.BatchNorm2d):
        nn.init.normal_(m.weight.data, 1.0, 0.02)
        nn.init.constant_(m.bias.data, 0)


netG = nn.Sequential(
    nn.ConvTranspose2d(nz, ngf * 2, 2, 1, 0, bias=False),
    nn.BatchNorm2d(ngf * 2),
    nn.ReLU(True),
    nn.ConvTranspose2d(ngf * 2, ngf, 4, 2, 1, bias=False),
    nn.BatchNorm2d(ngf),
    nn.ReLU(True),
    nn.ConvTranspose2d(ngf, 1, 4, 2, 1, bias=False),
    nn.Tanh(),
).apply(weights_init)
netD = nn.Sequential(
    nn.Conv2d(1, ndf, 4, 2, 1, bias=False),
    nn.LeakyReLU(0.2, inplace=True),
    nn.Conv2d(ndf, ndf * 2, 4, 2, 1, bias=False),
    nn.BatchNorm2d(ndf * 2),
    nn.LeakyReLU(0.2, inplace=True),
    nn.Conv2d(ndf * 2, 1, 2, 1, 0, bias=False),
    nn.Flatten(0),
    nn.Sigmoid(),
).apply(weights_init)
bce = nn.BCELoss()
one, zero = torch.ones(batch_size), torch.zeros(batch_size)
optimizerD = optim.Adam(netD.parameters(), lr=2e-4, betas=(0.5, 0.999))
optimizerG = optim.Adam(netG.parameters(), lr=2e-4, betas=(0.5, 0.999))


def losses(players, b):  # see
    return {"G": bce(netD(fake := netG(b[1])), one), "D": bce(netD(b[0]), one) + bce(netD(fake.detach()), zero)}  # see


watch = gt.watch({"D": netD, "G": netG}, losses, optimizers=[optimizerD, optimizerG], log="runs/dcgan")  # see

step = 0
while step < opt.steps:
    for (real,) in dataloader:
        # (1) Update D: maximize log(D(x)) + log(1 - D(G(z)))
        netD.zero_grad()
        errD_real = bce(netD(real), one)
        errD_real.backward()
        noise = torch.randn(batch_size, nz, 1, 1)
        fake = netG(noise)
        errD_fake = bce(netD(fake.detach()), zero)
        errD_fake.backward()
        optimizerD.step()

        # (2) Update G: maximize log(D(G(z)))
        netG.zero_grad()
        errG = bce(netD(fake), one)
        errG.backward()
        optimizerG.step()

        watch(step, (real, noise))  # see
        if step % 100 == 0:
            print(f"[{step}/{opt.steps}] Loss_D {errD_real.item() + errD_fake.item():.4f} Loss_G {errG.item():.4f}")
        step += 1
        if step == opt.steps:
            break
