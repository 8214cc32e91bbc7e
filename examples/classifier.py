"""The loss-surface index of a classifier: which fraction of its Hessian's eigenvalues is negative, zero, positive?

gantools index examples/classifier.py:build
gantools index examples/classifier.py:build --method estimate
python examples/classifier.py
"""

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

import gantools as gt


def build(steps=100):
    """Return a briefly trained classifier of handwritten digits as a game of one player, and its batch."""
    torch.manual_seed(0)
    images, labels = (torch.from_numpy(array) for array in load_digits(return_X_y=True))
    # float64: in float32 rounding blurs the many eigenvalues that are exactly zero (pixels that are always black).
    batch = (images.double() / 16, labels)
    model = nn.Sequential(nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10)).double()
    game = gt.minimization(model, lambda model, batch: cross_entropy(model(batch[0]), batch[1]))
    optimizer = gt.trainers.make("simultaneous", game, lr=1e-2, base="adam")
    for _ in range(steps):
        optimizer.step(batch)
    return game, batch


if __name__ == "__main__":
    game, batch = build()
    H = gt.analysis.hessian(game, batch)
    print(gt.analysis.index(H))
    print(gt.analysis.index(H, method="estimate"))
