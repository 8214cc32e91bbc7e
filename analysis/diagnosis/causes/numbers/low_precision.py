"""A precision in which the steps are swallowed by rounding, or overflow."""

from collections.abc import Iterator

import torch

from gantools.analysis.diagnosis.case import Case
from gantools.analysis.diagnosis.result import Advice, Finding

LOW = {torch.bfloat16, torch.float16}
COST = "float32 takes twice the memory, and no training is worse for it."


def low_precision(case: Case) -> Iterator[Finding]:
    """Numbers of 16 bits in which the field is not finite, or steps are lost to rounding."""
    own = {parameter.dtype for parameter in case.game.parameters()} & LOW
    passing = {dtype for seen in case.first for dtype in seen.dtypes} & LOW
    found = own | passing
    if not found:
        return
    name = ", ".join(str(dtype).removeprefix("torch.") for dtype in found)
    line = "Keep the parameters, and the losses with their penalties, in float32: model.float(), no .half() or "
    line += ".bfloat16(), and autocast(enabled=False) around the penalty."
    advice = Advice(line, "the steps are no longer rounded away and the range is that of float32.", COST)
    bad = not all(seen.finite for seen in case.first) or case.walk.failed is not None
    if bad:
        at = "at the start" if case.walk.failed is None else f"at step {case.walk.failed}"
        words = f"the field is not finite {at}, and {name} numbers pass through the players."
        yield Finding("low_precision", words, False, (advice,))
    elif own and case.walk.steps >= 8:
        stuck = 1 - float(case.walk.moved.double().mean())
        if stuck > 0.5:
            words = f"{stuck:.0%} of the parameters, in {name}, did not change in {case.walk.steps} steps."
            yield Finding("low_precision", words, True, (advice,))
