"""What redundant copies do for an associative memory: recall and copying with an LSTM beside, and the noise they leave.

The Associative LSTM (Danihelka et al., arXiv 1602.03032) keeps its pairs of key and value in S copies. Its parameters
do not depend on S, but its state does: an LSTM with as many units stands beside it, and one with as large a state as
four copies. Adam, learning rate 3e-3, batches of 50. Then the noise of recalled items over copies and items, for random
keys, without learning.

    python scripts/associative_memory.py --jobs 2
    python scripts/associative_memory.py --quick
"""

import dataclasses
from pathlib import Path
from typing import Any

import sequence_cells
import study
import torch
from torch import nn

import gantools as gt
from gantools.data import derive_seed
from gantools.nn import AssociativeLSTM
from gantools.nn.holographic import noise_variance, random_keys, random_permutations, recall, store
from gantools.sequence_tasks import AssociativeRecall, EpisodicCopy

COPIES = (1, 4, 8)
# Copies of an Associative LSTM, 0 for an LSTM, and its units as a multiple of the cell's: h and c of an LSTM have two
# numbers for each unit, those of an Associative LSTM 1 + S.
NETS = {**{f"{s} copies" if s > 1 else "1 copy": (s, 1.0) for s in COPIES},
        "LSTM": (0, 1.0), "LSTM, state of 4 copies": (0, 2.5)}  # fmt: skip
TASKS: dict[str, Any] = {
    "recall": AssociativeRecall(keys=4, values=4, writes=6, queries=4), "copying": EpisodicCopy(delay=5)
}  # fmt: skip
STEPS = {"recall": 1500, "copying": 2000}
ITEMS = (5, 20)


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Train one net, or measure the noise of a memory."""
    if cell["task"] == "noise":
        return noise(cell["items"], cell["copies"], cell["trials"], seed)
    copies, factor = NETS[cell["net"]]
    units = round(cell["units"] * factor)

    def make(inputs: int, rng: torch.Generator) -> nn.Module:
        if not copies:
            return sequence_cells.lstm(inputs, units, rng)
        return AssociativeLSTM(inputs, units, copies, batch_first=True, rng=rng)

    task: Any = (
        AssociativeRecall(keys=4, values=4, writes=6, queries=4) if cell["task"] == "recall" else EpisodicCopy(delay=5)
    )
    result = sequence_cells.trained(make, task, seed, gt.trainers.Adam(), cell["steps"], batch=50, rate=3e-3)
    return result | {"state": units * (1 + copies if copies else 2)}


def noise(items: int, copies: int, trials: int, seed: int, units: int = 256) -> study.Result:
    """Return the mean squared error of recalled units whose mean square is 1, and what the law says."""
    rng, dtype = torch.Generator().manual_seed(derive_seed(seed, "noise")), torch.complex128
    errors = []
    for _ in range(trials):
        keys = random_keys(items, units, rng=rng, dtype=dtype)
        values = torch.randn(items, units, generator=rng, dtype=dtype)
        orders = random_permutations(copies, units, rng)
        errors.append((recall(store(keys, values, orders)[:, None], keys, orders) - values).abs().square().mean())
    found, law = float(torch.stack(errors).mean()), noise_variance(items, 1.0, copies)
    return {"noise": found, "law": law, "noise / law": found / law}


def cells(steps: dict[str, int], units: int, trials: int) -> dict[str, study.Cell]:
    """Return every net on every task, and every memory."""
    learned = {f"{task}, {net}": {"task": task, "net": net, "steps": n, "units": units}
               for task, n in steps.items() for net in NETS}  # fmt: skip
    measured = {f"noise, {items} items, {copies} copies": {"task": "noise", "items": items, "copies": copies}
                for items in ITEMS for copies in COPIES}  # fmt: skip
    return learned | {name: {**cell, "trials": trials} for name, cell in measured.items()}


LEARNED = {"state": "numbers in the state", **sequence_cells.COLUMNS}
MEASURED = {"noise": "noise", "law": "law", "noise / law": "noise / law"}
STUDY = study.Study("associative_memory", run, cells(STEPS, 64, 50), {**LEARNED, **MEASURED})
PAGE = """# Associative memory and its copies

    python scripts/associative_memory.py --jobs 2

{text}

{units} units; recall with replacement (4 keys, 4 values, 6 pairs written, 4 asked) in {recall} steps, episodic copying
(1 to 10 symbols, delay 5) in {copying}; {seeds} seeds, mean and 95 % interval on 500 new sequences. The mean over the
training tells how fast a net learns.

{learned}

![By net](associative_memory-all.png)

![Loss over the steps](associative_memory-loss.png)

Mean squared error of recalled units, E|x|² = 1, and the law (N - 1) E|x|² / S for N items in S copies:

{measured}

{verdict}
"""


def parts(results: study.Results) -> tuple[study.Results, study.Results]:
    """Return what was learned and what was measured."""
    noisy = [cell for cell in results.study.cells if cell.startswith("noise")]
    learned = [cell for cell in results.study.cells if cell not in noisy]
    return results.part(learned, LEARNED), results.part(noisy, MEASURED)


def verdict(results: study.Results) -> str:
    """Return what the numbers support of the paper's claims."""
    most, said = f"{COPIES[-1]} copies", []
    for task in STEPS:
        pairs = [(most, "1 copy"), ("1 copy", "LSTM"), (most, "LSTM"), ("4 copies", "LSTM, state of 4 copies")]
        said += [results.difference(f"{task}, {a}", f"{task}, {b}", column)
                 for a, b in pairs for column in ("area", "ratio")]  # fmt: skip
    worst = max(abs(results.interval(cell, "noise / law")[0] - 1) for cell in parts(results)[1].study.cells)
    said += [
        f"The noise is within {100 * worst:.1f} % of its law in every cell.",
        "Claim (arXiv 1602.03032): faster learning with more copies, and faster than an LSTM; shown there as curves.",
    ]
    return "\n".join(f"- {sentence}" for sentence in said)


def page(results: study.Results) -> str:
    """Return the page."""
    text = " ".join((__doc__ or "").split("\n\n")[1].split())
    learned, measured = (part.table() for part in parts(results))
    steps = {task: results.study.cells[f"{task}, LSTM"]["steps"] for task in STEPS}
    return PAGE.format(
        text=text, units=results.study.cells["recall, LSTM"]["units"], seeds=len(results.study.seeds), **steps,
        learned=learned, measured=measured, verdict=verdict(results),
    )  # fmt: skip


def main() -> None:
    """Run it, or its quick form."""
    args, chosen = study.parser(__doc__).parse_args(), STUDY
    if args.quick:
        chosen = dataclasses.replace(STUDY, cells=cells(dict.fromkeys(STEPS, 15), 8, 5), seeds=range(2))
    figures = {"all": lambda r: parts(r)[0].figure(), "loss": lambda r: parts(r)[0].curves("loss / memoryless")}
    study.conduct(chosen, args, page, figures)


if __name__ == "__main__":
    main()
