"""How players move: game optimizers, one method a file, each over a base update rule."""

from gantools.trainers.alternating import Alternating
from gantools.trainers.base import BASES, SGD, Adam, Base, Momentum, RMSProp, RMSPropTF1
from gantools.trainers.consensus import Consensus
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer, State, StepInfo, make
from gantools.trainers.simultaneous import Simultaneous

__all__ = [
    "BASES",
    "OPTIMIZERS",
    "SGD",
    "Adam",
    "Alternating",
    "Base",
    "Consensus",
    "GameOptimizer",
    "Momentum",
    "RMSProp",
    "RMSPropTF1",
    "Simultaneous",
    "State",
    "StepInfo",
    "make",
]
