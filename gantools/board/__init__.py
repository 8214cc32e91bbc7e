"""Figures, TensorBoard summaries of results, and a TensorBoard server; imports no torch.

Names are imported on first use: `gantools board` needs no matplotlib.
"""

import importlib
from typing import TYPE_CHECKING, Any

from gantools.argument_kinds import checked

if TYPE_CHECKING:
    from gantools.board.comparison_figures import rates_figure, trainings_figure
    from gantools.board.distribution_figures import cloud_figure, density_figure, index_figure
    from gantools.board.figures import image_grid, scatter_figure, spectrum_figure
    from gantools.board.landscape_figures import line_figure, nonnormality_figure, path_figure, plane_figure
    from gantools.board.live.report import report
    from gantools.board.server import serve
    from gantools.board.writer import add_density, add_index, add_path, add_spectrum, add_surface, spectrum_scalars

_MODULES = {
    "comparison_figures": ("rates_figure", "trainings_figure"),
    "distribution_figures": ("cloud_figure", "density_figure", "index_figure"),
    "figures": ("image_grid", "scatter_figure", "spectrum_figure"),
    "landscape_figures": ("line_figure", "nonnormality_figure", "path_figure", "plane_figure"),
    "live.report": ("report",),
    "server": ("serve",),
    "writer": ("add_density", "add_index", "add_path", "add_spectrum", "add_surface", "spectrum_scalars"),
}

__all__ = [
    "add_density",
    "add_index",
    "add_path",
    "add_spectrum",
    "add_surface",
    "cloud_figure",
    "density_figure",
    "image_grid",
    "index_figure",
    "line_figure",
    "nonnormality_figure",
    "path_figure",
    "plane_figure",
    "rates_figure",
    "report",
    "scatter_figure",
    "serve",
    "spectrum_figure",
    "spectrum_scalars",
    "trainings_figure",
]


def __getattr__(name: str) -> Any:
    for module, names in _MODULES.items():
        if name in names:
            value = checked(getattr(importlib.import_module(f"gantools.board.{module}"), name))
            globals()[name] = value
            return value
    raise AttributeError(f"module 'gantools.board' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
