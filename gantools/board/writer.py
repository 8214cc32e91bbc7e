"""Spectra in TensorBoard: a figure, and scalars of what moves."""

from typing import Any

import numpy as np

from gantools.board.figures import spectrum_figure


def add_spectrum(writer: Any, tag: str, spectrum: Any, step: int, scalars: bool = True) -> None:
    """Add a spectrum to a TensorBoard log: a figure of the eigenvalues and scalars of their extremes.

    Args:
        writer: a `torch.utils.tensorboard.SummaryWriter`.
        tag: such as "game/jacobian".
        spectrum: what `gantools.analysis.eigenvalues` or `spectrum` returned.
        step: the training step that it belongs to.
        scalars: whether to add the extremes as scalars as well.
    """
    writer.add_figure(tag, spectrum_figure(spectrum, title=f"{tag}, step {step}"), step)
    for name, value in spectrum_scalars(spectrum).items() if scalars else ():
        writer.add_scalar(f"{tag}/{name}", value, step)


def spectrum_scalars(spectrum: Any) -> dict[str, float]:
    """Return the extremes of the finite eigenvalues, by name; nothing where there are none."""
    values: Any = np.asarray(spectrum.values)
    values = values[np.isfinite(values)]
    if not len(values):
        return {}
    scalars = {"max_real": float(values.real.max()), "min_real": float(values.real.min())}
    if np.iscomplexobj(values):
        scalars |= {"max_imaginary": float(np.abs(values.imag).max()), "spectral_radius": float(np.abs(values).max())}
    return scalars
