"""Game optimizers: first- and second-order methods, their base update rules, and averages of the iterates."""

from gantools.argument_kinds import public as _public
from gantools.trainers.averages import AVERAGES, Average, Exponential, Uniform
from gantools.trainers.base_rules import BASES, SGD, Adam, Base, Momentum, RMSProp, RMSPropTF1
from gantools.trainers.compiling.steps import compiled
from gantools.trainers.first_order.alex_gda import AlexGDA
from gantools.trainers.first_order.alternating import Alternating
from gantools.trainers.first_order.complex_momentum import ComplexMomentum
from gantools.trainers.first_order.extragradient import Extragradient, PastExtragradient
from gantools.trainers.first_order.lookahead import Lookahead
from gantools.trainers.first_order.momentum import HeavyBall
from gantools.trainers.first_order.optimistic import Optimistic
from gantools.trainers.first_order.runge_kutta import RK4, Heun
from gantools.trainers.first_order.simultaneous import Simultaneous
from gantools.trainers.optimizer import OPTIMIZERS, GameOptimizer, State, StepInfo, make
from gantools.trainers.second_order.auto import Auto
from gantools.trainers.second_order.competitive import AdaptiveCompetitive, Competitive
from gantools.trainers.second_order.consensus import Consensus
from gantools.trainers.second_order.hamiltonian import Hamiltonian
from gantools.trainers.second_order.jare import Jare
from gantools.trainers.second_order.lead import Lead
from gantools.trainers.second_order.opponent_shaping import Lola, StableOpponentShaping
from gantools.trainers.second_order.proximal import Proximal
from gantools.trainers.second_order.sga import SymplecticGradientAdjustment
from gantools.trainers.second_order.unrolled import Unrolled
from gantools.trainers.step_origin import step_origin

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
    "Auto",
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
    "compiled",
    "make",
    "step_origin",
]

_public(globals(), __all__)
