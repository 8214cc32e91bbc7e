"""A user's own game: FILE.py:FUNCTION, a function that returns (game, batches)."""

import importlib.util
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from gantools.errors import GantoolsError
from gantools.games.game import Game
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
        raise GantoolsError(
            f"{spec!r} names no function: write FILE.py:FUNCTION, a function that returns (game, batches)."
        )
    path = Path(name).expanduser()
    if not path.is_file():
        raise GantoolsError(f"There is no file {name!r}: give the path of a Python file, as in FILE.py:FUNCTION.")
    with _neighbours(path):
        module = _import(path)
        if not callable(getattr(module, function_name, None)):
            functions = [k for k, v in vars(module).items() if callable(v) and not k.startswith("_")]
            raise suggest(f"function in {path.name}", function_name, functions)
        with own_errors(spec):
            result = getattr(module, function_name)()
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], Game)):
        raise GantoolsError(
            f"{spec} returned {_describe(result)}: return (game, batches), where game comes from gantools.gan, "
            "gantools.minimization or gantools.Game, and batches is one batch or a list or DataLoader of them."
        )
    return result


@contextmanager
def own_errors(spec: str | None) -> Iterator[None]:
    """Turn errors of a user's function, loss, module or data into a `GantoolsError`; without a spec, let them pass."""
    try:
        yield
    except GantoolsError:
        raise
    except torch.OutOfMemoryError as error:
        raise GantoolsError("The device has too little memory: pass a smaller batch, or --device cpu.") from error
    except Exception as error:
        if spec is None:
            raise
        raise GantoolsError(f"{spec} failed: {_place(error, Path(spec.rpartition(':')[0]).expanduser())}") from error


@contextmanager
def _neighbours(path: Path) -> Iterator[None]:
    """Let the file import its neighbours, as it would when run as a script."""
    folder = str(path.resolve().parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        if folder in sys.path:
            sys.path.remove(folder)


def _import(path: Path) -> Any:
    # A name of its own: a user's random.py must not become everybody's `random`.
    name = f"_gantools_target_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look their module up here
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise GantoolsError(f"{path} cannot be imported: {_place(error, path)}") from error
    return module


def _place(error: Exception, path: Path) -> str:
    """Return the error in a line, with the last line of the user's own file that led to it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if Path(frame.filename).resolve() == path.resolve()]
    where = f" (line {own[-1].lineno} of {path.name})" if own else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}. For the traceback set GANTOOLS_TRACEBACK=1."


def _describe(result: Any) -> str:
    if isinstance(result, tuple):
        return f"a tuple of {', '.join(type(item).__name__ for item in result)}"
    return f"a {type(result).__name__}"
