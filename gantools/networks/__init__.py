"""Whole generators and discriminators by name; importing a module files its networks in `NETWORKS`."""

from gantools.argument_kinds import public as _public
from gantools.networks.base import NETWORKS, Network, is_image
from gantools.networks.complex_mlp import ComplexMLP, ComplexMlp, UnitaryMlp
from gantools.networks.dcgan import ComplexDcgan, Dcgan
from gantools.networks.mlp import MLP, Mlp, OrthogonalMlp
from gantools.networks.ode import OdeMlp
from gantools.networks.resnet import ComplexResNet, ComplexResnet, ResNet, Resnet

__all__ = [
    "MLP",
    "NETWORKS",
    "ComplexDcgan",
    "ComplexMLP",
    "ComplexMlp",
    "ComplexResNet",
    "ComplexResnet",
    "Dcgan",
    "Mlp",
    "Network",
    "OdeMlp",
    "OrthogonalMlp",
    "ResNet",
    "Resnet",
    "UnitaryMlp",
    "is_image",
]

_public(globals(), __all__)
