"""The diagnosis of a training: every cause is looked for, stage by stage, within a budget of time."""

from __future__ import annotations

import time
import warnings
from typing import Any

import torch

from gantools.analysis.diagnosis.case import Case, Tell, untold
from gantools.analysis.diagnosis.causes import STAGES
from gantools.analysis.diagnosis.choice import chosen
from gantools.analysis.diagnosis.result import Diagnosis, Finding
from gantools.analysis.diagnosis.spectrum import sentences
from gantools.batches import each_batch
from gantools.errors import GantoolsError
from gantools.games.game import Game
from gantools.trainers.optimizer import GameOptimizer, make


def diagnose(
    game: Game,
    batches: Any,
    optimizer: GameOptimizer | None = None,
    *,
    steps: int = 1000,
    seconds: float = 45.0,
    spectrum: bool = True,
    progress: Tell = untold,
) -> Diagnosis:
    """Return what is wrong with a training, whose fault it is, and what cures it; or that nothing is.

    Real steps of the optimizer are followed on a copy of the players; where they get nowhere, candidate cures are tried
    from the same start, and what is advised first is what helped most. Parameters, buffers, the optimizer's state and
    PyTorch's random state are as before afterwards.

    Args:
        game: at the point to begin from.
        batches: one batch, or several in a list or a DataLoader, of which 32 are taken: the first ones, and of those
            that can be read in three seconds a few whose numbers stand out.
        optimizer: whose steps are judged. Without one, other causes are looked for, on steps of Adam.
        steps: how many steps to follow at most.
        seconds: about how long to take at most, longer on a busy machine; the spectrum comes after it.
        spectrum: whether to compute eigenvalues of the Jacobian.
        progress: called with what is being made ("steps"), how many are, and how many are planned at most.

    Raises:
        GantoolsError: for no batch, and an optimizer of another game.
    """
    game.layout.require_single()
    if optimizer is not None and optimizer.game is not game:
        raise GantoolsError("The optimizer moves another game: pass the one that it was made for.")
    numbered, order = chosen(each_batch(batches))
    if not numbered:
        raise GantoolsError("There are no batches: pass at least one.")
    given = optimizer is not None
    used = optimizer if optimizer is not None else make("alternating", game, lr=1e-3, base="adam")
    begun = time.perf_counter()
    case = Case(game, list(numbered.values()), used, given, steps, seconds, progress, list(numbered), order)
    with torch.random.fork_rng([game.device] if game.device.type == "cuda" else []), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        findings, undecided = _findings(case)
        said, numbers = ([], {})
        if spectrum and all(seen.finite for seen in case.first):
            said, numbers = sentences(game, case.batches[0], progress)
    numbers |= {"early": case.walk.early, "late": case.walk.late} if case.walk.steps else {}
    taken = time.perf_counter() - begun
    return Diagnosis(findings, undecided, tuple(said), numbers, case.walk.steps, taken)


def _findings(case: Case) -> tuple[tuple[Finding, ...], tuple[str, ...]]:
    found: list[Finding] = []
    for stage in STAGES:
        for cause in stage:
            found += cause(case)
        if any(finding.certain for finding in found):
            break
    found.sort(key=lambda finding: (not finding.certain, -finding.harm))
    return tuple(found), tuple(_undecided(case, found))


def _undecided(case: Case, found: list[Finding]) -> list[str]:
    said = []
    if not case.given:
        said.append("rates, momentum and rotation: no optimizer was given, so its steps were not judged.")
    if case.left < 1:
        said.append("some cures were not tried: the time was up; allow more seconds.")
    cut = case.walk.failed is None and case.walk.steps < case.steps
    if cut and case.stalled and any(not finding.certain for finding in found):
        said.append(
            f"the time allowed {case.walk.steps} of {case.steps} steps: in more of them the training may come nearer "
            "to its goal by itself; allow more seconds."
        )
    if not found and case.walk.exploded:
        when = f"at step {case.walk.failed}" if case.walk.failed else f"within {case.walk.steps} steps"
        said.append(f"the training runs away {when}, and no cause of it was found.")
    elif not found and case.stalled and case.given:
        said.append(
            f"in {case.walk.steps} steps the training comes no nearer to its goal, and no change that was tried does "
            "better: it may only be slow. Diagnose again from a later checkpoint, or with more steps."
        )
    return said
