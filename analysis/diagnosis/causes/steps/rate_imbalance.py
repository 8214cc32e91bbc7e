"""Learning rates of the players that are far apart."""

from collections.abc import Iterator

from gantools.analysis.diagnosis.case import Case
from gantools.analysis.diagnosis.cures import constant_rates, with_rates
from gantools.analysis.diagnosis.result import Advice, Finding

APART, FAR_APART = 10.0, 30.0


def rate_imbalance(case: Case) -> Iterator[Finding]:
    """Rates 10 times apart, a training that gets nowhere, and one that does with equal rates."""
    rates = constant_rates(case.optimizer)
    if not case.given or rates is None or len(rates) < 2 or not case.stalled:
        return
    low, high = min(rates.values()), max(rates.values())
    if not low > 0 or high < APART * low:
        return
    equal = [dict.fromkeys(rates, rate) for rate in ((low * high) ** 0.5, low, high)]
    found = case.best([with_rates(case.optimizer, one) for one in equal])
    if found is None and not (case.pinned and high >= FAR_APART * low):
        return
    fast = max(rates, key=lambda player: rates[player])
    words = f"the rate of {fast}, {high:.3g}, is {high / low:.3g} times the other's, and nothing is gained."
    line, cost = "Give the players equal rates.", "the faster player moves more slowly."
    if found is not None:
        advice = case.advised(*found, line, cost)
    else:
        cure = with_rates(case.optimizer, equal[0])
        effect = "the discriminator, which tells every pair apart, waits; these few steps do not show it yet."
        advice = Advice(line, effect, cost, cure.flags)
    harm = 0.6 if found is None else 1.2 - found[1]
    yield Finding("rate_imbalance", words, False, (advice,), fast, harm=harm)
