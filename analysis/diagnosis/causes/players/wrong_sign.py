"""A player whose loss pulls at the scores in the wrong direction."""

from collections.abc import Iterator

from gantools.analysis.diagnosis.case import Case
from gantools.analysis.diagnosis.observation import Observation
from gantools.analysis.diagnosis.result import Advice, Finding

LEVELS = 4  # looks at different points that show the sign of a loss's pull


def sign(looks: list[Observation], player: str | None, kind: str) -> int:
    """Return the sign of a loss's mean derivative by the scores, 0 where it is not the same at every look.

    That of a least squares loss turns where the scores pass their target: one look says nothing of the loss.
    """
    pulls = [look.pulls[player, kind] for look in looks if player and len(look.pulls.get((player, kind), ()))]
    means = [float(pull.mean()) for pull in pulls if pull.isfinite().all()]
    if means and all(mean > 0 for mean in means):
        return 1
    return -1 if means and all(mean < 0 for mean in means) else 0


def wrong_sign(case: Case) -> Iterator[Finding]:
    """Both players push generated samples' scores the same way, so that nobody opposes the other."""
    g, d = case.first[0].generator, case.first[0].discriminator
    looks = [*case.first, *case.walk.sound[1:]] if g is not None and case.given else case.first
    real, fake, made = sign(looks, d, "real"), sign(looks, d, "fake"), sign(looks, g, "fake")
    if not (real and fake) or g is None or d is None:
        return
    # Losses whose pull depends on the level of the scores need several levels.
    certain = not case.given or len(case.walk.sound) >= LEVELS
    if real == fake and _alike(looks, d):
        words = f"the loss of {d} moves the scores of real and of generated samples the same way, so it cannot tell "
        words += "them apart."
        yield _finding(d, words, certain)
    elif real != fake and made == fake:
        reversed_ = real > 0  # scores are high on real samples by convention, and this loss lowers them
        player = d if reversed_ else g
        words = f"the losses of {g} and {d} both {'raise' if made < 0 else 'lower'} the scores of generated samples"
        words += f", and {d} {'lowers' if real > 0 else 'raises'} those of real ones: nobody opposes."
        yield _finding(player, words, certain)


def _alike(looks: list[Observation], player: str) -> bool:
    """Return whether a loss pulls at real and at generated samples' scores about as hard, at every look.

    Squares with the targets 1 and 0 pull at both upwards where all scores are below 0, but harder at the real ones.
    """
    pairs = [[float(look.pulls[player, kind].abs().mean()) for kind in ("real", "fake")] for look in looks]
    return all(max(pair) < 2 * min(pair) for pair in pairs)


def _finding(player: str, words: str, certain: bool) -> Finding:
    advice = Advice(
        f"Turn the sign of the adversarial term in the loss of {player}: every player's loss is minimised, and scores "
        "are high on real samples.",
        "the players oppose each other, as in every objective of `gantools list losses`.",
        "the players would both help or both hinder; the first hundred steps show it.",
    )
    return Finding("wrong_sign", words, certain, (advice,), player, harm=1.0 if certain else 0.5)
