"""Settings with one value for all players or one for each, such as learning rates."""

from collections.abc import Mapping
from typing import Any

from gantools.errors import GantoolsError
from gantools.games.game import Game
from gantools.registry import suggest
from gantools.schedules import Scheduled, extremes

LearningRate = Scheduled | Mapping[str, Scheduled]


def player_values(value: Any, game: Game, name: str, noun: str) -> dict[str, Any]:
    """Return each player's value of a setting.

    Args:
        value: one for all players, or a mapping from players to values.
        game: the game of these players.
        name: the setting's name, for errors.
        noun: the noun for one of its values, for errors.
    """
    values = dict(value) if isinstance(value, Mapping) else dict.fromkeys(game.slices, value)
    for player in values:
        if player not in game.slices:
            raise suggest("player", player, game.slices)
    missing = [player for player in game.slices if player not in values]
    if missing:
        raise GantoolsError(f"{name} names no {noun} for {', '.join(map(repr, missing))}: give one for every player.")
    return {player: values[player] for player in game.slices}


def player_rates(lr: LearningRate, game: Game) -> dict[str, Scheduled]:
    """Return each player's learning rate, a number or a schedule; refuse one that is not positive."""
    rates = player_values(lr, game, "lr", "rate")
    for player, rate in rates.items():
        name = f"The learning rate of {player!r}"
        least, largest = extremes(rate, name)
        if not 0 <= least <= largest < float("inf") or largest == 0:
            raise GantoolsError(f"{name} is {rate}: pass a positive number, or a schedule of them.")
    return rates


def require_weight(value: Scheduled, name: str) -> None:
    """Refuse a weight, a number or a schedule, that is negative or NaN."""
    least, _ = extremes(value, name)
    if not least >= 0:
        raise GantoolsError(f"{name} = {value} is not a weight: pass a number of at least 0, or a schedule of them.")
