"""Notation of the command line for numbers that may be schedules, and for rates and base rules of each player."""

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

from gantools.errors import GantoolsError
from gantools.registry import parse_call
from gantools.runs.config import Choice
from gantools.schedules import SCHEDULES, Schedule

EXAMPLE = "cosine(2e-4, 5e-5, 5000)"
BASE_EXAMPLE = "generator=adam,discriminator=adam(betas=(0, 0.9))"


def takes_schedule(kind: Any) -> bool:
    """Return whether an annotation allows a schedule, itself or in a tuple of them."""
    return kind is Schedule or any(takes_schedule(part) for part in typing.get_args(kind))


def parse_number(text: str) -> float | Choice:
    """Return the number, or the choice of a schedule, of "1e-4" or "cosine(2e-4, 5e-5, 5000)"."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        name, positional, settings = parse_call(text)
    except ValueError:
        raise GantoolsError(f"{text!r} is not a number: write one, or a schedule as {EXAMPLE}.") from None
    fields = [f.name for f in dataclasses.fields(SCHEDULES[name])]
    given = {**dict(zip(fields, positional, strict=False)), **settings}
    choice = Choice(name, {field: given[field] for field in fields if field in given})
    numbers = all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in given.values())
    if len(positional) + len(settings) != len(choice.settings) or not {"start", "end", "steps"} <= set(given):
        raise GantoolsError(f"{text!r}: a schedule takes start, end, steps and perhaps warmup, as {EXAMPLE}.")
    if not numbers or not all(float(given[key]).is_integer() for key in ("steps", "warmup") if key in given):
        raise GantoolsError(f"{text!r}: start and end are numbers, steps and warmup whole ones, as {EXAMPLE}.")
    return choice


def number_text(value: Any) -> str:
    """Return the text that `parse_number` reads as this number or choice."""
    if isinstance(value, Choice):
        return f"{value.name}({', '.join(f'{key}={number!r}' for key, number in value.settings.items())})"
    return repr(value)


def parse_rate(text: str) -> Any:
    """Return the learning rate of "1e-4", or of "generator=1e-4,discriminator=4e-4", each perhaps a schedule."""
    parts = _parts(text)
    named = ["=" in part.partition("(")[0] for part in parts]
    try:
        if not any(named):
            return parse_number(text)
        if not all(named):
            raise GantoolsError("one has no name")
        pairs = (part.partition("=") for part in parts)
        return {player.strip(): parse_number(rate.strip()) for player, _, rate in pairs}
    except GantoolsError as error:
        if "(" in text:
            raise
        raise GantoolsError(
            f"{text!r} is not a learning rate: write a number, one for each player as "
            f"generator=1e-4,discriminator=4e-4, or a schedule as {EXAMPLE}."
        ) from error


def _parts(text: str) -> list[str]:
    """Split a text at its commas outside of brackets."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return parts


def parse_bases(text: str) -> dict[str, Choice]:
    """Return each player's base rule of "generator=adam,discriminator=adam(betas=(0, 0.9))".

    Raises:
        GantoolsError: when it is none such; names are checked by their registry.
    """
    bases = {}
    for part in _parts(text):
        player, _, call = part.partition("=")
        try:
            name, positional, settings = parse_call(call)
        except ValueError:
            name, positional, settings = "", [], {}
        if not name or positional or player.strip() in bases:
            raise GantoolsError(f"{text!r} names no base rule for each player: write {BASE_EXAMPLE}.")
        bases[player.strip()] = Choice(name, settings)
    return bases


def bases_text(bases: Mapping[str, Choice]) -> str:
    """Return each player's base rule in the notation of `parse_bases`."""
    return ",".join(f"{player}={number_text(base)}" for player, base in bases.items())


def rate_text(rate: Any) -> str:
    """Return the text that `parse_rate` reads as this learning rate."""
    if isinstance(rate, Mapping):
        return ",".join(f"{player}={number_text(value)}" for player, value in rate.items())
    return number_text(rate)
