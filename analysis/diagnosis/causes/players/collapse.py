"""A generator whose output does not depend on its latent, at all or beside what else it is given."""

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from gantools.analysis.diagnosis.case import Case
from gantools.analysis.diagnosis.cures import with_method, with_penalty
from gantools.analysis.diagnosis.observation import Observation, observe
from gantools.analysis.diagnosis.result import Advice, Finding
from gantools.batches import map_tensors

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
        yield from _latent_ignored(case)
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


def _latent_ignored(case: Case) -> Iterator[Finding]:
    """Samples that depend on what else the generator is given, and no longer on its latent, far from the data."""
    if not (case.walk.plateau or case.walk.no_nearer):  # where the data leave nothing to the latent, none is needed
        return
    before, after = (
        of_latent(case, case.start, case.game.buffers()),
        of_latent(case, case.walk.w, case.walk.state.buffers),
    )
    if before is None or after is None or after > SHARE:
        return
    player = case.first[0].generator
    words = (
        f"drawing another latent changes a generated sample by {after:.2g} of the real ones' standard deviation after "
    )
    words += f"{case.walk.steps} steps, {before:.2g} at the start, and the samples stand still far from the data."
    pairs = [found for look in case.walk.sound if (found := look.balance.get(player or "")) is not None]
    ratio = float(np.median([beside / through if through else np.inf for beside, through in pairs] or [0.0]))
    if ratio > 1:
        words += f" The gradient of the other terms of its loss is {ratio:.2g} times that of the adversarial one."
    line = "Lower the weight of what asks for one answer, a distance to a given sample say, until the adversarial term "
    line += "outweighs it; or compare what the latent leaves open, features of a sample in place of its values."
    cost = "samples follow what they are compared with less closely."
    advice = Advice(line, "samples differ where their latents do, as the data do.", cost)
    yield Finding("collapse", words, False, (advice,), player, harm=1.0)


def of_latent(case: Case, w: Tensor, buffers: Mapping[str, Tensor]) -> float | None:
    """Return how far samples move with their latents alone, over the real ones' spread; None where these are not found.

    The latents of a batch change places among its samples, and all else that the generator is given stays.
    """
    batch, latent = case.batches[0], case.first[0].latent
    if latent is None or len(latent) < 4:
        return None

    def moved(x: Tensor) -> Tensor:
        return x.roll(1, 0) if x.shape == latent.shape and torch.equal(x, latent) else x

    looks = [observe(case.game, w, buffers, one) for one in (batch, map_tensors(moved, batch))]
    (one, real), (other, _) = ((look.fake, look.real) for look in looks)
    if one is None or other is None or real is None or torch.equal(looks[0].latent, looks[1].latent):  # type: ignore[arg-type]
        return None
    spread = float(real.double().std(0).square().mean().sqrt())
    return float((one - other).double().square().mean().sqrt()) / (2**0.5 * spread) if spread else None
