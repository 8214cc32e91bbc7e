"""A penalty far heavier than the objective that it accompanies."""

from collections.abc import Iterator

import numpy as np

from gantools.analysis.diagnosis.case import Case
from gantools.analysis.diagnosis.result import Advice, Finding

HEAVY = 10.0
FLAT = 0.02  # difference of mean scores that is none


def penalty_scale(case: Case) -> Iterator[Finding]:
    """A penalty that outweighs the objective in the discriminator's gradient, or holds the scores all equal."""
    looks = case.walk.looks[len(case.walk.looks) // 2 :]
    pairs = [look.penalty for look in looks if look.finite]
    if not pairs or not case.stalled or not any(beside > 1e-3 * through for beside, through in pairs):
        return
    ratio = float(np.median([beside / through if through else np.inf for beside, through in pairs]))
    gaps = [abs(float(s.real_scores.mean() - s.fake_scores.mean())) for s in looks
            if s.real_scores is not None and s.fake_scores is not None]  # fmt: skip
    apart = looks[-1].distance is not None and looks[-1].distance > 0.5 * (looks[0].distance or 0) > 0
    flat = bool(gaps) and max(gaps) < FLAT and apart and case.walk.steps >= 100 and ratio > 0.3
    if not (ratio > HEAVY or flat):
        return
    words = f"the gradient of the discriminator's penalty is {ratio:.2g} times that of its objective"
    words += f", and mean scores of real and generated samples differ by at most {max(gaps):.2g}." if flat else "."
    advice = Advice(
        "Divide the penalty's weight by 100 and look again; R1 and R2 mostly need a gamma between 0.1 and 10, a WGAN's "
        "penalty about 10, on data of unit scale.",
        "the discriminator follows its objective, and the generator has a gradient.",
        "too light a penalty lets the players rotate: `gantools diagnose` names it.",
    )
    yield Finding("penalty_scale", words, ratio > HEAVY, (advice,), looks[-1].discriminator)
