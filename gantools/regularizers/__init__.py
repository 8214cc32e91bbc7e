"""Regularizers of a GAN: penalties, noise, normalisation and constraints of the discriminator.

All of them go with any objective, any game optimizer, each other, and the losses of any game (`regularized`). Their
random numbers are drawn into the batch: `batch = gantools.regularizers.draw(game, batch, generator)`; a training run
does so by itself.
"""

from gantools.argument_kinds import public as _public
from gantools.regularizers.base import REGULARIZERS, Pass, Regularizer, attach, draw, regularized
from gantools.regularizers.clip import Clip
from gantools.regularizers.gradient_penalties import R1, R2, Dragan, WganGP, ZeroCentred
from gantools.regularizers.instance_noise import InstanceNoise
from gantools.regularizers.spectral_norm import SpectralNorm

__all__ = [
    "R1",
    "R2",
    "REGULARIZERS",
    "Clip",
    "Dragan",
    "InstanceNoise",
    "Pass",
    "Regularizer",
    "SpectralNorm",
    "WganGP",
    "ZeroCentred",
    "attach",
    "draw",
    "regularized",
]

_public(globals(), __all__)
