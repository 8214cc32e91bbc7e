"""Building blocks for networks."""

from gantools.nn.activations import ACTIVATIONS, ESP, activation

__all__ = ["ACTIVATIONS", "ESP", "activation"]
