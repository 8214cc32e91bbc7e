"""A small transformer that learns to reverse sequences; the curvature of each of its layers.

Fused attention has no second derivative on CPU; analysis takes the plain kernel by itself.

gantools index examples/transformer.py:build --method estimate
python examples/transformer.py
"""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

import gantools as gt

TOKENS = 8


class Transformer(nn.Module):
    """Tokens (N, T) to logits (N, classes, T)."""

    def __init__(self, width=16, heads=2, layers=2, length=6):
        super().__init__()
        self.embed = nn.Embedding(TOKENS, width)
        self.position = nn.Parameter(0.1 * torch.randn(length, width))
        layer = nn.TransformerEncoderLayer(width, heads, 2 * width, 0.0, "gelu", batch_first=True, norm_first=True)
        self.layers = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.read = nn.Linear(width, TOKENS)

    def forward(self, tokens):
        hidden = self.layers(self.embed(tokens) + self.position)
        return self.read(hidden).movedim(2, 1)


def build(width=16, layers=2, length=6, samples=128, steps=60, dtype=torch.float64):
    """Return a briefly trained transformer as a game of one player, and its batch."""
    torch.manual_seed(0)
    tokens = torch.randint(TOKENS, (samples, length))
    batch = (tokens, tokens.flip(1))
    model = Transformer(width, 2, layers, length).to(dtype)
    game = gt.minimization(model, lambda model, batch: cross_entropy(model(batch[0]), batch[1]))
    optimizer = gt.trainers.make("simultaneous", game, lr=3e-3, base="adam")
    for _ in range(steps):
        optimizer.step(batch)
    return game, batch


if __name__ == "__main__":
    game, batch = build()
    H = gt.analysis.hessian(game, batch)
    for part in ("model.embed.*", "model.layers.layers.0.*", "model.layers.layers.1.*", "model.read.*"):
        block = gt.analysis.restrict(H, part)
        both = [gt.analysis.eigenvalues(block, k=1, which=which, tol=1e-3).values.item() for which in ("LA", "SA")]
        print(f"{part:<26}{block.n:>5} parameters, curvature from {both[1]:+.3g} to {both[0]:+.3g}")
