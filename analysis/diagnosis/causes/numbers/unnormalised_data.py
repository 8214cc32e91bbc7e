"""Data whose scale is far from that of the networks."""

from collections.abc import Iterator

from gantools.analysis.diagnosis.case import Case
from gantools.analysis.diagnosis.result import Advice, Finding

LARGE, SMALL = 6.0, 0.03
APART = 100.0  # ratio of the features' standard deviations, of a table
TABLE = 64  # up to how many features samples are a table: pixels may well be constant


def unnormalised_data(case: Case) -> Iterator[Finding]:
    """Real samples that are large, tiny, or whose features differ in scale, where the steps do not cope with them."""
    real, fake = case.first[0].real, case.first[0].fake
    if real is None or fake is None or len(real) < 2 or not real.isfinite().all():
        return
    real = real.double()
    size, spread = float(real.square().mean().sqrt()), float(real.std(0).square().mean().sqrt())
    if spread == 0:
        return
    each = real.std(0)
    alive = each[each > 0]
    ratio = float(alive.max() / alive.min()) if len(alive) > 1 and real.shape[1] <= TABLE else 1.0
    if (SMALL < size < LARGE and ratio < APART) or (case.given and not case.stalled):
        return
    made = float(fake.double().square().mean().sqrt())
    words = f"real samples have root mean square {size:.3g} and standard deviation {spread:.3g}"
    words += f", features that differ in scale {ratio:.2g} times" if ratio >= APART else ""
    words += f"; generated ones have {made:.3g} at the start."
    advice = Advice(
        "Normalise the data before they enter the game: real = (real - mean) / std, by feature for a table; images to "
        "[-1, 1]; and undo it on samples.",
        "gradients of the discriminator's first layer are of the size that its initial weights are made for.",
        "samples are in other units; nothing else.",
    )
    yield Finding("unnormalised_data", words, ratio >= APART or not 0.01 < size < 20, (advice,))
