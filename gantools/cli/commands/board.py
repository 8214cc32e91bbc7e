"""`gantools board`: TensorBoard on a folder of runs."""

import dataclasses
import threading
from pathlib import Path
from typing import Annotated

import tyro

from gantools import board


@dataclasses.dataclass
class BoardArguments:
    """TensorBoard on 127.0.0.1 for a folder of runs, until Ctrl-C.

    Attributes:
        dir: a run, or the folder that holds your runs.
        port: by default the first free one from 6006 on.
    """

    dir: Annotated[Path, tyro.conf.Positional] = Path("runs")
    port: int | None = None


def run(argv: list[str]) -> int:
    """Serve TensorBoard until interrupted."""
    args = tyro.cli(BoardArguments, args=argv, prog="gantools board")
    address = board.serve(args.dir, args.port)
    print(f"TensorBoard: {address}   (Ctrl-C to stop)", flush=True)
    threading.Event().wait()
    return 0
