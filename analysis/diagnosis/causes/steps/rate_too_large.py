"""Learning rates beyond what the game's curvature bears."""

from collections.abc import Iterator

import numpy as np

from gantools.analysis.diagnosis.case import Case
from gantools.analysis.diagnosis.cures import constant_rates, with_rates
from gantools.analysis.diagnosis.result import Finding


def rate_too_large(case: Case) -> Iterator[Finding]:
    """Steps that run away or bounce, and do neither at a third, a tenth, a hundredth or a thousandth of the rates."""
    rates = constant_rates(case.optimizer)
    if not case.given or rates is None or not case.stalled:
        return
    bounce = float(np.median(case.walk.turns)) if case.walk.steps else 1.0
    # Of rates that do about as well the lowest: the largest stable one has no margin for what comes later.
    cures = [with_rates(case.optimizer, {p: r / k for p, r in rates.items()}) for k in (1000, 100, 10, 3)]
    found = case.best(cures)
    if found is None or found[1] > 0.98:
        return
    far = case.walk.distances if case.walk.by_samples else None
    if case.walk.failed is not None:
        words = f"the players are no longer finite at step {case.walk.failed}; at a lower rate they stay so."
    elif case.walk.exploded:
        words = f"the field grows {case.walk.field.max() / case.walk.field[0]:.2g} times in {case.walk.steps} steps"
        words += f", the distance to the data {far[-1] / far[0]:.2g} times." if far is not None else "."
    else:
        words = f"nothing is gained in {case.walk.steps} steps, the cosine between steps in succession is {bounce:.2f},"
        words += " and lower rates do gain."
    advice = case.advised(*found, "Lower the learning rates.", "training takes as many times longer.")
    yield Finding("rate_too_large", words, False, (advice,), harm=1 - found[1])
