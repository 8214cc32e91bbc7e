"""One batch among the others that is not finite, or pulls far harder than they do."""

from collections.abc import Iterator

import numpy as np
import torch

from gantools.analysis.diagnosis.case import Case
from gantools.analysis.diagnosis.choice import sizes, usual_sizes
from gantools.analysis.diagnosis.cures import with_clipping
from gantools.analysis.diagnosis.result import Advice, Finding
from gantools.batches import tensors

RATIO, SPREADS = 10.0, 20.0
CODE = 50.0  # ratio of largest numbers of batches that no data have, but codes for missing ones, -9999 say


def poisonous_batch(case: Case) -> Iterator[Finding]:
    """A batch with numbers that are not finite or 50 times the others', or whose field is 10 times as long."""
    broken = [number for number, batch in zip(case.numbers, case.batches, strict=True) if not finite(batch)]
    for i in broken:
        advice = Advice(
            f"Leave batch number {i} (from 0) out, or mend its samples: batches = [b for b in batches if finite(b)].",
            "no step meets numbers that are not finite.",
            f"one batch of {len(case.batches)} less.",
        )
        yield Finding("poisonous_batch", f"batch {i} holds NaN or infinite numbers.", True, (advice,))
    if broken or len(case.batches) < 4:
        return
    if coded := _coded(case):
        yield coded
        return
    norms = np.array([float(seen.field.double().norm()) for seen in case.first])
    sound = np.isfinite(norms)
    if sound.all():
        middle = float(np.median(norms))
        spread = float(np.median(np.abs(norms - middle)))
        odd = (norms > RATIO * middle) & (norms - middle > SPREADS * spread)
    else:
        middle, odd = float(np.median(norms[sound])) if sound.any() else 0.0, ~sound
    if not 0 < odd.sum() <= len(norms) // 4 or middle == 0:
        return
    worst = int(np.where(odd, np.nan_to_num(norms, nan=np.inf), 0).argmax())
    number = case.numbers[worst]
    words = f"the field of batch {number} (from 0) has norm {norms[worst]:.3g}, the median batch has {middle:.3g}."
    longest = max(float(seen.field[part].norm()) for seen, one in zip(case.first, odd, strict=True) if not one
                  for part in case.game.slices.values())  # fmt: skip
    cure = with_clipping(case.optimizer, longest)
    cut = Advice(
        "Bound the length of each player's direction by the longest that other batches have.",
        f"the step on batch {number} is shortened {norms[worst] / longest:.2g} times.",
        "steps early in training that are longer than that are shortened.",
        cure.flags,
    )
    leave = Advice(
        f"Leave batch {number} out, or mend its samples.", "its steps do not happen.", "one batch less to learn from."
    )
    yield Finding("poisonous_batch", words, True, (cut, leave) if np.isfinite(norms[worst]) else (leave,))


def _coded(case: Case) -> Finding | None:
    """Return the finding of a batch whose largest number is far beyond those of the others, whatever its field now."""
    usual = usual_sizes(case.batches)
    if usual is None:
        return None
    rows = torch.stack([sizes(batch) for batch in case.batches])
    ratios = (rows / usual).where(usual > 0, 1.0)  # a tensor that is 0 in most batches is a mask, or a rare feature
    odd = (ratios.amax(1) > CODE).nonzero().flatten().tolist()
    if not 0 < len(odd) <= len(rows) // 4:
        return None
    worst, column = divmod(int(ratios.argmax()), ratios.shape[1])
    numbers = ", ".join(str(case.numbers[i]) for i in odd)
    words = f"batch {numbers} (from 0) holds the number {float(rows[worst, column]):.3g} in modulus, the median batch "
    words += f"at most {float(usual[column]):.3g}."
    advice = Advice(
        f"Look at the samples of batch {numbers}: codes for missing numbers, such as -9999, are left out or filled "
        "with the mean.",
        "no step follows a number that stands for none.",
        "an extreme sample that is real is lost.",
    )
    return Finding("poisonous_batch", words, True, (advice,))


def finite(batch: object) -> bool:
    """Return whether a batch holds only finite numbers."""
    return all(bool(torch.isfinite(x).all()) for x in tensors(batch) if x.is_floating_point())
