"""The page with which a training run ends: what was trained, what its spectra say, and what to look at next."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from gantools import analysis
from gantools.cli.analysed import verdict
from gantools.cli.terminal import command, wrapped
from gantools.games.game import Game
from gantools.runs.config import Choice, TrainConfig
from gantools.runs.looks import UPDATE
from gantools.runs.training_loop import Outcome

Spectra = Mapping[str, analysis.Spectrum]
WIDTH = 100


def page(outcome: Outcome, config: TrainConfig, game: Game) -> str:
    """Return the report of a run in about twenty lines; what was not measured is left out.

    Args:
        outcome: of the run.
        config: its configuration.
        game: what was trained.
    """
    folder, gradient = outcome.folder, plain(len(game.slices))
    done = f"{'Stopped' if outcome.stopped_by else 'Done'}: {outcome.step} steps, {outcome.seconds:.0f} s."
    measured = ", ".join(f"{name.replace('_', ' ')} {value:.3g}" for name, value in outcome.metrics.items())
    told = {
        "trained": about_training(config, game),
        "metrics": measured,
        "spectrum": about_spectrum(outcome.spectra),
        "update": about_step(outcome.spectra, config.optimizer),
        "instead": about_gradient_descent(outcome.spectra, gradient),
    }
    lines = [f"\n{done}"]
    lines += [f"  {wrapped(f'{label:<11}{text}', 13, WIDTH - 2)}" for label, text in told.items() if text]
    for label, files in (("samples", folder.samples), ("spectra", folder.spectra)):
        newest = max(files.glob("*.png"), default=None)
        if newest:
            lines.append(f"  {label:<11}{newest}")
    lines += ["", "Next:", f"  {command('board', folder.path)}"]
    lines += [f"  {command('report', folder.path)}"] if any(folder.spectra.glob("*.npz")) else []
    lines += [f"  {command('spectrum', folder.path, '--which', 'SR')}", f"  {command('diagnose', folder.path)}"]
    if outcome.stopped_by or outcome.step < config.steps:
        lines += ["Go on with it:", f"  {command('train', '--resume', '--out', folder.path)}"]
    return "\n".join(lines)


def plain(players: int) -> str:
    """Return the name of the plainest method of so many players: all descend at once."""
    return "simultaneous gradient descent" if players > 1 else "gradient descent"


def method(optimizer: Choice) -> str:
    """Return the method's name, with that of its base rule."""
    base = optimizer.settings.get("base")
    return optimizer.name + (f" over {base.name}" if isinstance(base, Choice) else "")


def about_training(config: TrainConfig, game: Game) -> str:
    """Return what was trained: the data, the players with their sizes, and the method."""
    players = ", ".join(f"{player} {part.stop - part.start}" for player, part in game.slices.items())
    on = config.target or config.data.name
    return f"{on} with {method(config.optimizer)}; parameters: {players}."


def about_step(spectra: Spectra, optimizer: Choice) -> str:
    """Return what the eigenvalues of the trained method's own step say; empty where they were not computed."""
    if (update := spectra.get(UPDATE)) is None:
        return ""
    parameters = min(s.n for s in spectra.values())  # the game's own spectra have no more entries than these
    memory = ", memory included" if update.n > parameters else ""
    return f"One more step of {method(optimizer)} on a fixed batch{memory}: {verdict(update)}"


class _Found(NamedTuple):
    """What the spectra of the game itself show: real parts by end, and the verdict of each search."""

    ends: Sequence[tuple[str, float]]
    verdicts: Sequence[analysis.Stability]
    whole: bool


def _found(spectra: Spectra) -> _Found | None:
    own = {tag.rpartition("/")[2]: s for tag, s in spectra.items() if tag != UPDATE and s.converged.any()}
    if not own:
        return None
    whole = own.get("jacobian")
    if whole is not None:
        real = whole.values.real[whole.converged]
        ends = [("smallest", float(real.min())), ("largest", float(real.max()))]
    else:
        sought = (("smallest", own.get("SR")), ("largest", own.get("LR")))
        ends = [(name, float(s.values.real[0])) for name, s in sought if s is not None and s.converged[0]]
    return _Found(ends, [analysis.stability(s) for s in own.values()], whole is not None)


def about_spectrum(spectra: Spectra) -> str:
    """Return both ends of the spectrum of the game's Jacobian, and what it does there; empty without one."""
    if (found := _found(spectra)) is None:
        return ""
    repel, turning = max(v.repelling for v in found.verdicts), max(v.rotation for v in found.verdicts)
    search = {} if found.whole else {"smallest": " (SR)", "largest": " (LR)"}
    words = [f"{value:.3g} is the {name} real part{search.get(name, '')}" for name, value in found.ends]
    among = "" if found.whole else " of those computed"
    words.append(f"{repel or 'none'}{among} {'repel' if repel > 1 else 'repels'}")
    turns = ""
    if math.isinf(turning):
        turns = " Some directions only rotate."
    elif turning > 1:
        turns = f" The fastest rotation is {turning:.3g} radians while the distance changes by a factor e."
    return f"Eigenvalues of the game's Jacobian (positive real parts attract): {', '.join(words)}.{turns}"


def about_gradient_descent(spectra: Spectra, name: str) -> str:
    """Return what the plainest method would do from the same weights, and its largest stable rate; empty if unknown."""
    if (found := _found(spectra)) is None:
        return ""
    head = f"From the same weights {name}"
    rates = [v.max_lr for v in found.verdicts if v.max_lr is not None]
    if 0.0 in rates:
        return f"{head} would drift away along what repels or only rotates: it has no stable learning rate."
    if not found.whole and "smallest" not in dict(found.ends):
        return f"{head} is undecided: the search for the smallest real part did not converge."
    undecided = sum(v.undecided for v in found.verdicts)
    if not rates or undecided:
        most = f", and stable at most below a learning rate of {min(rates):.3g}" if rates else ""
        return f"{head} is undecided: some eigenvalues are within their error of the border{most}."
    if found.whole:
        return f"{head} would converge, for learning rates below {min(rates):.3g}."
    return f"{head} can converge for learning rates below {min(rates):.3g} only, as far as eigenvalues were computed."
