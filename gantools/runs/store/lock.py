"""The lock of a folder that one process writes; the system takes it off when the process ends, however it ends."""

import datetime
import json
import os
import platform
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gantools.errors import FolderInUseError, GantoolsError
from gantools.runs.store.atomic import read_file, unwritable, write_atomically

LOCK, HOLDER = ".lock", ".lock.json"
LOCK_FILES = (LOCK, HOLDER)


def lock_folder(folder: Path) -> FileLock:
    """Take the lock of an existing folder and return it, to be released; readers need none.

    Raises:
        FolderInUseError: when another process holds it, with the process, its machine and since when.
        GantoolsError: when the folder cannot be written.
    """
    for name in LOCK_FILES:
        if (folder / name).is_symlink():
            raise GantoolsError(f"{folder / name} is a link, and gantools writes through none: remove it first.")
    lock = FileLock(folder / LOCK, timeout=0, mode=0o666)
    try:
        lock.acquire()
    except Timeout:
        raise FolderInUseError(
            f"{folder} is in use by {_holder(folder)}: let it end, or stop it, or choose another --out."
        ) from None
    except (OSError, NotImplementedError) as error:
        raise unwritable(folder, error if isinstance(error, OSError) else OSError(str(error))) from None
    try:
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        holder = {"process": os.getpid(), "host": platform.node(), "since": now}
        write_atomically(folder / HOLDER, (json.dumps(holder) + "\n").encode())
    except OSError as error:
        lock.release()
        raise unwritable(folder, error) from None
    return lock


def _holder(folder: Path) -> str:
    """Return who holds the lock, in words: what it wrote beside it, a moment ago if it began just now."""
    try:
        holder: Any = json.loads(read_file(folder / HOLDER))
        return f"process {int(holder['process'])} on {holder['host']!s} since {holder['since']!s}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
