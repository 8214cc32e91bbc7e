"""Terms of a loss of far different weight: a penalty that outweighs the objective, an adversarial term the rest."""

from collections.abc import Iterator

import numpy as np

from gantools.analysis.diagnosis.case import Case
from gantools.analysis.diagnosis.cures import with_lighter_penalties
from gantools.analysis.diagnosis.observation import Observation
from gantools.analysis.diagnosis.result import Advice, Finding

HEAVY = 10.0
FLAT = 0.02  # difference of mean scores that is none
ROUNDING = 1e-5  # share of a gradient that is none
COST = "too light a penalty lets the players rotate: `gantools diagnose` names it."


def penalty_scale(case: Case) -> Iterator[Finding]:
    """A penalty, or an adversarial term, that outweighs what it accompanies, before anything runs away."""
    looks = case.walk.sound
    if not looks:
        return
    yield from _penalty(case, looks)
    yield from _generator(case, looks)


def _penalty(case: Case, looks: list[Observation]) -> Iterator[Finding]:
    """A penalty that outweighs the objective in the discriminator's gradient, or holds the scores all equal."""
    player = looks[-1].discriminator
    pairs = _pairs(looks, player)
    if not any(beside > 1e-3 * through for beside, through in pairs):
        return
    ratio = float(np.median([beside / through if through else np.inf for beside, through in pairs]))
    gaps = [abs(float(s.real_scores.mean() - s.fake_scores.mean())) for s in looks[len(looks) // 2 :]
            if s.real_scores is not None and s.fake_scores is not None]  # fmt: skip
    apart = looks[-1].distance is not None and looks[-1].distance > 0.5 * (looks[0].distance or 0) > 0
    flat = bool(gaps) and max(gaps) < FLAT and apart and case.walk.steps >= 100 and ratio > 0.3
    if not (ratio > HEAVY or flat):
        return
    found = case.best([with_lighter_penalties(case.optimizer, 0.01)]) if case.given else None
    if found is None and not case.stalled:
        return
    words = f"the gradient of the discriminator's penalty is {ratio:.2g} times that of its objective"
    words += f", and mean scores of real and generated samples differ by at most {max(gaps):.2g}." if flat else "."
    line = "Divide the penalty's weight by 100 and look again; R1 and R2 mostly need a gamma between 0.1 and 10, a "
    line += "WGAN's penalty about 10, on data of unit scale."
    if found is not None:
        effect = case.advised(*found, line, COST).effect
        advice = Advice(line, effect, COST, tried=True)
    else:
        advice = Advice(line, "the discriminator follows its objective, and the generator has a gradient.", COST)
    yield Finding("penalty_scale", words, ratio > HEAVY, (advice,), player)


def _generator(case: Case, looks: list[Observation]) -> Iterator[Finding]:
    """A generator's adversarial term and the other terms of its loss, of which one drowns the other.

    The adversarial one leads away from the data, the others leave the samples still, far from the data.
    """
    player, walk = looks[-1].generator, case.walk
    pairs = _pairs(looks, player)
    if walk.no_nearer and (ratio := _outweighs([(through, beside) for beside, through in pairs])):
        words = f"the gradient of the adversarial term of {player} is {ratio:.2g} times that of the other terms of its "
        words += "loss, and its samples are no nearer to the data than at the start."
        advice = Advice(
            f"Divide the weight of the adversarial term in the loss of {player} by {10 * ratio:.0e}, or set "
            "it at every step to 0.1 times the ratio of the two gradients' norms at the last layer; let it begin when "
            "the discriminator has learnt.",
            "the other terms keep what was learnt, and the adversarial one adds detail.",
            "too light a term leaves samples blurred: raise it again.",
        )
        yield Finding("penalty_scale", words, ratio > 3 * HEAVY, (advice,), player)
    if walk.plateau and not walk.exploded and (ratio := _outweighs(pairs)):
        words = f"the gradient of the other terms of the loss of {player} is {ratio:.2g} times that of the adversarial "
        words += "one, and its samples stand still far from the data."
        advice = Advice(
            f"Divide the weight of the other terms in the loss of {player} by {ratio:.0e}, or compare features of a "
            "sample in place of its values.",
            "the discriminator has a say: samples differ where the data do.",
            "samples follow what they are compared with less closely.",
        )
        # What a lower rate cures as well is the rate's; a discriminator that is sure of all samples, this one's.
        yield Finding("penalty_scale", words, False, (advice,), player, harm=0.55)


def _outweighs(pairs: list[tuple[float, float]]) -> float:
    """Return the median ratio of the first gradient's norm to the second's, 0 where it is below `HEAVY`.

    So it is where the second is nothing but rounding at every look: there is no such term.
    """
    if not any(light > ROUNDING * heavy for heavy, light in pairs):
        return 0.0
    ratio = float(np.median([heavy / light if light else np.inf for heavy, light in pairs]))
    return ratio if ratio >= HEAVY else 0.0


def _pairs(looks: list[Observation], player: str | None) -> list[tuple[float, float]]:
    return [found for look in looks if player is not None and (found := look.balance.get(player)) is not None]
