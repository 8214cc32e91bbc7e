"""Learning rates at which a training hardly moves."""

from collections.abc import Iterator

from gantools.analysis.diagnosis.case import Case
from gantools.analysis.diagnosis.cures import constant_rates, with_rates
from gantools.analysis.diagnosis.result import Finding

STRAIGHT = (
    0.7  # share of a way's length that is distance from its start, as of tiny steps, which neither turn nor bounce
)


def rate_too_small(case: Case) -> Iterator[Finding]:
    """Steps that go straight on and get nowhere, and arrive somewhere at 10, 100 or 1000 times the rates."""
    rates = constant_rates(case.optimizer)
    if not case.given or rates is None or case.walk.steps < 50 or case.walk.exploded or not case.stalled:
        return
    if case.walk.straight < STRAIGHT:
        return
    # Of rates that do about as well the lowest: it is the nearest to what was meant.
    found = case.best([with_rates(case.optimizer, {p: k * r for p, r in rates.items()}) for k in (10, 100, 1000)])
    if found is None:
        return
    words = (
        f"nothing is gained in {case.walk.steps} steps that go straight on ({case.walk.straight:.0%} of their length "
    )
    words += "is distance from the start); higher rates do gain."
    cost = "steps that are too large run away within the first hundreds: look at the losses."
    advice = case.advised(*found, "Raise the learning rates.", cost)
    yield Finding("rate_too_small", words, False, (advice,), harm=1 - found[1])
