"""How players move: game optimizers, one method a file, each over a base update rule."""

from gantools.trainers.adaptive_competitive import AdaptiveCompetitive
from gantools.trainers.alex_gda import AlexGDA
from gantools.trainers.alternating import Alternating
from gantools.trainers.averages import AVERAGES, Average, Exponential, Uniform
from gantools.trainers.base import BASES, SGD, Adam, Base, Momentum, RMSProp, RMSPropTF1
from gantools.trainers.competitive import Competitive
from gantools.trainers.complex_momentum import ComplexMomentum
from gantools.trainers.consensus import Consensus
from gantools.trainers.extragradient import Extragradient
from gantools.trainers.hamiltonian import Hamiltonian
from gantools.trainers.heun import Heun
from gantools.trainers.jare import Jare
from gantools.trainers.lead import Lead
from gantools.trainers.lola import Lola
from gantools.trainers.lookahead import Lookahead
from gantools.trainers.momentum import HeavyBall
from gantools.trainers.optimistic import Optimistic
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer, State, StepInfo, make
from gantools.trainers.past_extragradient import PastExtragradient
from gantools.trainers.proximal import Proximal
from gantools.trainers.rk4 import RK4
from gantools.trainers.sga import SymplecticGradientAdjustment
from gantools.trainers.simultaneous import Simultaneous
from gantools.trainers.sos import StableOpponentShaping
from gantools.trainers.unrolled import Unrolled

__all__ = [
    "AVERAGES",
    "BASES",
    "OPTIMIZERS",
    "RK4",
    "SGD",
    "Adam",
    "AdaptiveCompetitive",
    "AlexGDA",
    "Alternating",
    "Average",
    "Base",
    "Competitive",
    "ComplexMomentum",
    "Consensus",
    "Exponential",
    "Extragradient",
    "GameOptimizer",
    "Hamiltonian",
    "HeavyBall",
    "Heun",
    "Jare",
    "Lead",
    "Lola",
    "Lookahead",
    "Momentum",
    "Optimistic",
    "PastExtragradient",
    "Proximal",
    "RMSProp",
    "RMSPropTF1",
    "Simultaneous",
    "StableOpponentShaping",
    "State",
    "StepInfo",
    "SymplecticGradientAdjustment",
    "Uniform",
    "Unrolled",
    "make",
]
