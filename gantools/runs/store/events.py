"""TensorBoard's event files: the part of them that a checkpoint vouches for, and new ones where they are damaged."""

import io
import math
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue] (generated)
from tensorboard.summary.writer.record_writer import masked_crc32c

from gantools.board import add_spectrum
from gantools.runs.store.atomic import read_file

_FRAME = 16  # bytes of length and checksums around each event


def event_files(folder: Path) -> list[Path]:
    """Return the event files of a run, in order."""
    return sorted(folder.glob("events.out.tfevents.*"))


def records(data: bytes) -> Iterator[tuple[bytes, Any]]:
    """Walk over (record, event) of an event file; stops at a record that is damaged or unfinished.

    A record is its length (8 bytes), a checksum (4), the event, and a checksum (4).
    """
    offset = 0
    while offset + _FRAME <= len(data):
        length, checksum = struct.unpack_from("<QI", data, offset)
        record = data[offset : offset + _FRAME + length]
        # The length's checksum alone: the other one takes a second for a megabyte, and this one finds blocks of zeros.
        if len(record) < _FRAME + length or checksum != masked_crc32c(data[offset : offset + 8]):
            return
        try:
            event = Event.FromString(record[12:-4])
        except Exception:  # protobuf's own, of either of its implementations
            return
        yield record, event
        offset += len(record)


def before(data: bytes, step: int) -> tuple[bytes, bytes, bool]:
    """Return an event file without the summaries at or after a step, those, and whether every byte could be read."""
    kept, rest = [], []
    for record, event in records(data):
        late = event.WhichOneof("what") == "summary" and event.step >= step
        (rest if late else kept).append(record)
    return b"".join(kept), b"".join(rest), sum(map(len, kept + rest)) == len(data)


def intact(path: Path, size: int, checksum: int) -> bytes | None:
    """Return the content of a file whose first `size` bytes have this CRC-32; None where they have not."""
    try:
        data = read_file(path)
    except OSError:
        return None
    return data if len(data) >= size and zlib.crc32(data[:size]) == checksum else None


def rebuild(folder: Path, metrics: Sequence[dict[str, Any]]) -> None:
    """Write a new event file from the records of metrics.jsonl, the pictures of samples, and the spectra in a run."""
    from matplotlib.image import imread
    from torch.utils.tensorboard import SummaryWriter  # who only reads events needs no torch

    with SummaryWriter(str(folder)) as writer:
        for record in metrics:
            for name, value in record.items():
                if isinstance(value, str):
                    writer.add_text(name, value, record["step"])
                elif name != "step":
                    writer.add_scalar(name, math.nan if value is None else value, record["step"])
        for path in sorted(folder.glob("samples/step-*.png")):
            with suppress(OSError, SyntaxError, ValueError):  # a damaged picture
                pixels = imread(io.BytesIO(read_file(path)))[..., :3]
                writer.add_image("samples", pixels, int(path.stem[-8:]), dataformats="HWC")
        for path in sorted(folder.glob("spectra/*-step-*.npz")):
            with suppress(OSError, ValueError, KeyError, zipfile.BadZipFile):
                tag = path.name.rpartition("-step-")[0].replace("-", "/")
                add_spectrum(writer, tag, _spectrum(path), int(path.stem[-8:]), scalars=False)


def _spectrum(path: Path) -> Any:
    """Return the arrays of a spectrum's file by the names of its attributes."""
    with np.load(io.BytesIO(read_file(path))) as file:
        arrays = {name: file[name] for name in file.files if file[name].dtype != object}
    facts = {name: array.item() for name, array in arrays.items() if not array.ndim}
    shares = {name.removeprefix("share "): array for name, array in arrays.items() if name.startswith("share ")}
    return SimpleNamespace(**{**arrays, **facts}, shares=shares)


class Tally:
    """Length and CRC-32 of files that only grow, each byte read once."""

    def __init__(self) -> None:
        self._seen: dict[Path, tuple[int, int]] = {}

    def of(self, path: Path) -> list[int]:
        """Return [bytes, CRC-32] of a file, after reading what was added since the last call."""
        size, checksum = self._seen.get(path, (0, 0))
        with path.open("rb") as file:
            file.seek(size)
            while block := file.read(1 << 20):
                size, checksum = size + len(block), zlib.crc32(block, checksum)
        self._seen[path] = (size, checksum)
        return [size, checksum]
