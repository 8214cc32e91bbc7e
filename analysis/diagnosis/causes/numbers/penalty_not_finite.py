"""A derivative that is not finite where the value is: a root at zero, a quotient, a logarithm."""

import re
import warnings
from collections.abc import Iterator

import numpy as np
import torch

from gantools.analysis.diagnosis.case import Case
from gantools.analysis.diagnosis.causes.numbers.poisonous_batch import finite
from gantools.analysis.diagnosis.result import Advice, Finding

EVEN = 30.0  # growth of the field before a failure, above which the steps themselves ran away


def penalty_not_finite(case: Case) -> Iterator[Finding]:
    """A field that is not finite although nothing grew before it."""
    if not all(finite(batch) for batch in case.batches):
        return
    at_start = next((i for i, seen in enumerate(case.first) if not seen.finite), None)
    if at_start is None and (case.walk.failed is None or not _even(case.walk.field)):
        return
    if at_start is None and case.walk.steps < 2 and np.max(case.walk.field, initial=0.0) > 1e6:
        return
    w = case.start if at_start is not None else case.walk.w
    batch = case.batches[at_start or 0] if at_start is not None else case.batches[case.walk.steps % len(case.batches)]
    player, operation = _culprit(case, w, batch)
    if at_start is None and not operation:
        return
    when = "at the start" if at_start is not None else f"at step {case.walk.failed}, though the field had not grown"
    what = f", first in the backward pass of {operation}" if operation else ""
    line = "Keep the derivative finite where the argument is 0: sqrt(x + 1e-12) in place of sqrt(x) or .norm(), "
    line += "log(x + 1e-12), a gradient norm squared (R1) in place of its root."
    advice = Advice(line, "the field is finite at every point.", "a change of the loss by about 1e-6.")
    yield Finding("penalty_not_finite", f"the field is not finite {when}{what}.", bool(operation), (advice,), player)


def _even(field: np.ndarray) -> bool:
    return len(field) < 3 or field[-1] <= EVEN * np.median(field)


def _culprit(case: Case, w: torch.Tensor, batch: object) -> tuple[str | None, str]:
    """Return the player and the operation whose derivative is the first that is not finite, as PyTorch finds it."""
    for player in case.game.slices:
        try:
            with warnings.catch_warnings(), torch.autograd.detect_anomaly(check_nan=True):
                warnings.simplefilter("ignore")
                case.game.field_at(w, case.game.buffers(), batch, players=(player,))
        except RuntimeError as error:
            if found := re.search(r"'(\w+?)Backward\d*'", str(error)):
                return player, found[1]
    return None, ""
