"""Records of a training run: numbers and pictures in metrics.jsonl, TensorBoard, image files and the terminal."""

import math
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from torch import Tensor
from torch.utils.tensorboard import SummaryWriter

from gantools.board import add_spectrum, spectrum_figure, spectrum_scalars
from gantools.board.frames import Frame
from gantools.board.pictures import npz, png, samples_picture
from gantools.board.writer import frame_of, titled
from gantools.runs.store.atomic import step_name, unwritable, write_atomically
from gantools.runs.store.folder import RunFolder
from gantools.runs.store.metrics import checked_line
from gantools.runs.store.progress import Progress, Working


class Recorder:
    """A writer of a run's measurements; each record has a step s and describes the point after s updates."""

    def __init__(self, folder: RunFolder, first: int, last: int):
        self.folder = folder
        try:
            self._metrics = folder.metrics_path.open("ab")
            self.writer = SummaryWriter(str(folder.path), purge_step=first or None)
        except OSError as error:
            raise unwritable(folder.path, error) from None
        self._progress = Progress(first, last)
        self._framed: set[str] = set()

    def scalars(self, step: int, values: dict[str, float]) -> None:
        """Record numbers by name; NaN and infinity are null in metrics.jsonl."""
        record = {"step": step, **{name: v if math.isfinite(v) else None for name, v in values.items()}}
        self._line(record)
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def note(self, step: int, text: str) -> None:
        """Record a sentence about a step, and print it."""
        self._line({"step": step, "note": text})
        self.writer.add_text("note", text, step)
        self.message(f"step {step}: {text}")

    def _line(self, record: dict[str, Any]) -> None:
        self._metrics.write(checked_line(self.folder.lines, record))
        self._metrics.flush()
        self.folder.lines += 1

    def samples(self, step: int, samples: Tensor, reference: Tensor) -> Path:
        """Record generated samples: a picture in the folder and in TensorBoard."""
        path = self.folder.samples / step_name(step, "png")
        picture = samples_picture(samples.numpy(), reference.numpy(), f"step {step}")
        write_atomically(path, png(picture))
        self.writer.add_image("samples", picture, step, dataformats="HWC")
        return path

    def spectrum(
        self, step: int, spectrum: Any, beside: Mapping[str, float] | None = None, tag: str = "game/jacobian"
    ) -> Path:
        """Record a spectrum: its numbers and figure in the folder, figure and extremes in TensorBoard.

        Args:
            step: the step that it belongs to.
            spectrum: what `gantools.analysis.eigenvalues` or `spectrum` returned.
            beside: metrics of the same step, to show with it.
            tag: its name.
        """
        name, title = tag.replace("/", "-"), titled(tag, step, beside)
        path = self.folder.spectra / f"{name}-{step_name(step, 'npz')}"
        figure = spectrum_figure(spectrum, title, frame=self._frame(tag, name))
        write_atomically(path, npz(spectrum.to_numpy()))
        write_atomically(path.with_suffix(".png"), png(figure))
        self.scalars(step, {f"{tag}/{key}": value for key, value in spectrum_scalars(spectrum).items()})
        add_spectrum(self.writer, tag, spectrum, step, scalars=False, beside=beside)
        return path.with_suffix(".png")

    def _frame(self, tag: str, name: str) -> Frame:
        """Return the axes of a tag's pictures; those of a resumed run hold the spectra before as well."""
        frame = frame_of(self.writer, tag)
        if tag not in self._framed:
            self._framed.add(tag)
            for path in self.folder.spectra.glob(f"{name}-step-*.npz"):
                # A damaged file costs a picture its margin, not the run its end.
                with suppress(OSError, ValueError, KeyError, BadZipFile), np.load(path) as saved:
                    frame.include(saved["values"])
        return frame

    def show_progress(self, shown: bool) -> None:
        """Show how far training is, or leave that to another of the runs that are stepped together."""
        self._progress.shown = shown and Progress.shown

    def progress(self, step: int, values: dict[str, float]) -> None:
        """Show how far training is: a bar on a terminal, else a plain line from time to time."""
        self._progress.show(step, values)

    @contextmanager
    def working(self) -> Iterator[Working]:
        """Show, in place of the numbers of the steps, what is computed beside them."""
        shown = Working(self._progress.aside)
        try:
            yield shown
        finally:
            shown.close()

    def message(self, text: str) -> None:
        """Print a line without breaking the bar."""
        self._progress.write(text)

    def flush(self) -> None:
        """Put everything recorded so far into its files, on the disk."""
        self.writer.flush()
        os.fsync(self._metrics.fileno())

    def close(self) -> None:
        """Flush and close everything.

        Raises:
            OSError: when the last events cannot be written.
        """
        with ExitStack() as stack:  # all of them, whichever fails
            for part in (self._progress, self._metrics, self.writer):
                stack.callback(part.close)

    def abandon(self) -> None:
        """Close what can be closed, after an error that is already known."""
        with suppress(OSError):
            self.close()


@contextmanager
def writer_errors_once() -> Iterator[None]:
    """Keep TensorBoard's thread from printing a traceback of an OSError, which it raises again at the next event."""
    original = threading.excepthook

    def hook(args: threading.ExceptHookArgs) -> None:
        if not issubclass(args.exc_type, OSError):
            original(args)

    threading.excepthook = hook
    try:
        yield
    finally:
        threading.excepthook = original
