"""A discriminator that tells all samples apart, from which the generator learns nothing."""

from collections.abc import Iterator

import numpy as np

from gantools.analysis.diagnosis.case import Case
from gantools.analysis.diagnosis.cures import constant_rates, with_fresh_weights, with_penalty, with_rates
from gantools.analysis.diagnosis.result import Advice, Finding

SURE = 0.02  # mean derivative of the discriminator's own loss by its scores


def discriminator_too_strong(case: Case) -> Iterator[Finding]:
    """Scores that separate every pair, a discriminator with nothing left to learn, and samples that come no nearer."""
    looks = case.walk.looks[len(case.walk.looks) // 2 :]
    player, rates = looks[-1].discriminator, constant_rates(case.optimizer)
    if player is None or not case.given or not case.pinned or case.walk.exploded:
        return
    told = min(look.confidence or 0.0 for look in looks)
    own = np.mean([float(look.pulls[player, kind].abs().mean()) for look in looks for kind in ("real", "fake")])
    slower = None if rates is None else with_rates(case.optimizer, {**rates, player: rates[player] / 10})
    found = case.best([with_penalty(case.optimizer, gamma) for gamma in (0.1, 1.0, 10.0)] + [slower])
    if found is None and own <= SURE:  # where its units are saturated, neither a penalty nor a rate moves them
        found = case.best([with_fresh_weights(case.optimizer, player, case.start)])
    if found is None and own > SURE:
        return
    words = f"it tells a real from a generated sample with probability {told:.4f} throughout, its own loss moves by "
    words += f"{own:.2g} for each unit of a score, and the samples come no nearer."
    line = "Damp the discriminator: a penalty on its gradient, or a lower rate."
    cost = "a discriminator that is held back learns fine details later."
    if found is not None and found[0].start is not None:
        line = f"Begin again with fresh weights of {player}: no penalty and no rate that was tried moves these."
        advice = (case.advised(*found, line, f"what {player} has learnt is lost."),)
    elif found is not None:
        advice = (case.advised(*found, line, cost),)
    else:
        cure = with_penalty(case.optimizer, 1.0) or slower
        effect = "its slope on the samples is bounded; a trial of these few steps does not show it yet."
        advice = (Advice(line, effect, cost, () if cure is None else cure.flags),)
    yield Finding("discriminator_too_strong", words, False, advice, player, harm=0.5 if found is None else 1 - found[1])
