"""A player that makes too many updates in its turn."""

from collections.abc import Iterator

from gantools.analysis.diagnosis.case import Case
from gantools.analysis.diagnosis.cures import with_updates
from gantools.analysis.diagnosis.result import Advice, Finding

MANY = 5  # updates a turn that are many whatever a short trial shows


def updates_too_often(case: Case) -> Iterator[Finding]:
    """Several updates a turn of one player, a training that gets nowhere, and one that does with one update."""
    counts = {name: int(getattr(case.optimizer, name, 1)) for name in ("n_d", "n_g")}
    most = max(counts, key=lambda name: counts[name])
    if not case.given or counts[most] < 3 or not case.stalled:
        return
    found = case.best([with_updates(case.optimizer, **{most: 1})])
    if found is None and not (case.pinned and most == "n_d" and counts[most] >= MANY):
        return
    player = "discriminator" if most == "n_d" else "generator"
    words = f"the {player} makes {counts[most]} updates a turn, and after {case.walk.steps} steps nothing is gained."
    line = f"Let the {player} make one update a turn."
    cost = "a critic that must be near its optimum (WGAN) follows more slowly."
    if found is not None:
        advice = case.advised(*found, line, cost)
    else:
        effect = "it tells every pair apart by now, and would less so; these few steps do not show it yet."
        advice = Advice(line, effect, cost, with_updates(case.optimizer, **{most: 1}).flags)
    harm = 0.6 if found is None else 1.2 - found[1]
    yield Finding("updates_too_often", words, False, (advice,), player, harm=harm)
