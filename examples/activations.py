"""Activations and the loss surface: the index of one classifier's Hessian for ReLU units, and for ESP units.

gantools index examples/activations.py:relu
gantools index examples/activations.py:esp
python examples/activations.py
"""

import gantools as gt
from gantools.data.classification import problem


def _trained(activation, output_activation=""):
    game, batch = problem("esp_nonlinear", (10,), activation, output_activation, seed=0)
    optimizer = gt.trainers.make("simultaneous", game, lr=1e-2, base="adam")
    for _ in range(1000):
        optimizer.step(batch)
    return game, batch


def relu():
    """Return a trained 2-10-1 classifier with ReLU units and its batch."""
    return _trained("relu")


def esp():
    """Return the same with an ESP for every unit, each with its own beta, the output included (arXiv:1805.08786)."""
    esp = "esp(beta=0.0, learned=True, std=0.004)"
    return _trained(esp, esp)


if __name__ == "__main__":
    for build in (relu, esp):
        game, batch = build()
        print(f"{build.__name__}: {gt.analysis.index(gt.analysis.hessian(game, batch))}")
