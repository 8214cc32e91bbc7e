"""Batches whose rows come in the order of a file."""

from collections.abc import Iterator

from gantools.analysis.diagnosis.case import Case
from gantools.analysis.diagnosis.result import Advice, Finding

APART = 10.0  # ratio of variances, of some 1 in batches of shuffled rows


def unshuffled_batches(case: Case) -> Iterator[Finding]:
    """Consecutive batches that are alike, and vary far more than batches of shuffled rows would."""
    if case.order < APART:
        return
    words = (
        f"the means of batches vary {case.order:.3g} times as much as those of shuffled rows, and consecutive batches "
    )
    words += "are alike: rows come in the order of their file."
    advice = Advice(
        "Shuffle the rows before they are divided into batches, anew in every epoch: DataLoader(data, batch_size, "
        "shuffle=True).",
        "every batch is a sample of all data, and no part of them is forgotten while another is shown.",
        "an order that is meant, as of a curriculum, is lost.",
    )
    yield Finding("unshuffled_batches", words, False, (advice,), harm=0.7)
