"""Training of an entry exactly as `gantools train` does it, and the measure of its health afterwards."""

import dataclasses
import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path

from zoo.entry import Entry

from gantools.cli.flags import parse_train
from gantools.errors import NonFiniteFieldError
from gantools.runs.training_loop import prepare

QUIET = shlex.split("--spectrum-every 0 --sample-every 0 --checkpoint-every 0 --log-every 100 --device cpu --threads 1")


@dataclasses.dataclass(frozen=True)
class Health:
    """Health of a trained game: the measure's number, whether it is well, and the error that ended training, if any."""

    value: float
    well: bool
    error: str = ""


def trained(entry: Entry, seed: int, flags: Sequence[str] | None = None, function: str | None = None) -> Health:
    """Train the entry, with other flags or a changed game where they are given, and measure its health."""
    chosen = shlex.split(entry.flags) if flags is None else list(flags)
    with tempfile.TemporaryDirectory() as folder:
        request = parse_train([entry.path(function), *chosen, *QUIET, "--seed", str(seed)])
        trainer = prepare(request.config, Path(folder) / "run")
        try:
            trainer.run()
        except NonFiniteFieldError as error:
            return Health(float("inf"), False, str(error).split(";")[0])
        value = entry.measure(trainer.experiment.game, trainer.experiment.batches)
    return Health(value, value <= entry.measure.limit)
