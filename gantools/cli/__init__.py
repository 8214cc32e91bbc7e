"""gantools: train a GAN with a game optimizer, look at its spectrum, count what attracts and what repels."""

import importlib
import os
import sys
from collections.abc import Callable, Sequence

from gantools import __version__
from gantools.errors import GantoolsError
from gantools.registry import suggest

# One line each; the functions are imported on use, so that `gantools --help` does not wait for torch.
COMMANDS = {
    "train": "train a GAN, or a game of your own file, with a game optimizer",
    "sample": "samples of a run's generator, as a picture and as .npy",
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
    """Run the command line and return its exit code: 0, 2 for a mistake that a sentence explains, 130 after Ctrl-C."""
    args = list(sys.argv[1:] if argv is None else argv)
    if not args or args[0] in ("-h", "--help"):
        width = max(map(len, COMMANDS)) + 2
        commands = "\n".join(f"  {name:<{width}}{text}" for name, text in COMMANDS.items())
        print(HELP.format(summary=__doc__, commands=commands), end="")
        return 0
    if args[0] == "--version":
        print(f"gantools {__version__}")
        return 0
    try:
        return _command(args[0])(args[1:])
    except GantoolsError as error:
        if os.environ.get("GANTOOLS_TRACEBACK"):
            raise
        print(f"gantools: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("gantools: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, `head` say, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains when it flushes
        return 0


def _command(name: str) -> Callable[[list[str]], int]:
    """Return the function of a command: `run` in the module of its name."""
    if name not in COMMANDS:
        raise suggest("command", name, COMMANDS)
    module = "listing" if name == "list" else name
    return importlib.import_module(f"gantools.cli.commands.{module}").run
