"""`gantools train`: train a GAN or a user's game, and print where its results are."""

import json
from pathlib import Path

from gantools.cli.closing import about_game, about_step
from gantools.cli.flags import TrainRequest, parse_train
from gantools.cli.terminal import command, wrapped
from gantools.data.random_state import random_state_kept, seed_global_generators
from gantools.runs.beginning import last_checkpoint
from gantools.runs.code.stored import Code
from gantools.runs.code.trust import chosen_code, remember
from gantools.runs.config import Choice
from gantools.runs.experiment import build
from gantools.runs.processes import Processes, joined
from gantools.runs.store.atomic import new_folder
from gantools.runs.store.folder import RunFolder
from gantools.runs.store.progress import tell
from gantools.runs.training_loop import Outcome, prepare
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
    with joined() as processes:
        if processes and processes.rank:
            processes.follow()
            return 0
        return _train(request, processes)


def _train(request: TrainRequest, processes: Processes | None) -> int:
    config = request.config
    what = Path(config.target.rpartition(":")[0]).stem if config.target else config.data.name
    path = request.out or new_folder(f"{Path(what.rpartition(':')[2]).stem}-{config.optimizer.name}")
    trainer = prepare(config, path, request.resume, request.code, request.trust, processes)
    n = trainer.experiment.game.num_parameters
    steps = f"from step {trainer.first} to step {config.steps}" if trainer.first else f"for {config.steps} steps"
    tell(f"Training {what} ({n} parameters) with {config.optimizer.name} {steps}; run folder {path}")
    source = trainer.experiment.source
    if source is not None and source.note:
        tell(f"Data {source.name}: {source.note}")
    outcome = trainer.run()
    print(summary(outcome, config.steps, config.optimizer))
    return 0 if outcome.stopped_by is None else 128 + outcome.stopped_by


def _code(request: TrainRequest) -> Code | None:
    """Return the code that a resumed run would go on with."""
    if not (request.resume and request.out):
        return None
    folder = RunFolder(request.out)
    return chosen_code(last_checkpoint(folder, request.config).record, folder.code, request.code, request.trust)


def summary(outcome: Outcome, steps: int, optimizer: Choice) -> str:
    """Return the report of a finished run: its last measurements, its files, and the commands that open them."""
    folder = outcome.folder
    lines = [f"\n{'Stopped' if outcome.stopped_by else 'Done'}: {outcome.step} steps, {outcome.seconds:.0f} s."]
    if outcome.metrics:
        numbers = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in outcome.metrics.items())
        lines.append("  metrics    " + wrapped(numbers, 13))
    for label, sentences in (
        ("step", about_step(outcome.spectra, optimizer)),
        ("game", about_game(outcome.spectra)),
    ):
        if sentences:
            lines.append(f"  {label:<10} {wrapped(sentences, 13)}")
    for label, files in (("samples", folder.samples), ("spectra", folder.spectra)):
        newest = max(files.glob("*.png"), default=None)
        if newest:
            lines.append(f"  {label:<10} {newest}")
    lines += ["", "Look at it:", f"  {command('board', folder.path)}"]
    lines += [f"  {command('spectrum', folder.path, '--which', 'SR')}"]
    if outcome.stopped_by or outcome.step < steps:
        lines += ["Go on with it:", f"  {command('train', '--resume', '--out', folder.path)}"]
    return "\n".join(lines)
