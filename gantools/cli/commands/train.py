"""`gantools train`: train a GAN or a user's game, and print where its results are."""

import json
from pathlib import Path

from gantools.cli.closing import page
from gantools.cli.flags import TrainRequest, parse_train
from gantools.data.random_state import random_state_kept, seed_global_generators
from gantools.runs.beginning import last_checkpoint
from gantools.runs.code.stored import Code
from gantools.runs.code.trust import chosen_code, remember
from gantools.runs.config import TrainConfig
from gantools.runs.experiment import build
from gantools.runs.processes import Processes, joined
from gantools.runs.store.atomic import new_folder
from gantools.runs.store.folder import RunFolder
from gantools.runs.store.progress import tell
from gantools.runs.training_loop import prepare
from gantools.runs.user_file import target_code


def run(argv: list[str]) -> int:
    """Train, and print a report of the run."""
    request = parse_train(argv)
    config = request.config
    if request.resume and config.target in argv:  # the user names the file, so it is trusted as it is now
        remember(target_code(config.target), config.target.rpartition(":")[2])
    if request.dry_run:
        with random_state_kept():
            seed_global_generators(config.seed)
            build(config, code=_code(request))  # what cannot be built is refused here too
        print(json.dumps(config.to_dict(), indent=2))
        return 0
    if request.copies > 1:
        return _train_copies(request)
    with joined() as processes:
        if processes and processes.rank:
            processes.follow()
            return 0
        return _train(request, processes)


def _path(config: TrainConfig, out: Path | None) -> tuple[str, Path]:
    """Return what is trained, and the folder of the run or of the runs."""
    what = Path(config.target.rpartition(":")[0]).stem if config.target else config.data.name
    return what, out or new_folder(f"{Path(what.rpartition(':')[2]).stem}-{config.optimizer.name}")


def _train_copies(request: TrainRequest) -> int:
    from gantools.cli.copies import train_copies  # most runs are of one seed

    return train_copies(request.config, _path(request.config, request.out)[1], request.copies)


def _train(request: TrainRequest, processes: Processes | None) -> int:
    config = request.config
    what, path = _path(config, request.out)
    trainer = prepare(config, path, request.resume, request.code, request.trust, processes)
    n = trainer.experiment.game.num_parameters
    steps = f"from step {trainer.first} to step {config.steps}" if trainer.first else f"for {config.steps} steps"
    tell(f"Training {what} ({n} parameters) with {config.optimizer.name} {steps}; run folder {path}")
    source = trainer.experiment.source
    if source is not None and source.note:
        tell(f"Data {source.name}: {source.note}")
    outcome = trainer.run()
    print(page(outcome, config, trainer.experiment.game))
    return 0 if outcome.stopped_by is None else 128 + outcome.stopped_by


def _code(request: TrainRequest) -> Code | None:
    """Return the code that a resumed run would go on with."""
    if not (request.resume and request.out):
        return None
    folder = RunFolder(request.out)
    return chosen_code(last_checkpoint(folder, request.config).record, folder.code, request.code, request.trust)
