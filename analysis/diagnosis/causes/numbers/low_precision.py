"""A precision in which the steps are swallowed by rounding, or overflow."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gantools.analysis.diagnosis.case import Case
from gantools.analysis.diagnosis.result import Advice, Finding
from gantools.batches import map_tensors

LOW = {torch.bfloat16, torch.float16}
AMISS = 0.9  # of a player's field in float32: a difference with which nothing of it is left
COST = "float32 takes twice the memory, and no training is worse for it."


class _Single(TorchFunctionMode):
    """Where 16 bits are asked for, by a dtype, a method or autocast, float32 is taken.

    Attributes:
        asked: the types of 16 bits that were asked for.
    """

    def __init__(self, device: str):
        super().__init__()
        self.device, self.asked = device, set[torch.dtype]()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None) -> Any:
        named = {torch.Tensor.bfloat16: torch.bfloat16, torch.Tensor.half: torch.float16}
        words = (*args, *(kwargs or {}).values(), named.get(func))
        if torch.is_autocast_enabled(self.device):
            words = (*words, torch.get_autocast_dtype(self.device))
        self.asked.update(low for low in LOW if any(x is low for x in words))
        func = torch.Tensor.float if func in named else func
        args = tuple(torch.float32 if any(x is low for low in LOW) else x for x in args)
        rest = {k: torch.float32 if any(x is low for low in LOW) else x for k, x in (kwargs or {}).items()}
        with _no_autocast(self.device):
            return func(*args, **rest)


def _no_autocast(device: str) -> AbstractContextManager[Any]:
    return torch.autocast(device, enabled=False)


def single(tree: Any) -> Any:
    """Return tensors of 16 bits as float32, wherever they are in lists and mappings."""
    return map_tensors(lambda x: x.float() if x.dtype in LOW else x, tree)


def low_precision(case: Case) -> Iterator[Finding]:
    """Numbers of 16 bits in which the field is not finite or not that of float32, or steps are lost to rounding."""
    own = {parameter.dtype for parameter in case.game.parameters()} & LOW
    passing = {dtype for seen in case.first for dtype in seen.dtypes} & LOW
    exact, asked = _field_in_float32(case, case.batches[0])
    found = own | passing | asked
    if not found:
        return
    name = ", ".join(str(dtype).removeprefix("torch.") for dtype in found)
    line = "Keep the parameters, and the losses with their penalties, in float32: model.float(), no .half() or "
    line += ".bfloat16(), and autocast(enabled=False) around the penalty."
    advice = Advice(line, "the steps are no longer rounded away and the range is that of float32.", COST)
    start = not all(seen.finite for seen in case.first)
    if start or case.walk.failed is not None:
        sound = _finite_in_float32(case, start)
        if sound is False:
            return
        words = f"the field is not finite {'at the start' if start else f'at step {case.walk.failed}'}, and {name} "
        words += "numbers pass through the players"
        words += "; the same step in float32 is finite." if sound else "."
        yield Finding("low_precision", words, bool(sound), (advice,), harm=1.0 if sound else 0.6)
        return
    if own and case.walk.steps >= 8:
        stuck = 1 - float(case.walk.moved.double().mean())
        if stuck > 0.5:
            words = f"{stuck:.0%} of the parameters, in {name}, did not change in {case.walk.steps} steps."
            yield Finding("low_precision", words, True, (advice,))
    if exact is not None and exact.isfinite().all() and case.stalled and (amiss := _amiss(case, exact)):
        words = f"{name} numbers pass through the players, and nothing is left of the field in float32: its norm is "
        words += ", ".join(f"{norm:.3g} in place of {right:.3g} ({player})" for player, norm, right in amiss) + "."
        yield Finding("low_precision", words, True, (advice,))


def _amiss(case: Case, exact: Tensor) -> list[tuple[str, float, float]]:
    """Return the players of whose field in float32 nothing is left, with its norm as it is and in float32."""
    field, found = case.first[0].field.double(), []
    for player, part in case.game.slices.items():
        right = float(exact[part].norm())
        if float((field[part] - exact[part]).norm()) > AMISS * right > 0:
            found.append((player, float(field[part].norm()), right))
    return found


def _field_in_float32(case: Case, batch: Any) -> tuple[Tensor | None, set[torch.dtype]]:
    """Return the field (n,) at the start in float32, and the types of 16 bits that are asked for there.

    None where it cannot be evaluated so.
    """
    game, mode = case.game, _Single(case.game.device.type)
    try:
        with mode, torch.no_grad():
            field = game.field_at(single(case.start), single(game.buffers()), single(batch)).vector
    except Exception:  # of the user's code, which may refuse another type than its own
        return None, mode.asked
    return field.double(), mode.asked


def _finite_in_float32(case: Case, start: bool) -> bool | None:
    """Return whether what was not finite is so in float32: the field at the start, or the step that failed.

    None where it cannot be evaluated so.
    """
    if start:
        broken = next(batch for batch, seen in zip(case.batches, case.first, strict=True) if not seen.finite)
        after, _ = _field_in_float32(case, broken)
    else:
        after = _step_in_float32(case)
    return None if after is None else bool(after.isfinite().all())


def _step_in_float32(case: Case) -> Tensor | None:
    """Return the point (n,) after the step that failed in float32; None where it cannot be evaluated so."""
    optimizer, walk = case.optimizer, case.walk
    count, wanted = len(case.batches), optimizer.batches_per_step
    batches = [single(case.batches[(walk.steps * wanted + i) % count]) for i in range(wanted)]
    state = dataclasses.replace(walk.state, memory=single(walk.state.memory), buffers=single(walk.state.buffers))
    try:
        with _Single(case.game.device.type), torch.no_grad():
            return optimizer.update(single(walk.w), state, *batches)[0]
    except Exception:  # as above
        return None
