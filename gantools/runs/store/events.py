"""TensorBoard's event files, truncated to the step from which a run is resumed."""

import struct
from collections.abc import Iterator
from pathlib import Path

from tensorboard.compat.proto.event_pb2 import Event  # pyright: ignore[reportAttributeAccessIssue] (generated)
from tensorboard.summary.writer.record_writer import masked_crc32c

from gantools.runs.store.atomic import write_atomically

_FRAME = 16  # bytes of length and checksums around each event


def _records(data: bytes) -> Iterator[tuple[bytes, Event]]:
    """Walk over (record, event); stops at a record that a killed process left unfinished, or a full disk damaged.

    A record is its length (8 bytes), a checksum (4), the event, and a checksum (4).
    """
    offset = 0
    while offset + _FRAME <= len(data):
        length, checksum = struct.unpack_from("<QI", data, offset)
        record = data[offset : offset + _FRAME + length]
        # The length's checksum alone: the other one takes a second for a megabyte, and this one finds blocks of zeros.
        if len(record) < _FRAME + length or checksum != masked_crc32c(data[offset : offset + 8]):
            return
        yield record, Event.FromString(record[12:-4])
        offset += len(record)


def cut_events(folder: Path, step: int) -> None:
    """Drop every summary at or after a step from the event files in a folder, and any unfinished record."""
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data = path.read_bytes()
        kept = (r for r, event in _records(data) if event.WhichOneof("what") != "summary" or event.step < step)
        content = b"".join(kept)
        if content != data:
            write_atomically(path, content)
