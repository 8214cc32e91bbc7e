"""A generator's loss whose gradient vanishes where the discriminator is confident."""

from collections.abc import Iterator

import numpy as np

from gantools.analysis.diagnosis.case import Case
from gantools.analysis.diagnosis.cures import with_loss
from gantools.analysis.diagnosis.result import Advice, Finding

VANISHED = 0.05  # mean derivative by the scores; it is 1/2 where the discriminator does not tell


def saturating_loss(case: Case) -> Iterator[Finding]:
    """A loss that pulls least at the samples that the discriminator rejects most, and hardly pulls at all by now."""
    found = []
    for seen in case.walk.looks[-max(1, len(case.walk.looks) // 4) :]:
        pull = seen.pulls.get((seen.generator or "", "fake"))
        if pull is None or not len(pull) or seen.fake_scores is None or len(pull) != len(seen.fake_scores):
            return
        if not pull.isfinite().all() or seen.confidence is None or seen.confidence < 0.95:
            return
        found.append((seen, pull))
    seen, pull = found[-1]
    strength = float(np.mean([float(p.abs().mean()) for _, p in found]))
    if strength > VANISHED or not _saturates(case, seen.fake_scores.numpy(), pull.abs().numpy()):  # type: ignore[union-attr]
        return
    words = f"the generator's loss moves by {strength:.2g} for each unit of the scores of generated samples (1/2 where "
    words += f"the discriminator is undecided), which tells a pair apart with probability {seen.confidence:.3f}."
    cost = "the loss is no longer zero-sum; its equilibria are the same."
    line = "Give the generator the non-saturating loss, softplus(-D(G(z)))."
    effect = "the derivative by the scores tends to 1, not to 0, as the discriminator grows confident."
    advice = Advice(line, effect, cost)
    if (cure := with_loss(case.optimizer, "nonsaturating")) is not None:
        ratio = case.ratio(cure)
        advice = Advice(line, effect, cost, cure.flags)
        if ratio is not None and ratio < 1:
            advice = case.advised(cure, ratio, line, cost)
    yield Finding("saturating_loss", words, True, (advice,), seen.generator)


def _saturates(case: Case, scores: np.ndarray, pull: np.ndarray) -> bool:
    """Return whether the derivative's size grows with the score: so it does in log(1 - D), nowhere in -log D."""
    if case.game.recipe is not None and case.game.recipe.loss == "minimax":
        return True
    if len(scores) < 4 or scores.std() == 0 or pull.std() == 0:
        return False
    return bool(np.corrcoef(scores.argsort().argsort(), pull.argsort().argsort())[0, 1] > 0.9)
