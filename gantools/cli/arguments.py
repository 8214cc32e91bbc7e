"""Arguments that several commands take: a run or a user's file, and a checkpoint of a run."""

from typing import Annotated

import tyro

from gantools.runs.code.trust import CodeChoice

Where = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN|FILE.py:FUNCTION")]
Checkpoint = Annotated[
    str, tyro.conf.arg(help="which checkpoint of a run: last, all, or a step", metavar="last|STEP|all")
]

CODE_HELP = "where your file changed since the run stored a copy: go by the stored text, or by the file as it is now"
TRUST_HELP = "execute a file that the run brings along, though no command of yours did on this machine before"
Code = Annotated[CodeChoice | None, tyro.conf.arg(help=CODE_HELP)]
Trust = Annotated[bool, tyro.conf.arg(help=TRUST_HELP)]
