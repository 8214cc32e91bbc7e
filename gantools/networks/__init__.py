"""Whole generators and discriminators by name; importing a module files its networks in `NETWORKS`."""

from gantools.networks.base import NETWORKS, Network, is_image
from gantools.networks.dcgan import Dcgan
from gantools.networks.mlp import MLP, Mlp

__all__ = ["MLP", "NETWORKS", "Dcgan", "Mlp", "Network", "is_image"]
