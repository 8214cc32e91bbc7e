"""One batch among the others that is not finite, or pulls far harder than they do."""

from collections.abc import Iterator

import numpy as np
import torch

from gantools.analysis.diagnosis.case import Case
from gantools.analysis.diagnosis.cures import with_clipping
from gantools.analysis.diagnosis.result import Advice, Finding
from gantools.batches import tensors

RATIO, SPREADS = 10.0, 20.0


def poisonous_batch(case: Case) -> Iterator[Finding]:
    """A batch with numbers that are not finite, or whose field is 10 times as long as the others'."""
    broken = [i for i, batch in enumerate(case.batches) if not finite(batch)]
    for i in broken:
        advice = Advice(
            f"Leave batch number {i} (from 0) out, or mend its samples: batches = [b for b in batches if finite(b)].",
            "no step meets numbers that are not finite.",
            f"one batch of {len(case.batches)} less.",
        )
        yield Finding("poisonous_batch", f"batch {i} holds NaN or infinite numbers.", True, (advice,))
    if broken or len(case.batches) < 4:
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
    words = f"the field of batch {worst} (from 0) has norm {norms[worst]:.3g}, the median batch has {middle:.3g}."
    longest = max(float(seen.field[part].norm()) for seen, one in zip(case.first, odd, strict=True) if not one
                  for part in case.game.slices.values())  # fmt: skip
    cure = with_clipping(case.optimizer, longest)
    cut = Advice(
        "Bound the length of each player's direction by the longest that other batches have.",
        f"the step on batch {worst} is shortened {norms[worst] / longest:.2g} times.",
        "steps early in training that are longer than that are shortened.",
        cure.flags,
    )
    leave = Advice(
        f"Leave batch {worst} out, or mend its samples.", "its steps do not happen.", "one batch less to learn from."
    )
    yield Finding("poisonous_batch", words, True, (cut, leave) if np.isfinite(norms[worst]) else (leave,))


def finite(batch: object) -> bool:
    """Return whether a batch holds only finite numbers."""
    return all(bool(torch.isfinite(x).all()) for x in tensors(batch) if x.is_floating_point())
