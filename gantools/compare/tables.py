"""The rows of `gantools compare` and their tables."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from gantools.compare.contraction import MARGIN, Rate
from gantools.compare.trainings import Training

Row = dict[str, Any]

RATES = (
    "Predicted: spectral radius of the update at the equilibrium, a step. Observed: factor by which the distance "
    "shrank, optimizer state included. Evaluations: gradients and products, at about the same price."
)
TRAININGS = (
    "Several seeds: mean (least to most). Losses and field norm: means over the last logged steps. Times compare "
    "within one machine only."
)


def rate_row(rate: Rate) -> Row:
    """Return a rate as plain values."""
    row = dataclasses.asdict(rate)
    del row["behaviour"]
    return row | {
        "seed": 0,
        "verdict": rate.verdict,
        "cost": str(rate.cost),
        "evaluations": rate.cost.evaluations,
        "per_digit": rate.evaluations_per_digit,
    }


def training_row(training: Training) -> Row:
    """Return the result of a run as plain values, NaN and infinity as None."""
    row = dataclasses.asdict(training)
    finite = {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()}
    losses = {player: loss if math.isfinite(loss) else None for player, loss in training.losses.items()}
    return finite | {"losses": losses}


def news(row: Row) -> str:
    """Return the result of a row in a few words, for the line printed as soon as it is computed."""
    if row.get("stopped"):
        return row["stopped"]
    if "distances" in row:
        return f"{row['verdict']}, {_number(row['observed'])} a step"
    found = f"{row['modes']} modes, " if row["modes"] is not None else ""
    return f"{found}field norm {_number(row['field_norm'])}"


def ordered(rows: Sequence[Row]) -> list[Row]:
    """Return the rows with the best method first."""
    keys: dict[str, tuple[float, ...]] = {}
    for method in {row["method"] for row in rows}:
        own = [row for row in rows if row["method"] == method]
        if "distances" in own[0]:
            per_digit, observed = own[0]["per_digit"], own[0]["observed"]
            keys[method] = (math.inf if per_digit is None else per_digit, -1.0 if observed is None else observed)
        else:
            averages = [_mean([row[name] for row in own]) for name in ("modes", "quality", "field_norm")]
            modes, quality, norm = (math.inf if value is None else value for value in averages)
            keys[method] = (float(any(row["stopped"] for row in own)), -modes, -quality, norm)
    return sorted(rows, key=lambda row: (keys[row["method"]], row["method"], row["seed"]))


def rates_table(rows: Sequence[Row]) -> str:
    """Return a Markdown table of an analytic game."""
    names = ["method", "lr", "predicted", "observed", "a step costs", "evaluations a digit", "ms a step", ""]
    return markdown(
        names,
        [
            [
                row["method"],
                f"{row['lr']:g}",
                _rate(row["predicted"]),
                _rate(row["observed"]),
                row["cost"],
                _number(row["per_digit"]),
                f"{1e3 * row['seconds']:.2f}",
                row["verdict"],
            ]
            for row in ordered(rows)
        ],
        "lrrrlrrl",
    )


def trainings_table(rows: Sequence[Row]) -> str:
    """Return a Markdown table of training runs, the seeds of a method in one line."""
    rows = ordered(rows)
    mixture = any(row["modes"] is not None for row in rows)
    names = ["method", "settings", *(["modes", "quality"] if mixture else []), "field norm", *rows[0]["losses"]]
    body = []
    for method in dict.fromkeys(row["method"] for row in rows):
        own = [row for row in rows if row["method"] == method]
        columns = [[row[name] for row in own] for name in (["modes", "quality"] if mixture else [])]
        columns += [[row["field_norm"] for row in own]]
        columns += [[row["losses"][player] for row in own] for player in rows[0]["losses"]]
        stopped = [row for row in own if row["stopped"]]
        note = f"{len(stopped)} of {len(own)} diverged: {stopped[0]['stopped']}" if stopped else ""
        costs = [row["evaluations"] for row in own]
        times = [None if row["seconds"] is None else 1e3 * row["seconds"] for row in own]
        cells = [_spread(values) for values in (*columns, times, costs)]
        body.append([method, own[0]["settings"], *cells, note])
    return markdown([*names, "ms a step", "evaluations a step", ""], body, "ll" + "r" * len(names) + "l")


def markdown(names: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> str:
    """Return a Markdown table whose columns stand under each other; `align` has l or r for each."""
    widths = [max(3, *(len(row[i]) for row in [names, *rows])) for i in range(len(names))]

    def line(cells: Sequence[str]) -> str:
        padded = [c.rjust(w) if a == "r" else c.ljust(w) for c, w, a in zip(cells, widths, align, strict=True)]
        return f"| {' | '.join(padded)} |"

    rule = "|".join("-" * (w + 1) + (":" if a == "r" else "-") for w, a in zip(widths, align, strict=True))
    return "\n".join([line(names), f"|{rule}|", *map(line, rows)])


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _spread(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "-"
    if len(known) == 1 or min(known) == max(known):
        return _number(known[0])
    return f"{_number(_mean(known))} ({_number(min(known))} to {_number(max(known))})"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _rate(value: float | None) -> str:
    """Return a factor with the digits in which it differs from 1."""
    if value is None:
        return "-"
    away = abs(value - 1)
    digits = 4 if away <= MARGIN or away > 1e-3 else min(7, 2 - math.floor(math.log10(away)))
    return f"{value:.{digits}f}"
