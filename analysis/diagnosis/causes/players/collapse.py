"""A generator whose output does not depend on its latent."""

from collections.abc import Iterator

import torch

from gantools.analysis.diagnosis.case import Case
from gantools.analysis.diagnosis.cures import with_method, with_penalty
from gantools.analysis.diagnosis.observation import Observation
from gantools.analysis.diagnosis.result import Advice, Finding

SHARE = 0.03


def spread(look: Observation) -> float | None:
    """Return the generated samples' standard deviation relative to the real ones'; None where these are one point."""
    if look.real is None or look.fake is None or min(len(look.real), len(look.fake)) < 4:
        return None
    real, fake = (float(x.double().std(0).square().mean().sqrt()) for x in (look.real, look.fake))
    return fake / real if real > 0 else None


def collapse(case: Case) -> Iterator[Finding]:
    """Generated samples that are all alike, and become no less so."""
    looks = case.walk.looks
    first, middle, last = (spread(look) for look in (looks[0], looks[len(looks) // 2], looks[-1]))
    if first is None or middle is None or last is None or case.walk.exploded:
        return
    if not (last < SHARE and last <= 1.5 * middle):
        return
    latent = looks[0].latent
    words = f"the generated samples' standard deviation is {last:.2g} of the real ones' after {case.walk.steps} "
    words += f"steps, {first:.2g} at the start."
    player = looks[0].generator
    if latent is not None and latent.is_floating_point() and len(latent) > 1 and float(latent.std(0).max()) == 0:
        advice = Advice(
            "Draw a latent of its own for every sample: torch.randn(batch, size).",
            "samples differ where their latents do.",
            "nothing.",
        )
        yield Finding("collapse", f"{words} All latents of a batch are equal.", True, (advice,), player)
        return
    cures = [with_penalty(case.optimizer, gamma) for gamma in (1.0, 10.0)]
    found = case.best([*cures, with_method(case.optimizer, "consensus", gamma=1.0)])
    line = "Damp the discriminator, whose gradient drives all samples to one point."
    advice = () if found is None else (case.advised(*found, line, "slower steps."),)
    exact = first < 3 * SHARE and bool(torch.equal(looks[-1].fake[:1].expand_as(looks[-1].fake), looks[-1].fake))  # type: ignore[index]
    fresh = Advice(
        "Let the latent reach the output: larger weights of the generator's first layer on the latent, no layer that "
        "replaces or scales it away; and begin from fresh weights, for a collapsed generator rarely recovers.",
        "samples depend on the latent again.",
        "the training so far is lost.",
    )
    yield Finding(
        "collapse", words, exact, (fresh, *advice) if exact else (*advice, fresh), player, harm=1.0 if exact else 0.6
    )
