"""`gantools train`: train a GAN or a user's game, and print where its results are."""

import json
from pathlib import Path

from gantools.cli.analysed import verdict
from gantools.cli.flags import parse_train
from gantools.cli.terminal import command, wrapped
from gantools.data.random_state import random_state_kept, seed_global_generators
from gantools.runs.experiment import build
from gantools.runs.store.atomic import new_folder
from gantools.runs.training_loop import Outcome, prepare


def run(argv: list[str]) -> int:
    """Train, and print a report of the run."""
    request = parse_train(argv)
    config = request.config
    if request.dry_run:
        with random_state_kept():
            seed_global_generators(config.seed)
            build(config)  # what cannot be built is refused here too
        print(json.dumps(config.to_dict(), indent=2))
        return 0
    what = Path(config.target.rpartition(":")[0]).stem if config.target else config.data.name
    path = request.out or new_folder(f"{Path(what.rpartition(':')[2]).stem}-{config.optimizer.name}")
    trainer = prepare(config, path, request.resume)
    n = trainer.experiment.game.num_parameters
    steps = f"from step {trainer.first} to step {config.steps}" if trainer.first else f"for {config.steps} steps"
    print(f"Training {what} ({n} parameters) with {config.optimizer.name} {steps}; run folder {path}", flush=True)
    source = trainer.experiment.source
    if source is not None and source.note:
        print(f"Data {source.name}: {source.note}", flush=True)
    outcome = trainer.run()
    print(summary(outcome, config.steps))
    return 0 if outcome.stopped_by is None else 128 + outcome.stopped_by


def summary(outcome: Outcome, steps: int) -> str:
    """Return the report of a finished run: its last measurements, its files, and the commands that open them."""
    folder = outcome.folder
    lines = [f"\n{'Stopped' if outcome.stopped_by else 'Done'}: {outcome.step} steps, {outcome.seconds:.0f} s."]
    if outcome.metrics:
        numbers = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in outcome.metrics.items())
        lines.append("  metrics    " + wrapped(numbers, 13))
    if outcome.spectrum is not None:
        judged = "Of the Jacobian at the last step, for plain gradient steps: " + verdict(outcome.spectrum)
        lines.append("  spectrum   " + wrapped(judged, 13))
    for label, files in (("samples", folder.samples), ("spectra", folder.spectra)):
        newest = max(files.glob("*.png"), default=None)
        if newest:
            lines.append(f"  {label:<10} {newest}")
    lines += ["", "Look at it:", f"  {command('board', folder.path)}"]
    lines += [f"  {command('spectrum', folder.path, '--which', 'SR')}"]
    if outcome.stopped_by or outcome.step < steps:
        lines += ["Go on with it:", f"  {command('train', '--resume', '--out', folder.path)}"]
    return "\n".join(lines)
