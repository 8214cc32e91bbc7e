"""gantools: train a GAN with a game optimizer, look at its spectrum, count what attracts and what repels."""

import importlib
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress

from gantools.errors import GantoolsError
from gantools.registry import suggest
from gantools.signals import Stopped, ended_by_signals

# One line each; the functions are imported on use, so that `gantools --help` does not wait for torch.
COMMANDS = {
    "train": "train a GAN, or a game of your own file, with a game optimizer",
    "sample": "samples of a run's generator, as a picture and as .npy",
    "diagnose": "what is wrong with a training, whose fault it is, and the flag that cures it",
    "spectrum": "eigenvalues of the Jacobian of a run or of FILE.py:FUNCTION, with a verdict",
    "index": "negative, zero and positive fractions of the Hessian of any model or run",
    "density": "how all eigenvalues of the Hessian of any model or run are distributed, with bounds",
    "path": "the field of a run between two checkpoints: does it lead to the last one, or circle it?",
    "compare": "optimizers side by side on one game: rates predicted and observed, cost, quality",
    "board": "TensorBoard on a folder of runs",
    "report": "the spectra of a run, or of several, as one HTML file",
    "list": "what can be chosen: optimizers, losses, data, networks, activations, regularizers, schedules, ...",
}

HELP = """usage: gantools [-h] [--version] COMMAND ...

{summary}

commands:
{commands}

`gantools COMMAND --help` shows the arguments and defaults of each. To begin:

  gantools train --optimizer consensus       on the handwritten digits of scikit-learn
  gantools board runs                        watch the eigenvalues move
  gantools index model.py:build              of any model: build() returns (game, batches)
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 2 for what a sentence explains, 128 + n after signal n."""
    _open_streams()
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help"):
        width = max(map(len, COMMANDS)) + 2
        commands = "\n".join(f"  {name:<{width}}{text}" for name, text in COMMANDS.items())
        print(HELP.format(summary=__doc__, commands=commands), end="")
        return 0
    if args[0] == "--version":
        print(importlib.import_module("gantools.cli.versions").versions())
        return 0
    received: list[int] = []
    try:
        with ended_by_signals() as received:
            code = _command(args[0])(args[1:])
        sys.stdout.flush()
        return code
    except GantoolsError as error:
        if os.environ.get("GANTOOLS_TRACEBACK"):
            raise
        return _failed(str(error))
    except KeyboardInterrupt as stop:
        number = stop.number if isinstance(stop, Stopped) else received[0] if received else signal.SIGINT
        name = "interrupted" if number == signal.SIGINT else f"stopped by {signal.Signals(number).name}"
        return _failed(f"{name}; what was finished before is kept", 128 + number)
    except OSError as error:
        _discard_output()
        if isinstance(error, BrokenPipeError):  # the reader of our output, `head` say, has seen enough
            return 0
        if os.environ.get("GANTOOLS_TRACEBACK"):
            raise
        what = "the standard output" if error.filename is None else os.fspath(error.filename)
        return _failed(f"{what} cannot be used ({error.strerror or error}): make room, or mend its permissions.")


def _failed(sentence: str, code: int = 2) -> int:
    with suppress(OSError):
        print(f"gantools: {sentence}", file=sys.stderr, flush=True)
    return code


def _open_streams() -> None:
    """Open the standard streams that are closed (`2>&-`), so that no file of ours gets their number; print any path."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w" if number else "r"))  # noqa: SIM115 - for as long as we run
        elif getattr(stream, "errors", "") == "strict" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    """Let what is still to be printed go nowhere: else Python complains when it ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _command(name: str) -> Callable[[list[str]], int]:
    """Return the function of a command: `run` in the module of its name."""
    if name not in COMMANDS:
        raise suggest("command", name, COMMANDS)
    module = "listing" if name == "list" else name
    return importlib.import_module(f"gantools.cli.commands.{module}").run
