"""Momentum that keeps players circling each other."""

from collections.abc import Iterator

from gantools.analysis.diagnosis.case import Case
from gantools.analysis.diagnosis.cures import momentum, without_momentum
from gantools.analysis.diagnosis.result import Finding


def momentum_too_high(case: Case) -> Iterator[Finding]:
    """Momentum of at least 1/2, a training that gets nowhere, and one that does without it."""
    beta = momentum(case.optimizer)
    if not case.given or beta < 0.5 or not case.stalled:
        return
    found = case.best([without_momentum(case.optimizer)])
    if found is None:
        return
    words = f"with momentum {beta:g} nothing is gained in {case.walk.steps} steps; the same steps without it do gain."
    line = "Set the momentum (beta1 of Adam) to 0."
    advice = case.advised(*found, line, "slower steps where one player's loss is ill-conditioned.")
    yield Finding("momentum_too_high", words, False, (advice,), harm=1.2 - found[1])
