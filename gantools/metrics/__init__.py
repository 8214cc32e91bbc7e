"""Metrics of generated samples: distances between distributions, covered modes, features of images."""

from gantools.argument_kinds import public as _public
from gantools.metrics.distances import (
    ModeCoverage,
    density_coverage,
    evaluate,
    frechet_distance,
    kernel_distance,
    mode_coverage,
    precision_recall,
)

__all__ = [
    "ModeCoverage",
    "density_coverage",
    "evaluate",
    "frechet_distance",
    "kernel_distance",
    "mode_coverage",
    "precision_recall",
]

_public(globals(), __all__)
