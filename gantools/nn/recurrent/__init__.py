"""Recurrent cells with the calls of `torch.nn.RNN`: unitary and gated, with Kronecker products, with memory."""

from gantools.nn.recurrent.associative import AssociativeLSTM
from gantools.nn.recurrent.base import Recurrent
from gantools.nn.recurrent.maps import FactoredUnitary, KroneckerMap, factor_sizes, kronecker_matvec
from gantools.nn.recurrent.readout import SequenceModel
from gantools.nn.recurrent.rotations import RotationProduct
from gantools.nn.recurrent.unitary import EUNN, GORU, KRU, URNN, FullUnitaryRNN, UnitaryRecurrent

__all__ = [
    "EUNN",
    "GORU",
    "KRU",
    "URNN",
    "AssociativeLSTM",
    "FactoredUnitary",
    "FullUnitaryRNN",
    "KroneckerMap",
    "Recurrent",
    "RotationProduct",
    "SequenceModel",
    "UnitaryRecurrent",
    "factor_sizes",
    "kronecker_matvec",
]
