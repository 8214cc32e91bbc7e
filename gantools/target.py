"""A user's own game: FILE.py:FUNCTION, a function that returns (game, batches)."""

import importlib.util
import sys
import traceback
from pathlib import Path
from typing import Any

from gantools.errors import GantoolsError
from gantools.game import Game
from gantools.registry import suggest


def is_target(text: str) -> bool:
    """Return whether the text names a function in a Python file rather than a run folder."""
    path, colon, _ = text.rpartition(":")
    return bool(colon) and path.endswith(".py") or text.endswith(".py")


def load_target(spec: str) -> tuple[Game, Any]:
    """Import the file, call the function, and return the game and the batches that it returns.

    Raises:
        GantoolsError: for a missing file or function, an error while it runs, or another result than (game, batches).
    """
    name, colon, function_name = spec.rpartition(":")
    if not colon or not function_name or not name.endswith(".py"):
        raise GantoolsError(f"{spec!r} names no function: write FILE.py:FUNCTION, a function that returns (game, batches).")
    path = Path(name).expanduser()
    if not path.is_file():
        raise GantoolsError(f"There is no file {name!r}: give the path of a Python file, as in FILE.py:FUNCTION.")
    module = _import(path)
    functions = [k for k, v in vars(module).items() if callable(v) and not k.startswith("_")]
    if not callable(getattr(module, function_name, None)):
        raise suggest(f"function in {path.name}", function_name, functions)
    try:
        result = getattr(module, function_name)()
    except Exception as error:
        if isinstance(error, GantoolsError):
            raise
        raise GantoolsError(f"{spec} failed: {_place(error, path)}") from error
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], Game)):
        raise GantoolsError(
            f"{spec} returned {_describe(result)}: return (game, batches), where game comes from gantools.gan, "
            "gantools.minimization or gantools.Game, and batches is one batch or a list or DataLoader of them."
        )
    return result


def _import(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    # The file's own folder, so that it finds its neighbours as it would when run as a script.
    sys.path.insert(0, str(path.resolve().parent))
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise GantoolsError(f"{path} cannot be imported: {_place(error, path)}") from error
    finally:
        sys.path.pop(0)
    return module


def _place(error: Exception, path: Path) -> str:
    """Return the error in a line, with the last line of the user's own file that led to it."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    where = f" (line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {error}{where}."


def _describe(result: Any) -> str:
    if isinstance(result, tuple):
        return f"a tuple of {', '.join(type(item).__name__ for item in result)}"
    return f"a {type(result).__name__}"
