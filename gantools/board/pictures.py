"""Pictures of samples and figures as pixels, and the content of their files."""

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from gantools.board import image_grid, scatter_figure


def samples_picture(samples: np.ndarray, reference: np.ndarray, title: str) -> np.ndarray:
    """Return samples as pixels (H, W, 3) uint8: images as a grid, points as a scatter plot with the reference."""
    if samples.ndim == 4:
        return image_grid(samples[:64], scale=max(1, 32 // samples.shape[2]))
    flat = samples.reshape(len(samples), -1)
    return figure_pixels(scatter_figure(flat, reference.reshape(len(reference), -1), title))


def png(picture: Any) -> bytes:
    """Return a figure, or pixels (H, W, 3), as the content of a PNG file."""
    from matplotlib.image import imsave

    file = io.BytesIO()
    imsave(file, picture, format="png") if isinstance(picture, np.ndarray) else picture.savefig(file, format="png")
    return file.getvalue()


def npz(arrays: Mapping[str, Any]) -> bytes:
    """Return arrays as the content of an .npz file."""
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def figure_pixels(figure: Any) -> np.ndarray:
    """Return a figure as pixels (H, W, 3)."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
