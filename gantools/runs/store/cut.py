"""Going back to a step in a run's logs: what a checkpoint vouches for is kept, the rest set aside, damage named."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

from gantools.runs.store.atomic import read_file, say, write_atomically
from gantools.runs.store.events import before, event_files, intact, rebuild
from gantools.runs.store.metrics import Line, checked_line, read_lines
from gantools.runs.store.set_aside import SetAside


def cut_metrics(path: Path, step: int, logs: Mapping[str, Any], aside: SetAside) -> tuple[list[dict[str, Any]], int]:
    """Keep the lines of metrics.jsonl from before a checkpoint.

    Args:
        path: the file.
        step: that of the checkpoint.
        logs: what the checkpoint says of the logs; empty for a run from before it did.
        aside: takes the other lines.

    Returns:
        The records that are kept, and the number of the next line.
    """
    data = read_file(path) if path.exists() else b""
    lines = read_lines(data)
    count = logs.get("lines")
    if count is None:
        kept = [line for line in lines.good if line.record["step"] < step]
        if not lines.checked:
            kept = [Line(i, checked_line(i, line.record), line.record) for i, line in enumerate(kept)]
        count = max((line.number for line in kept), default=-1) + 1
    else:
        kept = [line for line in lines.good if line.number < count]
    content = b"".join(line.raw for line in kept)
    if path.name in logs.get("files", {}) and len(kept) == count and crc32(content) != logs["files"][path.name][1]:
        say(f"{path} is not the file that this run wrote: it is set aside.")
        kept, content = [], b""
    elif lost := lines.lost(logs.get("lines")):
        say(f"{path}: {lost}; what is left of them is set aside.")
    if content != data:
        aside.keep(path, _without(data, kept))
        write_atomically(path, content)
    return [line.record for line in kept], count


def _without(data: bytes, kept: Sequence[Line]) -> bytes:
    """Return the lines of a file that are not kept."""
    raw = {line.raw for line in kept}
    return b"".join(line for line in re.findall(rb"[^\n]*\n|[^\n]+$", data) if line not in raw)


def cut_events(
    folder: Path,
    step: int,
    logs: Mapping[str, Any],
    aside: SetAside,
    metrics: Sequence[dict[str, Any]],
) -> None:
    """Keep the events from before a checkpoint; where they are damaged, make them again from metrics and pictures.

    Args:
        folder: the run folder.
        step: that of the checkpoint.
        logs: what the checkpoint says of the logs; empty for a run from before it did.
        aside: takes the other events.
        metrics: the records of metrics.jsonl that were kept.
    """
    known = {name: size for name, size in logs.get("files", {}).items() if "tfevents" in name}
    found = {path.name: path for path in event_files(folder)}
    damaged, parts = [], {}
    for name in sorted(known.keys() | found.keys()) if logs else ():
        if name not in known:
            aside.move(found[name])
        elif name not in found or (data := intact(found[name], *known[name])) is None:
            damaged.append(name)
        elif len(data) > (size := known[name][0]):
            parts[found[name]] = data[:size], data[size:]
    for name, path in {} if logs else found.items():
        kept, rest, whole = before(read_file(path), step)
        if not whole:
            damaged.append(name)
        elif rest:
            parts[path] = kept, rest
    if damaged:
        say(f"{', '.join(damaged)}: damaged or missing; the events are made again from metrics and pictures.")
        for path in event_files(folder):
            aside.move(path)
        rebuild(folder, metrics)
        return
    for path, (kept, rest) in parts.items():
        aside.keep(path, rest)
        write_atomically(path, kept)
