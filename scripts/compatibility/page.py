"""The table as text: a line for the terminal, totals, and docs/compatibility.md."""

from __future__ import annotations

import collections
import math
import statistics
from collections.abc import Iterable, Sequence
from typing import Any

Row = dict[str, Any]

GOOD = ("right", "right, with a remark", "refused, rightly")
ZEROS = ("silently wrong", "falsely refused", "raw error")
MODEL = ("model", "package", "parameters", "outcome", "float64", "float32", "eigenvalues", "what is said")
CONFIGURATION = ("wrapper", "precision", "layer", "kernel", "batch", "outcome", "error", "what is said")
SEPARATOR = " | "  # in the names of configurations


def good(result: Row | None) -> bool:
    """Return whether an entry has a result that is as it should be."""
    return result is not None and result["outcome"] in GOOD


def line(result: Row) -> str:
    """Return one result for the terminal."""
    numbers = f"{result['parameters']:>6} parameters, {size(result['error'])}, {size(result['single'])}"
    return f"{result['outcome']:<20} {result['name']:<40} {numbers}  {result['says']}".rstrip()


def size(error: float) -> str:
    """Return a relative error, or nothing where there is none."""
    return f"{error:.0e}" if math.isfinite(error) else ""


def totals(results: Sequence[Row]) -> str:
    """Return how many of each outcome there are, the three that must be zero by name, for models and configurations."""
    text = []
    for what, rows in (("models", models(results)), ("configurations", configurations(results))):
        count = collections.Counter(row["outcome"] for row in rows)
        packages = len({row["package"] for row in rows})
        of = f" of {packages} packages" if what == "models" else ""
        text.append(f"{len(rows)} {what}{of}: " + ", ".join(f"{count[name]} {name}" for name in GOOD) + ".")
        text.append(", ".join(f"{count[name]} {name}" for name in ZEROS) + rest(count) + ".")
    return "\n".join(text)


def rest(count: collections.Counter[str]) -> str:
    """Return the other outcomes, those that nobody should see."""
    return "".join(f", {n} {name}" for name, n in count.items() if name not in GOOD + ZEROS)


def models(results: Iterable[Row]) -> list[Row]:
    return [row for row in results if SEPARATOR not in row["name"]]


def configurations(results: Iterable[Row]) -> list[Row]:
    return [row for row in results if SEPARATOR in row["name"]]


def written(results: Sequence[Row]) -> str:
    """Return the page."""
    import torch

    rows = models(results)
    errors = [row["error"] for row in rows if math.isfinite(row["error"])]
    single = [row["single"] for row in rows if math.isfinite(row["single"])]
    indexed = [row for row in rows if row["index"]]
    versions = {row["package"]: row["version"] for row in rows}
    listed = ", ".join(f"{name} {version}" for name, version in sorted(versions.items()) if name != "torch")
    return f"""# Which models gantools has been tried on

{totals(results)}

    python scripts/compatibility

Written by that command, with PyTorch {torch.__version__} and {listed}. Configurations are tiny, weights random.
Every model was built as its package documents it and analysed at default settings, `hessian(model, loss, batch)`, in
float64 and in float32. A product with the Hessian (one vector, a block, the transpose) is compared with central
differences, in float64, of the gradient that plain autograd gives on a second copy of the model: nothing of gantools,
and no second derivative of autograd, is in them. Relative errors in float64: median {statistics.median(errors):.0e},
largest {max(errors):.0e}; in float32 median {statistics.median(single):.0e}, largest {max(single):.0e}. Of the
{len(indexed)} smallest, `index` was compared with the eigenvalues of the differences. After each analysis the model's
parameters, buffers, gradients, hooks, modes and the random state were the same, bit for bit.

*Right, with a remark*: gantools says how its numbers came about or what they are of. *Refused, rightly*: there is no
derivative to be had, and a sentence says why. A new model is one entry of five lines in `scripts/compatibility/models`.

## Models

{table(MODEL, map(model_row, rows))}

## Configurations

What a model is wrapped in, the precision, the layer, the attention kernel that the user chose, the batch's container.

{table(CONFIGURATION, map(row_of, configurations(results)))}
"""


def model_row(row: Row) -> list[str]:
    return [
        row["name"].replace("_", " "),
        row["package"],
        str(row["parameters"]),
        row["outcome"],
        size(row["error"]),
        size(row["single"]),
        row["index"],
        plain(row["says"]),
    ]


def row_of(row: Row) -> list[str]:
    worst = max((e for e in (row["error"], row["single"]) if math.isfinite(e)), default=math.nan)
    return [*row["name"].split(SEPARATOR), row["outcome"], size(worst), plain(row["says"])]


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def plain(text: str) -> str:
    """Return text that fits a cell."""
    return text.replace("|", "/").replace("\n", " ")
