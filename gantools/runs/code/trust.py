"""Which code of a run folder is executed: what was executed on this machine before, or what the user trusts."""

import json
import os
from pathlib import Path
from typing import Literal

from gantools.errors import GantoolsError
from gantools.runs.code.stored import Code, changed_files, digest, read_code, stored_code
from gantools.runs.record import Record
from gantools.runs.store.atomic import say

CodeChoice = Literal["stored", "current"]


def chosen_code(record: Record, folder: Path, choice: CodeChoice | None = None, trust: bool = False) -> Code | None:
    """Return the code that a run of a user's file is opened with; None for a run of the registries.

    Args:
        record: the run's config.json.
        folder: its folder of codes.
        choice: the stored text, or that of the original file as it is now.
        trust: whether code that was never executed on this machine may be.

    Raises:
        GantoolsError: where the original differs from what is stored and there is no choice; where the code is not
            known on this machine and not trusted.
    """
    target = record.config.target
    if not target:
        return None
    path, _, function = target.rpartition(":")
    if record.code is None:
        if choice == "stored":
            raise GantoolsError(f"This run stores no copy of {path}: leave --code out.")
        say(f"This run was made before copies were stored: {path} is taken as it is now, changed or not.")
        code = read_code(Path(path).expanduser())
    elif choice == "current":
        code = read_code(Path(record.code["folder"]) / record.code["entry"])
    else:
        code = stored_code(record.code, folder)
        if choice is None and (changed := changed_files(code)):
            raise GantoolsError(
                f"{', '.join(str(code.folder / name) for name in changed)} changed since this run stored a copy: add "
                "--code stored to go by the text that the run was trained with, or --code current to go by the file "
                "as it is now."
            )
    if not trust and not is_known(code, function):
        where = folder / digest(record.code)[:16] if record.code and choice != "current" else code.folder
        raise GantoolsError(
            f"This run executes {where / code.entry}, which was never executed on this machine by a command of yours: "
            "read it, and add --trust if you trust it."
        )
    remember(code, function)
    return code


def _known_file() -> Path:
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "gantools" / "known-code"


def _names(code: Code, function: str) -> list[str]:
    """Return the lines that a code is known by: its text; and its path, where the user's own file is executed."""
    path = [] if code.complete else [f"path {json.dumps(str(code.folder / code.entry))} {function}"]
    return [f"text {digest(code.to_dict())} {function}", *path]


def _known() -> set[str]:
    try:
        return set(_known_file().read_text().splitlines())
    except (OSError, ValueError, RuntimeError):
        return set()


def is_known(code: Code, function: str) -> bool:
    """Return whether this user had this text, or the file at this path, executed on this machine before."""
    return not _known().isdisjoint(_names(code, function))


def remember(code: Code, function: str) -> None:
    """Note that the user had this code executed on this machine."""
    new = [name for name in _names(code, function) if name not in _known()]
    if not new:
        return
    try:
        path = _known_file()
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a") as file:
            file.write("".join(f"{name}\n" for name in new))
    except (OSError, RuntimeError) as error:
        say(f"Runs of this code will need --trust, as nothing can be noted ({error}).")
