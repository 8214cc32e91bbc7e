from gantools.analysis.dense import spectrum
from gantools.analysis.eigenvalues import eigenvalues
from gantools.analysis.linear_operator import LinearOperator
from gantools.analysis.result import Spectrum

__all__ = ["LinearOperator", "Spectrum", "eigenvalues", "spectrum"]
