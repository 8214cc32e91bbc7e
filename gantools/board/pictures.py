"""Figures of samples and spectra as files and as pixels."""

from pathlib import Path
from typing import Any

import numpy as np

from gantools.board import image_grid, scatter_figure, spectrum_figure


def draw_samples(samples: np.ndarray, reference: np.ndarray, title: str, path: Path) -> np.ndarray:
    """Write samples as a picture, images as a grid and points as a scatter plot, and return its pixels (H, W, 3)."""
    from matplotlib.image import imsave

    if samples.ndim == 4:
        pixels = image_grid(samples[:64], scale=max(1, 32 // samples.shape[2]))
    else:
        flat = samples.reshape(len(samples), -1)
        pixels = figure_pixels(scatter_figure(flat, reference.reshape(len(reference), -1), title))
    imsave(path, pixels)
    return pixels


def save_spectrum(path: Path, spectrum: Any, title: str) -> None:
    """Write a spectrum's numbers to PATH.npz and its figure to PATH.png."""
    np.savez(path.with_suffix(".npz"), **spectrum.to_numpy())
    spectrum_figure(spectrum, title).savefig(path.with_suffix(".png"))


def figure_pixels(figure: Any) -> np.ndarray:
    """Return a figure as pixels (H, W, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
