"""Arguments that several commands take: a run or a user's file, and a checkpoint of a run."""

from typing import Annotated

import tyro

Where = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|FILE.py:FUNCTION")]
Checkpoint = Annotated[
    str, tyro.conf.arg(help="which checkpoint of a run: last, all, or a step", metavar="last|STEP|all")
]
