"""The lines of metrics.jsonl: JSON with a number and a checksum each, so that a damaged or lost line is noticed."""

import dataclasses
import json
import re
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from gantools.errors import GantoolsError
from gantools.runs.store.atomic import read_file

# The end of a line: its number from 0 on, and the CRC-32 of "NUMBER:" and the line without this.
_CHECKED = re.compile(rb'^(\{.*), "check": "(\d{1,15})-([0-9a-f]{8})"\}\n$', re.DOTALL)


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of metrics.jsonl.

    Attributes:
        number: of the line, from 0 on.
        raw: its bytes, newline and check included.
        record: its content, without the check.
    """

    number: int
    raw: bytes
    record: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Lines:
    """The lines of a metrics.jsonl, sorted into good and bad.

    Attributes:
        good: the lines that are as they were written, in order, none twice.
        bad: all other bytes, line by line.
        checked: whether the lines have checks; those of runs from before there were any are taken as they are.
    """

    good: list[Line]
    bad: list[bytes]
    checked: bool

    def lost(self, count: int | None = None, least: int = 0) -> str:
        """Return in words which lines are damaged or missing: of the first `count`, by default of all; "" for none.

        There are `least` lines at least.

        What follows the last newline is no line: one that is being written, or was when its process was killed.
        """
        present = {line.number for line in self.good}
        last = max(present, default=-1) + 1
        more = len(self.bad) if count is None else 0
        count = max(last, least) if count is None else count
        gone = [number + 1 for number in range(count) if number not in present]
        if not gone:
            return f"{more} of its lines are damaged" if more else ""
        shown = ", ".join(map(str, gone[:8])) + (", ..." if len(gone) > 8 else "")
        return f"{len(gone)} of {count} lines are damaged or missing (line {shown})"


def checked_line(number: int, record: dict[str, Any]) -> bytes:
    """Return a record, which is not empty, as the line of this number."""
    body = json.dumps(record).encode()
    return body[:-1] + f', "check": "{number}-{_crc(number, body):08x}"}}\n'.encode()


def read_metrics(path: Path) -> bytes:
    """Return the content of a metrics.jsonl, nothing where there is none; the line being written is waited for."""
    try:
        data = read_file(path)
        if data and not data.endswith(b"\n"):
            time.sleep(0.05)
            data = read_file(path)
        return data
    except FileNotFoundError:
        return b""
    except OSError as error:
        raise GantoolsError(f"{path} cannot be read ({error.strerror or error}).") from None


def read_lines(data: bytes) -> Lines:
    """Return the lines of a file: of one in which any line has a check, each needs one."""
    good: list[Line] = []
    bad: list[bytes] = []
    checked = b', "check": "' in data
    for raw in _whole(data):
        line = _read(raw, len(good), checked)
        # A number that does not follow: a line that was copied or moved.
        follows = line is not None and (not good or line.number > good[-1].number)
        good.append(line) if line is not None and follows else bad.append(raw)
    return Lines(good, bad, checked)


def _whole(data: bytes) -> Iterator[bytes]:
    return (line + b"\n" for line in data.split(b"\n")[:-1])


def _read(raw: bytes, number: int, checked: bool) -> Line | None:
    body, match = raw, _CHECKED.match(raw)
    if match:
        body, number = match[1] + b"}", int(match[2])
        if int(match[3], 16) != _crc(number, body):
            return None
    elif checked:
        return None
    try:
        record = json.loads(body)
    except ValueError:
        return None
    usable = isinstance(record, dict) and type(record.get("step")) is int
    return Line(number, raw, record) if usable else None


def _crc(number: int, body: bytes) -> int:
    return zlib.crc32(f"{number}:".encode() + body)
