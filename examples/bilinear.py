"""The game where simultaneous gradient descent always diverges: min over x, max over y of x^T A y.

gantools spectrum examples/bilinear.py:build --k 0
python examples/bilinear.py
"""

import torch
from torch import nn

import gantools as gt


class Point(nn.Module):
    """A player whose only parameter is a vector."""

    def __init__(self, values):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(values, dtype=torch.float64))


def build():
    """Return the game and its only batch: there are no data."""
    A = torch.tensor([[2.0, 0.5], [0.0, 1.0]], dtype=torch.float64)

    def losses(players, batch):
        value = players.x.value @ A @ players.y.value
        return {"x": value, "y": -value}

    return gt.Game({"x": Point([1.0, -1.0]), "y": Point([0.5, 1.0])}, losses), None


if __name__ == "__main__":
    for method, settings in (("simultaneous", {}), ("alternating", {}), ("consensus", {"gamma": 1.0})):
        game, batch = build()
        optimizer = gt.trainers.make(method, game, lr=0.1, **settings)
        step = gt.analysis.spectrum(gt.analysis.update_operator(optimizer, batch))
        before = game.vector().norm()
        for _ in range(100):
            optimizer.step(batch)
        observed = (game.vector().norm() / before) ** (1 / 100)
        print(f"{method:<13} distance to the equilibrium x {observed:.4f} a step. {gt.analysis.stability(step)}")
