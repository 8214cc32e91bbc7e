"""Text for the terminal: commands to copy, and wrapped lines."""

import shlex
import shutil
import sys
import textwrap
from pathlib import Path


def command(*words: object) -> str:
    """Return a command of this program to copy, by its name where that is on the PATH, else by its path."""
    path = Path(sys.argv[0])
    if shutil.which("gantools") or path.name != "gantools":
        return shlex.join(["gantools", *map(str, words)])
    inside = path.resolve().is_relative_to(Path.cwd())
    return shlex.join([str(path.resolve().relative_to(Path.cwd()) if inside else path), *map(str, words)])


def wrapped(text: str, indent: int = 0, width: int = 110) -> str:
    """Return the text in lines of at most so many characters, all but the first indented."""
    return textwrap.fill(text, width, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
