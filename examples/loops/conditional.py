"""A conditional GAN with labels and a least-squares loss, as public code writes it, watched by gantools.

Labels of generated samples are drawn inside the loss, and the generator's dropout is on: a look leaves the random state
where it is, and switches the dropout off for itself.

python examples/loops/conditional.py && gantools board runs
"""

import argparse

import torch
from sklearn.datasets import load_digits
from torch import nn

import gantools as gt  # see

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=3000)
parser.add_argument("--dim", type=int, default=64)
args = parser.parse_args()

torch.manual_seed(0)
n_classes, latent_dim, batch_size = 10, 16, 64
digits = load_digits()
dataset = torch.utils.data.TensorDataset(
    torch.tensor(digits.data, dtype=torch.float32) / 8 - 1, torch.tensor(digits.target)
)
dataloader = torch.utils.data.DataLoader(dataset, batch_size, shuffle=True, drop_last=True)


class Generator(nn.Module):
    def __init__(self):
        super().__init__()
        self.label_emb = nn.Embedding(n_classes, n_classes)
        self.model = nn.Sequential(
            nn.Linear(latent_dim + n_classes, args.dim),
            nn.BatchNorm1d(args.dim, 0.8),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Dropout(0.2),
            nn.Linear(args.dim, 64),
            nn.Tanh(),
        )

    def forward(self, noise, labels):
        return self.model(torch.cat((self.label_emb(labels), noise), -1))


class Discriminator(nn.Module):
    def __init__(self):
        super().__init__()
        self.label_embedding = nn.Embedding(n_classes, n_classes)
        self.model = nn.Sequential(nn.Linear(64 + n_classes, args.dim), nn.LeakyReLU(0.2), nn.Linear(args.dim, 1))

    def forward(self, img, labels):
        return self.model(torch.cat((img, self.label_embedding(labels)), -1))


adversarial_loss = nn.MSELoss()
generator, discriminator = Generator(), Discriminator()
opt_G = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.999))
opt_D = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.999))
valid, fake = torch.ones(batch_size, 1), torch.zeros(batch_size, 1)


def generator_loss():
    z, gen_labels = torch.randn(batch_size, latent_dim), torch.randint(n_classes, (batch_size,))
    gen_imgs = generator(z, gen_labels)
    return adversarial_loss(discriminator(gen_imgs, gen_labels), valid), gen_imgs, gen_labels


def discriminator_loss(imgs, labels, gen_imgs, gen_labels):
    d_real_loss = adversarial_loss(discriminator(imgs, labels), valid)
    return (d_real_loss + adversarial_loss(discriminator(gen_imgs.detach(), gen_labels), fake)) / 2


def losses(players, batch):  # see
    return {"G": (made := generator_loss())[0], "D": discriminator_loss(*batch, *made[1:])}  # see


watch = gt.watch({"G": generator, "D": discriminator}, losses, optimizers=[opt_G, opt_D], log="runs/cgan")  # see

step = 0
while step < args.steps:
    for imgs, labels in dataloader:
        opt_G.zero_grad()
        g_loss, gen_imgs, gen_labels = generator_loss()
        g_loss.backward()
        opt_G.step()

        opt_D.zero_grad()
        d_loss = discriminator_loss(imgs, labels, gen_imgs, gen_labels)
        d_loss.backward()
        opt_D.step()

        watch(step, (imgs, labels))  # see
        if step % 500 == 0:
            print(f"[{step}/{args.steps}] D loss {d_loss.item():.4f} G loss {g_loss.item():.4f}")
        step += 1
        if step == args.steps:
            break
