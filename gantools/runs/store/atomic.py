"""Atomic writes of files, and the names of files and folders of a run."""

import os
from pathlib import Path
from urllib.parse import quote

from gantools.errors import GantoolsError

PART = ".part"


def step_name(step: int, suffix: str) -> str:
    """Return the name of a file that belongs to a step; names sort by step."""
    return f"step-{step:08d}.{suffix}"


def file_part(name: str) -> str:
    """Return any text as a part of a file's name; different texts stay different."""
    return quote(name, safe=" ")


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file beside `path` and move it into place: readers see the old content or the new, whole."""
    # One name for all of a folder, so that what a killed process leaves behind is overwritten by the next write; and
    # without "tfevents" in it, by which TensorBoard knows its files.
    part = path.with_name(PART)
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def unwritable(path: Path, error: OSError) -> GantoolsError:
    """Return the error for a path that cannot be written."""
    return GantoolsError(f"{path} cannot be written ({error.strerror or error}): choose another --out.")


def new_folder(name: str, parent: Path = Path("runs")) -> Path:
    """Return a folder in runs/ that does not exist yet: the name, or the name with the next free number."""
    path, number = parent / name, 2
    while path.exists():
        path, number = parent / f"{name}-{number}", number + 1
    return path
