"""The TensorBoard side: figures, summaries, and the server. Imports no torch."""

from gantools.board.comparison_figures import rates_figure, trainings_figure
from gantools.board.figures import image_grid, scatter_figure, spectrum_figure
from gantools.board.server import serve
from gantools.board.writer import add_spectrum, spectrum_scalars

__all__ = [
    "add_spectrum",
    "image_grid",
    "rates_figure",
    "scatter_figure",
    "serve",
    "spectrum_figure",
    "spectrum_scalars",
    "trainings_figure",
]
