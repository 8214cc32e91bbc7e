"""Spectra, indices, densities, paths and surfaces in TensorBoard: numbers for its live tab, figures, scalars."""

from collections.abc import Mapping
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from gantools.board.distribution_figures import density_figure, index_figure
from gantools.board.figures import spectrum_figure
from gantools.board.frames import Frame
from gantools.board.landscape_figures import line_figure, path_figure, plane_figure
from gantools.board.live.looks import density_look, index_look, path_look, spectrum_look
from gantools.board.live.summaries import add_look
from gantools.board.results import Density, Index, Line, PathAngle, Plane, Spectrum, SummaryWriter


def add_spectrum(
    writer: SummaryWriter,
    tag: str,
    spectrum: Spectrum,
    step: int,
    scalars: bool = True,
    lr: float | None = None,
    beside: Mapping[str, float] | None = None,
) -> None:
    """Add a spectrum to a TensorBoard log: its numbers for the tab "Spectra", a figure, scalars of the extremes.

    Args:
        writer: a `torch.utils.tensorboard.SummaryWriter`.
        tag: such as "game/jacobian".
        spectrum: what `gantools.analysis.eigenvalues` or `spectrum` returned.
        step: the training step that it belongs to.
        scalars: whether to add the extremes that the spectrum tells as scalars as well, see `spectrum_scalars`.
        lr: the step size whose stable disc the tab shows first.
        beside: numbers by name to show with it, such as how good the players are at that step.
    """
    add_look(writer, tag, spectrum_look(spectrum, lr, beside), step)
    frame = frame_of(writer, tag)
    writer.add_figure(tag, spectrum_figure(spectrum, title=titled(tag, step, beside), frame=frame), step)
    for name, value in spectrum_scalars(spectrum).items() if scalars else ():
        writer.add_scalar(f"{tag}/{name}", value, step)


def titled(tag: str, step: int, beside: Mapping[str, float] | None = None) -> str:
    """Return the title of a figure: its tag and step, and the numbers beside it, at most three."""
    numbers = [f"{name} {value:.3g}" for name, value in (beside or {}).items()][:3]
    return ", ".join([tag, f"step {step}", *numbers])


_FRAMES: WeakKeyDictionary[Any, dict[str, Frame]] = WeakKeyDictionary()


def frame_of(writer: Any, tag: str) -> Frame:
    """Return the axes that all pictures of a tag share in the log of one writer."""
    try:
        return _FRAMES.setdefault(writer, {}).setdefault(tag, Frame())
    except TypeError:  # a writer that cannot be a key: each picture for itself
        return Frame()


# The extreme of the whole spectrum that a search for some of its eigenvalues answers.
ANSWERS = {
    "LM": ("spectral_radius",),
    "LR": ("max_real",),
    "LA": ("max_real",),
    "SR": ("min_real",),
    "SA": ("min_real",),
    "LI": ("max_imaginary",),
    "BE": ("max_real", "min_real"),
}


def spectrum_scalars(spectrum: Spectrum) -> dict[str, float]:
    """Return the extremes of the whole spectrum, by name, as far as these eigenvalues tell them.

    All of them follow from a complete spectrum, of its finite values. A search tells the one that it was for: the least
    real part of the 20 values of largest modulus, say, is no extreme of anything. It tells nothing where the leading
    values did not converge or one may be missing.
    """
    values: Any = np.asarray(spectrum.values)
    finite = values[np.isfinite(values)]
    if not len(finite):
        return {}
    extremes = {
        "max_real": float(finite.real.max()),
        "min_real": float(finite.real.min()),
        "max_imaginary": float(np.abs(finite.imag).max()),
        "spectral_radius": float(np.abs(finite).max()),
    }
    if getattr(spectrum, "complete", True):
        told = tuple(extremes) if np.iscomplexobj(values) else ("max_real", "min_real")
    else:
        told = ANSWERS.get(getattr(spectrum, "which", ""), ())
        converged = np.atleast_1d(getattr(spectrum, "converged", True))[: max(1, len(told))]
        if getattr(spectrum, "doubt", "") or not converged.all():
            return {}
    return {name: extremes[name] for name in told}


def add_index(writer: SummaryWriter, tag: str, index: Index, step: int) -> None:
    """Add an index to a TensorBoard log: its numbers, its curve over the tolerance, a scalar for each known fraction.

    Args:
        writer: a `torch.utils.tensorboard.SummaryWriter`.
        tag: such as "game/index".
        index: what `gantools.analysis.index` returned; with a curve, so exact or estimated.
        step: the training step that it belongs to.
    """
    add_look(writer, tag, index_look(index), step)
    writer.add_figure(tag, index_figure(index, title=f"{tag}, step {step}"), step)
    for name in ("negative", "zero", "positive"):
        writer.add_scalar(f"{tag}/{name}", getattr(index, name), step)


def add_density(writer: SummaryWriter, tag: str, density: Density, step: int) -> None:
    """Add a spectral density and its bounds to a TensorBoard log: their numbers and a figure.

    Args:
        writer: a `torch.utils.tensorboard.SummaryWriter`.
        tag: such as "game/density".
        density: what `gantools.analysis.spectral_density` returned.
        step: the training step that it belongs to.
    """
    add_look(writer, tag, density_look(density), step)
    writer.add_figure(tag, density_figure(density, title=f"{tag}, step {step}"), step)


def add_path(writer: SummaryWriter, tag: str, path: PathAngle, step: int) -> None:
    """Add a path-angle to a TensorBoard log: its numbers, its figure, scalars of attraction, rotation and length.

    Args:
        writer: a `torch.utils.tensorboard.SummaryWriter`.
        tag: such as "game/path".
        path: what `gantools.analysis.path_angle` returned.
        step: the training step of its end.
    """
    add_look(writer, tag, path_look(path), step)
    writer.add_figure(tag, path_figure(path, title=f"{tag}, step {step}"), step)
    for name in ("attraction", "rotation", "distance"):
        if np.isfinite(value := float(getattr(path, name))):
            writer.add_scalar(f"{tag}/{name}", value, step)


def add_surface(writer: SummaryWriter, tag: str, surface: Line | Plane, step: int) -> None:
    """Add a figure of the losses and the field along a line or in a plane to a TensorBoard log.

    Args:
        writer: a `torch.utils.tensorboard.SummaryWriter`.
        tag: such as "game/surface".
        surface: what `gantools.analysis.line` or `plane` returned.
        step: the training step that it belongs to.
    """
    title = f"{tag}, step {step}"
    figure = plane_figure(surface, title) if isinstance(surface, Plane) else line_figure(surface, title)
    writer.add_figure(tag, figure, step)
