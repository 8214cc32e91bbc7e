"""A recurrent net that adds marked numbers of a sequence: its loss along the direction of largest curvature.

gantools index examples/recurrent.py:build
python examples/recurrent.py
"""

import torch
from torch import nn

import gantools as gt


class Adder(nn.Module):
    """A gated recurrent unit and a linear layer: sequences (N, T, 2) to numbers (N,)."""

    def __init__(self, width=12):
        super().__init__()
        self.recurrent = nn.GRU(2, width, batch_first=True)
        self.read = nn.Linear(width, 1)

    def forward(self, sequences):
        _, last = self.recurrent(sequences)
        return self.read(last[0]).squeeze(1)


def build(width=12, length=10, samples=128, steps=100, dtype=torch.float64):
    """Return a briefly trained net as a game of one player, and its batch: numbers, marks, and the sum of two."""
    torch.manual_seed(0)
    numbers = torch.rand(samples, length, dtype=dtype)
    marks = torch.zeros_like(numbers).scatter_(1, torch.rand(samples, length).argsort(1)[:, :2], 1.0)
    batch = (torch.stack([numbers, marks], dim=2), (numbers * marks).sum(1))
    model = Adder(width).to(dtype)
    game = gt.minimization(model, lambda model, batch: (model(batch[0]) - batch[1]).square().mean())
    optimizer = gt.trainers.make("simultaneous", game, lr=1e-2, base="adam")
    for _ in range(steps):
        optimizer.step(batch)
    return game, batch


if __name__ == "__main__":
    game, batch = build()
    worst = gt.analysis.eigenvalues(gt.analysis.hessian(game, batch), k=1, which="LA")
    print(worst)
    line = gt.analysis.line(game, batch, worst.vectors[:, 0], radius=0.5, points=5)
    for position, loss in zip(line.positions, line.losses["model"], strict=True):
        print(f"loss at {position:+.2f} along its eigenvector: {loss:.4f}")
