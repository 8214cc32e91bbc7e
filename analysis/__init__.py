from gantools.analysis.dense import spectrum
from gantools.analysis.density import Density, spectral_density
from gantools.analysis.eigenvalues import eigenvalues
from gantools.analysis.index import Index, index
from gantools.analysis.linear_operator import LinearOperator
from gantools.analysis.result import Spectrum
from gantools.analysis.stability import Stability, stability

__all__ = [
    "Density",
    "Index",
    "LinearOperator",
    "Spectrum",
    "Stability",
    "eigenvalues",
    "index",
    "spectral_density",
    "spectrum",
    "stability",
]
