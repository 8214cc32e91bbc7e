"""A user's own game: FILE.py:FUNCTION, a function that returns (game, batches)."""

import dataclasses
import importlib.util
import inspect
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gantools.errors import GantoolsError, out_of_memory, two_devices
from gantools.games.game import Game
from gantools.registry import suggest
from gantools.regularizers.base import Regularizer
from gantools.runs.code.stored import Code, importing, read_code

_executed: set[str] = set()  # users' files, as tracebacks name them


def is_target(text: str) -> bool:
    """Return whether the text names a function in a Python file rather than a run folder."""
    path, colon, _ = text.rpartition(":")
    return bool(colon) and path.endswith(".py") or text.endswith(".py")


@dataclasses.dataclass(frozen=True)
class Options:
    """What the command line chooses for a user's game.

    Attributes:
        loss: the name of an objective, or "" for the file's own.
        regularizers: instances, after the file's own.
    """

    loss: str = ""
    regularizers: tuple[Regularizer, ...] = ()


def load_target(spec: str, code: Code | None = None, options: Options | None = None) -> tuple[Game, Any]:
    """Execute the file, call the function, and return the game and the batches that it returns.

    An objective or regularizers that were chosen go to the function, where it has parameters `loss` or `regularizers`;
    else into the GAN that it returns, if `gantools.gan` made it.

    Args:
        spec: FILE.py:FUNCTION.
        code: the text of the file and its neighbours; by default as they are now.
        options: what was chosen for the game.

    Raises:
        GantoolsError: for a missing file or function, an error while it runs, or another result than (game, batches).
    """
    code = target_code(spec) if code is None else code
    function_name = spec.rpartition(":")[2]
    with importing(code):
        module = _import(code)
        if not callable(getattr(module, function_name, None)):
            functions = [k for k, v in vars(module).items() if callable(v) and not k.startswith("_")]
            raise suggest(f"function in {code.entry}", function_name, functions)
        function = getattr(module, function_name)
        chosen = {name: value for name, value in vars(options or Options()).items() if value}
        taken = {name: value for name, value in chosen.items() if name in inspect.signature(function).parameters}
        with own_errors(spec):
            result = function(**taken)
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], Game)):
        raise GantoolsError(
            f"{spec} returned {_describe(result)}: return (game, batches), where game comes from gantools.gan, "
            "gantools.minimization or gantools.Game, and batches is one batch or a list or DataLoader of them."
        )
    rest = {name: value for name, value in chosen.items() if name not in taken}
    return (_made_again(spec, result[0], **rest), result[1]) if rest else result


def _made_again(spec: str, game: Game, loss: str = "", regularizers: tuple[Regularizer, ...] = ()) -> Game:
    """Return a GAN with another objective and further regularizers; refuse a game that is not one of `gantools.gan`."""
    if game.recipe is None:
        flag, name = ("--loss", "loss") if loss else ("--regularizer", "regularizers")
        raise GantoolsError(
            f"{flag} does not apply to the game of {spec}, which gantools.gan did not make: give the function a "
            f"parameter {name}, and use it in the losses (gantools.losses.LOSSES, gantools.regularizers.regularized)."
        )
    again = game.recipe.game(loss or None, regularizers)
    again.metrics = game.metrics
    return again


def target_code(spec: str) -> Code:
    """Return the text of FILE.py:FUNCTION and its neighbours, as they are now.

    Raises:
        GantoolsError: for a text that names no function, and a file that is missing or cannot be read.
    """
    name, colon, function_name = spec.rpartition(":")
    if not colon or not function_name or not name.endswith(".py"):
        raise GantoolsError(
            f"{spec!r} names no function: write FILE.py:FUNCTION, a function that returns (game, batches)."
        )
    return read_code(Path(name).expanduser())


@contextmanager
def own_errors(spec: str | None) -> Iterator[None]:
    """Turn errors of a user's function, loss, module or data into a `GantoolsError`; without a spec, let them pass."""
    try:
        yield
    except GantoolsError:
        raise
    except (Exception, SystemExit) as error:
        if out_of_memory(error):
            raise GantoolsError("The device has too little memory: pass a smaller batch, or --device cpu.") from error
        if spec is None:
            raise
        raise GantoolsError(f"{spec} failed: {_place(error)}") from error


def _remedy(error: BaseException) -> str:
    """Return what to do about an error of a known kind, behind its text."""
    if not two_devices(error):
        return ""
    return (
        " Tensors that the file makes are on another device than the game: give --device cpu, or move your tensors to "
        "the game's device, in a loss by `tensor.to(x.device)`."
    )


def _import(code: Code) -> Any:
    # A name of its own: a user's random.py must not become everybody's `random`.
    name = f"_gantools_target_{Path(code.entry).stem}"
    spec = code.entry_spec(name)
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    _executed.add(code.entry_shown)
    sys.modules[name] = module  # dataclasses and pickle look their module up here
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise GantoolsError(f"{code.folder / code.entry} cannot be imported: {_place(error)}") from error
    return module


def _place(error: BaseException) -> str:
    """Return the error in a line, with the last line of a user's file that led to it."""
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename in _executed]
    where = f" (line {own[-1].lineno} of {Path(own[-1].filename).name})" if own else ""
    said = f"{type(error).__name__}: {' '.join(str(error).split())}{where}."
    return f"{said}{_remedy(error)} For the traceback set GANTOOLS_TRACEBACK=1."


def _describe(result: Any) -> str:
    if isinstance(result, tuple):
        return f"a tuple of {', '.join(type(item).__name__ for item in result)}"
    return f"a {type(result).__name__}"
