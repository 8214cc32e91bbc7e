"""A convolutional classifier with batch normalization and dropout: its Hessian and its Gauss-Newton matrix.

gantools index examples/convolutional.py:build
python examples/convolutional.py
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

import gantools as gt


class ConvNet(nn.Module):
    """Two convolutions for images (1, 8, 8)."""

    def __init__(self, width=6):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1),
            nn.BatchNorm2d(width),
            nn.SiLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.BatchNorm2d(width),
            nn.SiLU(),
        )
        self.dropout = nn.Dropout(0.2)
        self.classify = nn.Linear(16 * width, 10)

    def forward(self, images):
        return self.classify(self.dropout(self.features(images).flatten(1)))


def build(width=6, samples=256, steps=60, dtype=torch.float64):
    """Return a briefly trained classifier of handwritten digits as a game of one player, and its batch."""
    torch.manual_seed(0)
    images, labels = (torch.from_numpy(array) for array in load_digits(return_X_y=True))
    batch = (images[:samples].to(dtype).view(-1, 1, 8, 8) / 16, labels[:samples])
    model = ConvNet(width).to(dtype)
    game = gt.minimization(model, lambda model, batch: cross_entropy(model(batch[0]), batch[1]))
    optimizer = gt.trainers.make("simultaneous", game, lr=1e-2, base="adam")
    for _ in range(steps):
        optimizer.step(batch)
    # Dropout draws a new net at each evaluation, so analysis refuses it. Batch normalization stays in training mode,
    # as the training that is analysed has it; its running statistics do not move.
    model.dropout.eval()
    return game, batch


if __name__ == "__main__":
    game, batch = build()
    print(gt.analysis.eigenvalues(gt.analysis.hessian(game, batch), k=10))
    G = gt.analysis.gauss_newton(game.players["model"], lambda output, batch: cross_entropy(output, batch[1]), batch)
    print(gt.analysis.eigenvalues(G, k=10))
    print("directions determined against a damping of 0.01:", gt.analysis.effective_dimension(G, 0.01))
