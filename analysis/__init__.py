"""Stability analysis: matrix-free operators, eigenvalues, density, index, and verdicts in sentences."""

from gantools.analysis.diagnosis.examination import diagnose
from gantools.analysis.diagnosis.result import Advice, Diagnosis, Finding
from gantools.analysis.eigen.dense import spectrum
from gantools.analysis.eigen.eigenvalues import eigenvalues
from gantools.analysis.eigen.ritz_cloud import RitzCloud, ritz_cloud
from gantools.analysis.eigen.spectrum import Spectrum
from gantools.analysis.estimates.chebyshev import cross_check, kernel_polynomial
from gantools.analysis.estimates.density import Density, spectral_density
from gantools.analysis.estimates.effective_dimension import effective_dimension
from gantools.analysis.estimates.index import Index, index
from gantools.analysis.estimates.traces import Diagonal, Estimate, diagonal, frobenius_norm, trace
from gantools.analysis.landscape.path import PathAngle, path_angle
from gantools.analysis.landscape.sampler import Point, point
from gantools.analysis.landscape.stationary import StationaryPoint, stationary_point
from gantools.analysis.landscape.surface import Line, Plane, filter_normalized, line, plane, random_direction
from gantools.analysis.nonnormal.condition import Conditions, conditions
from gantools.analysis.nonnormal.departure import Normality, departure_from_normality
from gantools.analysis.nonnormal.field_of_values import FieldOfValues, field_of_values
from gantools.analysis.nonnormal.pseudospectrum import Pseudospectrum, pseudospectrum
from gantools.analysis.operators.algebra import antisymmetric_part, coupling, gram, identity, restrict, symmetric_part
from gantools.analysis.operators.curvature import fisher, gauss_newton
from gantools.analysis.operators.jacobian import DifferentiatedOperator, hessian, jacobian, update_operator
from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.analysis.operators.preconditioned import preconditioned
from gantools.analysis.operators.through_time import recurrent_jacobian
from gantools.analysis.stability import Stability, stability
from gantools.argument_kinds import public as _public

__all__ = [
    "Advice",
    "Conditions",
    "Density",
    "Diagnosis",
    "Diagonal",
    "DifferentiatedOperator",
    "Estimate",
    "FieldOfValues",
    "Finding",
    "Index",
    "Line",
    "LinearOperator",
    "Normality",
    "PathAngle",
    "Plane",
    "Point",
    "Pseudospectrum",
    "RitzCloud",
    "Spectrum",
    "Stability",
    "StationaryPoint",
    "antisymmetric_part",
    "conditions",
    "coupling",
    "cross_check",
    "departure_from_normality",
    "diagnose",
    "diagonal",
    "effective_dimension",
    "eigenvalues",
    "field_of_values",
    "filter_normalized",
    "fisher",
    "frobenius_norm",
    "gauss_newton",
    "gram",
    "hessian",
    "identity",
    "index",
    "jacobian",
    "kernel_polynomial",
    "line",
    "path_angle",
    "plane",
    "point",
    "preconditioned",
    "pseudospectrum",
    "random_direction",
    "recurrent_jacobian",
    "restrict",
    "ritz_cloud",
    "spectral_density",
    "spectrum",
    "stability",
    "stationary_point",
    "symmetric_part",
    "trace",
    "update_operator",
]

# Whoever calls from outside gets a sentence where an argument is of a wrong kind; calls within the library go past it.
_public(globals(), (name for name in __all__ if name[0].islower()))
