"""Building blocks for networks: activations, complex layers, unitary maps, recurrent cells, initial weights."""

from gantools.argument_kinds import public as _public
from gantools.nn.activations import ACTIVATIONS, ESP, activation
from gantools.nn.complex.activations import Cardioid, CReLU, ModReLU, ZReLU
from gantools.nn.complex.init import complex_glorot_, complex_he_, complex_independent_, complex_normal_
from gantools.nn.complex.input import Complexify, LearnedImaginary, Parts
from gantools.nn.complex.layers import ComplexConv1d, ComplexConv2d, ComplexConvTranspose2d, ComplexLinear
from gantools.nn.complex.norm import ComplexBatchNorm, ComplexLayerNorm
from gantools.nn.complex.pooling import (
    ComplexAvgPool2d,
    ComplexDropout,
    ComplexDropout2d,
    ComplexMaxPool1d,
    ComplexMaxPool2d,
)
from gantools.nn.complex.spectral_norm import complex_spectral_norm
from gantools.nn.complex.unitary import UnitaryLinear
from gantools.nn.integrators.continuous_flow import ContinuousFlow
from gantools.nn.integrators.ode import ODEBlock
from gantools.nn.integrators.reversible import RevBlock, RevSequence
from gantools.nn.integrators.schemes import Flow, FractalBlock, Integrator, LMBlock, PolyBlock, ResidualBlock
from gantools.nn.orthogonal import OrthogonalLinear
from gantools.nn.quantum_mixture import QuantumMixture
from gantools.nn.recurrent import EUNN, GORU, KRU, URNN, AssociativeLSTM, FullUnitaryRNN, SequenceModel

__all__ = [
    "ACTIVATIONS",
    "ESP",
    "EUNN",
    "GORU",
    "KRU",
    "URNN",
    "AssociativeLSTM",
    "CReLU",
    "Cardioid",
    "ComplexAvgPool2d",
    "ComplexBatchNorm",
    "ComplexConv1d",
    "ComplexConv2d",
    "ComplexConvTranspose2d",
    "ComplexDropout",
    "ComplexDropout2d",
    "ComplexLayerNorm",
    "ComplexLinear",
    "ComplexMaxPool1d",
    "ComplexMaxPool2d",
    "Complexify",
    "ContinuousFlow",
    "Flow",
    "FractalBlock",
    "FullUnitaryRNN",
    "Integrator",
    "LMBlock",
    "LearnedImaginary",
    "ModReLU",
    "ODEBlock",
    "OrthogonalLinear",
    "Parts",
    "PolyBlock",
    "QuantumMixture",
    "ResidualBlock",
    "RevBlock",
    "RevSequence",
    "SequenceModel",
    "UnitaryLinear",
    "ZReLU",
    "activation",
    "complex_glorot_",
    "complex_he_",
    "complex_independent_",
    "complex_normal_",
    "complex_spectral_norm",
]

_public(globals(), __all__)
