"""The loss-surface index of a graph attention network of torch_geometric, trained on Zachary's karate club.

pip install torch_geometric
gantools index examples/graph_network.py:build
python examples/graph_network.py
"""

import torch
from torch.nn.functional import cross_entropy
from torch_geometric.datasets import KarateClub
from torch_geometric.nn import GAT

import gantools as gt


def build(width=4, steps=100, dtype=torch.float64):
    """Return a trained classifier of 34 people into four groups as a game of one player, and its graph as the batch."""
    torch.manual_seed(0)
    data = KarateClub()[0]
    data.x = data.x.to(dtype)
    model = GAT(data.num_features, width, 2, 4, heads=2).to(dtype)
    game = gt.minimization(model, lambda model, data: cross_entropy(model(data.x, data.edge_index), data.y))
    optimizer = gt.trainers.make("simultaneous", game, lr=1e-2, base="adam")
    for _ in range(steps):
        optimizer.step(data)
    return game, data


if __name__ == "__main__":
    H = gt.analysis.hessian(*build())
    print(gt.analysis.index(H))
