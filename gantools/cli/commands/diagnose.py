"""`gantools diagnose`: what is wrong with a training, whose fault it is, and the flag that cures it."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import tyro

from gantools import analysis
from gantools.board.live.looks import plain
from gantools.cli.arguments import Checkpoint, Code, Trust, Where
from gantools.cli.flags import parse_train
from gantools.cli.terminal import wrapped
from gantools.data.random_state import random_state_kept, seed_global_generators
from gantools.errors import GantoolsError
from gantools.runs.config import require_positive
from gantools.runs.experiment import Experiment, build, set_threads
from gantools.runs.load import load
from gantools.runs.store.atomic import write_atomically
from gantools.runs.store.folder import RunFolder
from gantools.runs.store.progress import Working
from gantools.runs.user_file import is_target, own_errors


@dataclasses.dataclass
class DiagnoseArguments:
    """What is wrong with a training, whose fault it is, and the flag that cures it; of a run, or of a file of yours.

    After FILE.py:FUNCTION come the flags of `gantools train`: the training that they describe is diagnosed.

    Attributes:
        where: a run folder, or FILE.py:FUNCTION returning (game, batches).
        json: file to write everything to.
        follow: steps of the optimizer to follow at most.
        seconds: about how long to take at most; eigenvalues come after it.
    """

    where: Where
    json: Path | None = None
    follow: int = 1000
    seconds: float = 45.0
    checkpoint: Checkpoint = "last"
    device: str = "auto"
    code: Code = None
    trust: Trust = False


OWN = ("--json", "--follow", "--seconds")


def run(argv: list[str]) -> int:
    """Print findings with evidence and advice, and what the spectrum says; write them as JSON where asked to."""
    target = next((word for word in argv if is_target(word)), None)
    own, rest = _parted(argv) if target is not None else (argv, [])
    words = [target, *own] if target is not None else own
    args = tyro.cli(DiagnoseArguments, args=words, prog="gantools diagnose")
    require_positive(follow=args.follow)
    if not args.seconds > 0:
        raise GantoolsError(f"--seconds {args.seconds} is no time: give a positive number.")
    if target is not None:
        config = parse_train(rest, prog="gantools diagnose").config
        with random_state_kept():
            seed_global_generators(config.seed)
            experiment, batches = _own(config)
        name, kept = target, None
    else:
        opened = load(args.where, device=args.device, code=args.code, trust=args.trust)
        opened = next(iter(opened.each(opened.chosen_steps(args.checkpoint))))
        experiment, batches, target = opened.experiment, opened.batches, opened.config.target
        name = f"{opened.path.name}, step {opened.step}"
        kept = RunFolder(opened.path).diagnosis
    set_threads(experiment.game, experiment.config.threads)
    working = Working()
    try:
        with own_errors(target):
            found = analysis.diagnose(
                experiment.game,
                batches,
                experiment.optimizer,
                steps=args.follow,
                seconds=args.seconds,
                progress=working,
            )
    finally:
        working.close()
    print(f"{name}: {found.steps} steps of {experiment.config.optimizer.name} followed, {found.seconds:.0f} s\n")
    print("\n".join(wrapped(line, 5) for line in str(found).splitlines()))
    whole = {"subject": name, **found.to_dict()}
    if args.json is not None:
        _write(args.json, whole)
        print(f"\nJSON: {args.json}")
    if kept is not None:
        _keep(kept, whole)
    return 0


def _keep(path: Path, content: dict[str, Any]) -> None:
    """Write what is found into the run, for its report; a run that cannot be written to stays as it is."""
    try:
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, _text(content))
    except OSError:
        return
    print(f"\nin the run's report: gantools report {path.parent.parent}")


def _own(config: Any) -> tuple[Experiment, Any]:
    experiment = build(config)
    return experiment, experiment.batches


def _parted(argv: list[str]) -> tuple[list[str], list[str]]:
    """Return the words of this command's own flags, and those of `gantools train`, its target among them."""
    own: list[str] = []
    rest: list[str] = []
    words = iter(argv)
    for word in words:
        flag, equals, _ = word.partition("=")
        if flag not in OWN:
            rest.append(word)
        elif equals:
            own.append(word)
        else:
            own += [word, *([value] if (value := next(words, None)) is not None else [])]
    return own, rest


def _text(content: dict[str, Any]) -> bytes:
    return (json.dumps(plain(content), indent=2, allow_nan=False) + "\n").encode()


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write a file of JSON; numbers that JSON does not have become null."""
    try:
        write_atomically(path, _text(content))
    except OSError as error:
        raise GantoolsError(f"--json {path} cannot be written ({error.strerror}): choose another file.") from None
