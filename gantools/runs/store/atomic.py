"""Files of a run: written atomically, read whole, never through a link; and their names."""

import errno
import os
import platform
import stat
import sys
from contextlib import suppress
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
    """Write a file beside `path` and move it into place: readers see the old content or the new, whole.

    A link at `path` is replaced, not followed.
    """
    # One name for each process of each machine, as several may write into a folder of results; without "tfevents" in
    # it, by which TensorBoard knows its files.
    part = path.with_name(f"{PART}-{file_part(platform.node())}-{os.getpid()}")
    part.unlink(missing_ok=True)
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    with suppress(OSError):  # not every file system lets a folder be synchronised
        _synchronise(path.parent)


def _synchronise(folder: Path) -> None:
    """Put a folder's names on the disk: what is deleted next must not be gone before this file is there."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def read_file(path: Path) -> bytes:
    """Return the content of a regular file.

    Raises:
        OSError: for what cannot be read, and for a link, a pipe or a device, which a run folder does not hold.
    """
    # A pipe would keep a reader waiting for ever, hence O_NONBLOCK.
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        number = os.open(path, flags)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.ELOOP, "it is a link, and links in a run folder are not followed", str(path)) from None
        raise
    try:
        if not stat.S_ISREG(os.fstat(number).st_mode):
            raise OSError(errno.EINVAL, "it is no regular file", str(path))
        with os.fdopen(number, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(number)


def unwritable(path: Path, error: OSError) -> GantoolsError:
    """Return the error for a path that cannot be written."""
    return GantoolsError(f"{path} cannot be written ({error.strerror or error}): choose another --out.")


def require_utf8(path: Path) -> None:
    """Refuse a path that is no UTF-8 text, which TensorBoard cannot write to."""
    try:
        str(path).encode()
    except UnicodeEncodeError:
        shown = str(path).encode(errors="backslashreplace").decode()
        raise GantoolsError(f"{shown} is no UTF-8 text, which TensorBoard needs: choose another --out.") from None


def say(text: str) -> None:
    """Print a sentence on the standard error, where there is one."""
    if sys.stderr is not None:
        print(f"gantools: {text}", file=sys.stderr, flush=True)


def new_folder(name: str, parent: Path = Path("runs")) -> Path:
    """Return a folder in runs/ that does not exist yet: the name, or the name with the next free number."""
    path, number = parent / name, 2
    while path.exists():
        path, number = parent / f"{name}-{number}", number + 1
    return path
