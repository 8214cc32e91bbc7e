"""A report: the live view of a folder of logs as one HTML file with its data inside."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from gantools.board.live.logs import Logs, open_logs
from gantools.board.live.looks import stream
from gantools.board.live.page import page
from gantools.board.server import event_files
from gantools.errors import GantoolsError

MOST_BYTES = 12_000_000  # of numbers; a browser opens the file in about a second
MOST_SCALARS = 250_000  # numbers of all tags and runs together
MOST_TEXTS = 1000  # of one tag of one run
MOST_PICTURES = 40  # of one tag of one run


def report(
    folder: str | Path,
    title: str,
    facts: Mapping[str, str] | None = None,
    progress: Callable[[str, int, int], None] = lambda *_: None,
    diagnosis: Mapping[str, Any] | None = None,
) -> str:
    """Return an HTML page of all spectra, densities, indices, paths, scalars and samples in a folder's logs.

    Of long runs it keeps steps evenly, the first and the last among them, and says so.

    Args:
        folder: with TensorBoard's event files in it or below it, of one run or several.
        title: of the page.
        facts: names and values to show below the title.
        progress: called with what is being read, how much of it is, and how much there is.
        diagnosis: of the run, as `gantools.analysis.Diagnosis.to_dict` returns it, with its "subject".

    Raises:
        GantoolsError: where there is nothing to show, or it cannot be read.
    """
    if not Path(folder).is_dir():
        raise GantoolsError(f"There is no folder {folder}: pass a run, or the folder that holds your runs.")
    event_files(Path(folder))
    try:
        logs = open_logs(folder, progress)
    except (OSError, UnicodeError) as error:  # a folder below that cannot be read, or whose name is no text
        raise GantoolsError(
            f"{folder} cannot be read ({error}): pass a run, or a folder that holds runs alone."
        ) from None
    catalog = logs.catalog()
    if not catalog["series"]:
        raise GantoolsError(
            f"{folder} holds no spectra: train with --spectrum-every N, or write them in your own loop with "
            "gantools.board.add_spectrum(writer, tag, spectrum, step)."
        )
    blobs: list[bytes] = []
    thinned = _add_numbers(logs, catalog["series"], blobs)
    thinned |= _add_scalars(logs, catalog["scalars"], blobs)
    thinned |= _add_texts(logs, catalog["texts"], blobs)
    _add_pictures(logs, catalog["pictures"], blobs)
    return page(title, catalog, blobs, {**(facts or {}), **thinned}, diagnosis)


def _add_numbers(logs: Logs, series: list[dict[str, Any]], blobs: list[bytes]) -> dict[str, str]:
    """Put the stream of each series among the blobs; return what was left out, as a fact."""
    found = [logs.looks(entry["run"], entry["key"]) or [] for entry in series]
    total = sum(len(data) for looks in found for _, _, data in looks)
    part = min(1.0, MOST_BYTES / max(1, total))
    for entry, looks in zip(series, found, strict=True):
        entry["blob"] = len(blobs)
        blobs.append(stream(_evenly(looks, max(2, int(part * len(looks))))))
    return {} if part == 1 else {"steps shown": f"{part:.0%}, evenly; TensorBoard's tab shows all"}


def _add_scalars(logs: Logs, scalars: list[dict[str, Any]], blobs: list[bytes]) -> dict[str, str]:
    """Put the steps and values of each scalar among the blobs; return what was left out, as a fact."""
    found = [logs.scalars(entry["run"], entry["tag"]) for entry in scalars]
    most, thinned = max(2, MOST_SCALARS // max(1, len(scalars))), False
    for entry, rows in zip(scalars, found, strict=True):
        entry["blob"] = len(blobs)
        kept = [] if rows is None else _evenly(list(rows), most)
        thinned |= rows is not None and len(kept) < len(rows)
        blobs.append(b"".join(row.tobytes() for row in kept))
    return {"scalars shown": f"{most} steps of each, evenly"} if thinned else {}


def _add_texts(logs: Logs, texts: list[dict[str, Any]], blobs: list[bytes]) -> dict[str, str]:
    """Put the steps and sentences of each text among the blobs; return what was left out, as a fact."""
    thinned = False
    for entry in texts:
        found = logs.texts(entry["run"], entry["tag"]) or []
        kept = _evenly(found, MOST_TEXTS)
        thinned |= len(kept) < len(found)
        entry["blob"] = len(blobs)
        blobs.append(json.dumps(kept).encode())
    return {"verdicts shown": f"{MOST_TEXTS} steps of each, evenly"} if thinned else {}


def _add_pictures(logs: Logs, pictures: list[dict[str, Any]], blobs: list[bytes]) -> None:
    for entry in pictures:
        entry |= {"steps": [], "blobs": []}
        for step in _evenly(logs.picture_steps(entry["run"], entry["tag"]), MOST_PICTURES):
            found = logs.picture(entry["run"], entry["tag"], step)
            if found is not None:
                entry["steps"].append(step)
                entry["blobs"].append(len(blobs))
                blobs.append(found[0])


def _evenly(items: Sequence[Any], most: int) -> list[Any]:
    """Return at most so many of the items, the first and the last among them."""
    if len(items) <= most:
        return list(items)
    return [items[round(k * (len(items) - 1) / (most - 1))] for k in range(most)]
