"""A small GAN loop as users write them, and the state of all that a look must leave alone."""

import random

import numpy as np
import torch
from torch import nn
from torch.nn.functional import binary_cross_entropy_with_logits as bce


class Loop:
    """A GAN in a loop of its own: the discriminator moves on detached samples, then the generator against it."""

    def __init__(self, dtype=torch.float32, make=torch.optim.Adam, dropout=0.0, seed=0, **settings):
        torch.manual_seed(seed)
        self.G = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 2)).to(dtype)
        self.D = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Dropout(dropout), nn.Linear(4, 1)).to(dtype)
        settings = settings or {"lr": 0.01, "betas": (0.5, 0.9)}
        self.optimizers = {
            "D": make(self.D.parameters(), **settings),
            "G": make(self.G.parameters(), **settings),
        }
        self.rng = torch.Generator().manual_seed(seed)
        self.dtype = dtype

    @property
    def players(self):
        return {"G": self.G, "D": self.D}

    def batch(self):
        return torch.randn(2, 16, 2, generator=self.rng, dtype=torch.float64).to(self.dtype)

    def losses(self, players, batch):
        real, fake = batch[0], self.G(batch[1])
        scores = self.D(fake)
        return {"G": bce(scores, torch.ones_like(scores)), "D": self.discriminator_loss(real, fake)}

    def discriminator_loss(self, real, fake):
        real, fake = self.D(real), self.D(fake.detach())
        return bce(real, torch.ones_like(real)) + bce(fake, torch.zeros_like(fake))

    def step(self, batch):
        self.optimizers["D"].zero_grad()
        self.losses(None, batch)["D"].backward()
        self.optimizers["D"].step()
        self.optimizers["G"].zero_grad()
        self.losses(None, batch)["G"].backward()
        self.optimizers["G"].step()


def everything(modules, optimizers):
    """All numbers of a loop: parameters, gradients, flags, buffers, modes, optimizer states, and the random state."""
    found = [torch.get_rng_state(), random.getstate()[1], np.random.get_state()[1].tolist()]  # noqa: NPY002
    for module in modules:
        for m in module.modules():
            found += [m.training, sorted(m._forward_hooks), sorted(m._backward_hooks)]
        for p in module.parameters():
            found += [p.detach().clone(), p.requires_grad, p.grad if p.grad is None else p.grad.clone(), p._version]
        found += [b.clone() for b in module.buffers()]
    for optimizer in optimizers:
        found += [str(optimizer.state_dict()["param_groups"]), len(optimizer._optimizer_step_post_hooks)]
        for state in optimizer.state.values():
            found += [x.clone() if isinstance(x, torch.Tensor) else x for x in state.values()]
    return found


def same(one, other):
    return len(one) == len(other) and all(
        torch.equal(a, b) if isinstance(a, torch.Tensor) else a == b for a, b in zip(one, other, strict=True)
    )
