"""Models of the GPU benchmark: a classifier MLP, ResNet-18, a GPT, and DCGAN, each with a loss and a batch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass
class Problem:
    """A model with its loss on a batch (x, y).

    Attributes:
        model: the module.
        batch: inputs and labels.
        loss: of the model and the batch.
    """

    model: nn.Module
    batch: tuple[Tensor, Tensor]
    loss: Callable[[nn.Module, Any], Tensor]

    @property
    def parameters(self) -> list[nn.Parameter]:
        """The model's parameters."""
        return list(self.model.parameters())

    @property
    def size(self) -> int:
        """The number of parameters."""
        return sum(p.numel() for p in self.parameters)


def cross_entropy(model: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    """Return the mean cross-entropy over all predictions."""
    output = model(batch[0])
    return F.cross_entropy(output.flatten(0, -2), batch[1].flatten())


class Residual(nn.Module):
    """The basic block of ResNet (He et al., arXiv:1512.03385)."""

    def __init__(self, before: int, after: int, stride: int):
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(after), nn.BatchNorm2d(after)])
        same = stride == 1 and before == after
        self.short = (
            nn.Identity()
            if same
            else nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the features after the block."""
        y = F.relu(self.norms[0](self.first(x)))
        return F.relu(self.norms[1](self.second(y)) + self.short(x))


def resnet18(width: int = 64) -> nn.Sequential:
    """Return ResNet-18 for 32 x 32 images and ten classes: 11.2 million parameters at width 64."""
    layers: list[nn.Module] = [nn.Conv2d(3, width, 3, 1, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU()]
    before = width
    for stage in range(4):
        after = width * 2**stage
        layers += [Residual(before, after, 1 if stage == 0 else 2), Residual(after, after, 1)]
        before = after
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(before, 10))


class Block(nn.Module):
    """A pre-norm transformer block with causal attention."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.inner, self.outer = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """Return the stream (batch, tokens, width) after the block."""
        n, t, d = x.shape
        parts = self.inner(self.norms[0](x)).view(n, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(parts[0], parts[1], parts[2], is_causal=True)
        x = x + self.outer(mixed.transpose(1, 2).reshape(n, t, d))
        return x + self.down(F.gelu(self.up(self.norms[1](x))))


class GPT(nn.Module):
    """A decoder-only language model with tied embeddings: 29.5 million parameters at the defaults."""

    def __init__(self, width: int = 512, depth: int = 8, heads: int = 8, vocabulary: int = 8192, tokens: int = 256):
        super().__init__()
        self.words, self.places = nn.Embedding(vocabulary, width), nn.Embedding(tokens, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        for embedding in (self.words, self.places):
            nn.init.normal_(embedding.weight, std=0.02)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return logits (batch, tokens, vocabulary)."""
        x = self.words(tokens) + self.places.weight[: tokens.shape[1]]
        return self.norm(self.blocks(x)) @ self.words.weight.T


def mlp(width: int = 1024) -> nn.Sequential:
    """Return a tanh network of three layers on 784 inputs: 1.9 million parameters at width 1024."""
    return nn.Sequential(nn.Linear(784, width), nn.Tanh(), nn.Linear(width, width), nn.Tanh(), nn.Linear(width, 10))


def problem(name: str, device: torch.device, small: bool) -> Problem:
    """Return a problem with random data, after a few steps of Adam; `small` ones are for trying the script."""
    torch.manual_seed(0)
    if name == "mlp":
        model, x, y = mlp(32 if small else 1024), torch.randn(512, 784), torch.randint(10, (512,))
    elif name == "resnet18":
        model, count = resnet18(4 if small else 64), 8 if small else 128
        x, y = torch.randn(count, 3, 32, 32), torch.randint(10, (count,))
    else:
        size = {"width": 16, "depth": 2, "heads": 2, "vocabulary": 64, "tokens": 16} if small else {}
        model = GPT(**size)
        x = torch.randint(model.words.num_embeddings, (8, model.places.num_embeddings + 1))
        x, y = x[:, :-1], x[:, 1:]
    made = Problem(model.to(device), (x.to(device), y.to(device)), cross_entropy)
    optimizer = torch.optim.Adam(made.parameters, lr=1e-3)
    for _ in range(5 if name == "mlp" else 30):  # later the MLP's loss is 1e-5, and its Hessian rounding
        optimizer.zero_grad()
        made.loss(made.model, made.batch).backward()
        optimizer.step()
    optimizer.zero_grad()
    return made


def dcgan(device: torch.device, width: int) -> tuple[nn.Module, nn.Module]:
    """Return generator and discriminator of DCGAN (Radford et al., arXiv:1511.06434) for 64 x 64 images."""
    torch.manual_seed(0)
    g: list[nn.Module] = []
    channels = [100, 8 * width, 4 * width, 2 * width, width]
    for i, (a, b) in enumerate(zip(channels[:-1], channels[1:], strict=True)):
        stride = (1, 0) if i == 0 else (2, 1)
        g += [nn.ConvTranspose2d(a, b, 4, *stride, bias=False), nn.BatchNorm2d(b), nn.ReLU()]
    generator = nn.Sequential(*g, nn.ConvTranspose2d(width, 3, 4, 2, 1, bias=False), nn.Tanh())
    d: list[nn.Module] = [nn.Conv2d(3, width, 4, 2, 1, bias=False), nn.LeakyReLU(0.2)]
    for a in (width, 2 * width, 4 * width):
        d += [nn.Conv2d(a, 2 * a, 4, 2, 1, bias=False), nn.BatchNorm2d(2 * a), nn.LeakyReLU(0.2)]
    discriminator = nn.Sequential(*d, nn.Conv2d(8 * width, 1, 4, 1, 0, bias=False), nn.Flatten())
    return generator.to(device), discriminator.to(device)
