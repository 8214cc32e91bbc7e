"""What the spectrum says: operators, eigenvalues, density, index, and verdicts in sentences."""

from gantools.analysis.algebra import antisymmetric_part, coupling, gram, identity, restrict, symmetric_part
from gantools.analysis.chebyshev import cross_check, kernel_polynomial
from gantools.analysis.cloud import RitzCloud, ritz_cloud
from gantools.analysis.condition import Conditions, conditions
from gantools.analysis.curvature import fisher, gauss_newton
from gantools.analysis.dense import spectrum
from gantools.analysis.density import Density, spectral_density
from gantools.analysis.effective_dimension import effective_dimension
from gantools.analysis.eigenvalues import eigenvalues
from gantools.analysis.field_of_values import FieldOfValues, field_of_values
from gantools.analysis.index import Index, index
from gantools.analysis.linear_operator import LinearOperator
from gantools.analysis.nonnormality import Normality, Pseudospectrum, departure_from_normality, pseudospectrum
from gantools.analysis.operators import DifferentiatedOperator, hessian, jacobian, update_operator
from gantools.analysis.path import PathAngle, Point, path_angle, point
from gantools.analysis.preconditioned import preconditioned
from gantools.analysis.result import Spectrum
from gantools.analysis.stability import Stability, stability
from gantools.analysis.stationary import StationaryPoint, stationary_point
from gantools.analysis.surface import Line, Plane, filter_normalized, line, plane, random_direction
from gantools.analysis.through_time import recurrent_jacobian
from gantools.analysis.traces import Diagonal, Estimate, diagonal, frobenius_norm, trace

__all__ = [
    "Conditions",
    "Density",
    "Diagonal",
    "DifferentiatedOperator",
    "Estimate",
    "FieldOfValues",
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
