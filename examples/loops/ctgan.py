"""A GAN for a table after CTGAN, watched by gantools: packs of rows, Gumbel softmax, conditions, a gradient penalty.

Xu et al. 2019, arXiv:1907.00503. The critic's dropout and all draws inside the losses are as in public code.

python examples/loops/ctgan.py && gantools board runs
"""

import argparse

import torch
from sklearn.datasets import load_wine
from torch import nn
from torch.nn import functional

import gantools as gt  # see

parser = argparse.ArgumentParser()
parser.add_argument("--steps", type=int, default=2000)
parser.add_argument("--dim", type=int, default=32)
args = parser.parse_args()

torch.manual_seed(0)
wine = load_wine()
numbers = torch.tensor((wine.data - wine.data.mean(0)) / (3 * wine.data.std(0)), dtype=torch.float32)[:, :4].tanh()
classes = functional.one_hot(torch.tensor(wine.target), 3).float()
table = torch.cat([numbers, classes], dim=1)  # four continuous columns, one of three categories
batch_size, embedding_dim, pac = 60, 8, 10


class Residual(nn.Module):
    def __init__(self, i, o):
        super().__init__()
        self.fc, self.bn, self.relu = nn.Linear(i, o), nn.BatchNorm1d(o), nn.ReLU()

    def forward(self, input_):
        return torch.cat([self.relu(self.bn(self.fc(input_))), input_], dim=1)


class Discriminator(nn.Module):
    def __init__(self, input_dim):
        super().__init__()
        self.pacdim = input_dim * pac
        self.seq = nn.Sequential(
            nn.Linear(self.pacdim, args.dim), nn.LeakyReLU(0.2), nn.Dropout(0.5), nn.Linear(args.dim, 1)
        )

    def calc_gradient_penalty(self, real_data, fake_data, lambda_=10):
        alpha = torch.rand(real_data.size(0) // pac, 1, 1).repeat(1, pac, real_data.size(1)).view(real_data.shape)
        interpolates = (alpha * real_data + (1 - alpha) * fake_data).detach().requires_grad_()
        disc_interpolates = self(interpolates)
        gradients = torch.autograd.grad(
            disc_interpolates, interpolates, torch.ones(disc_interpolates.size()), create_graph=True, retain_graph=True
        )[0]
        return ((gradients.view(-1, self.pacdim).norm(2, dim=1) - 1) ** 2).mean() * lambda_

    def forward(self, input_):
        return self.seq(input_.view(-1, self.pacdim))


generator = nn.Sequential(Residual(embedding_dim + 3, args.dim), nn.Linear(args.dim + embedding_dim + 3, 7))
discriminator = Discriminator(7 + 3)
opt_G = torch.optim.Adam(generator.parameters(), lr=2e-4, betas=(0.5, 0.9), weight_decay=1e-6)
opt_D = torch.optim.Adam(discriminator.parameters(), lr=2e-4, betas=(0.5, 0.9), weight_decay=1e-6)


def fake_rows(condition):
    data = generator(torch.cat([torch.randn(batch_size, embedding_dim), condition], dim=1))
    category = functional.gumbel_softmax(data[:, 4:], tau=0.2, hard=False)
    return torch.cat([torch.tanh(data[:, :4]), category], dim=1), data[:, 4:]


def generator_loss(condition):
    fakeact, logits = fake_rows(condition)
    cross_entropy = functional.cross_entropy(logits, condition.argmax(1))
    return -discriminator(torch.cat([fakeact, condition], dim=1)).mean() + cross_entropy


def discriminator_loss(real, condition):
    fake_cat = torch.cat([fake_rows(condition)[0].detach(), condition], dim=1)
    real_cat = torch.cat([real, condition], dim=1)
    pen = discriminator.calc_gradient_penalty(real_cat, fake_cat)
    return -(discriminator(real_cat).mean() - discriminator(fake_cat).mean()) + pen


def losses(players, batch):  # see
    return {"D": discriminator_loss(*batch), "G": generator_loss(batch[1])}  # see


watch = gt.watch({"D": discriminator, "G": generator}, losses, optimizers=[opt_D, opt_G], log="runs/ctgan")  # see

for step in range(args.steps):
    real = table[torch.randint(len(table), (batch_size,))]
    condition = real[:, 4:]

    loss_d = discriminator_loss(real, condition)
    opt_D.zero_grad(set_to_none=False)
    loss_d.backward()
    opt_D.step()

    loss_g = generator_loss(condition)
    opt_G.zero_grad(set_to_none=False)
    loss_g.backward()
    opt_G.step()

    watch(step, (real, condition))  # see
    if step % 200 == 0:
        print(f"[{step}/{args.steps}] Loss D {loss_d.item():.4f} Loss G {loss_g.item():.4f}")
