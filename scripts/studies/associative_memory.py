"""Redundant copies in an associative memory: recall and copying with an LSTM beside, and the noise that remains.

The Associative LSTM (Danihelka et al., arXiv:1602.03032) keeps its pairs of key and value in S copies. Its parameters
do not depend on S, but its state does: an LSTM with as many units stands beside it, and one with as large a state as
four copies. Adam, learning rate 3e-3, batches of 50. Then the noise of recalled items over copies and items, for random
keys, without learning.

    python scripts/studies/associative_memory.py --jobs 2
    python scripts/studies/associative_memory.py --quick
"""

from pathlib import Path
from typing import Any

import torch
from cells import sequence_cells
from harness import study
from torch import nn

import gantools as gt
from gantools.data.seeds import derive_seed
from gantools.data.sequences import AssociativeRecall, EpisodicCopy
from gantools.nn import AssociativeLSTM
from gantools.nn.recurrent.holographic import noise_variance, random_keys, random_permutations, recall, store

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

    task, base = TASKS[cell["task"]], gt.trainers.Adam()
    result = sequence_cells.trained(make, task, seed, base, cell["steps"], batch=50, rate=3e-3)
    return result | {"state": units * (1 + copies if copies else 2)}


def noise(items: int, copies: int, trials: int, seed: int, units: int = 256) -> study.Result:
    """Return the mean squared error of recalled units whose mean square is 1, and the value that the law predicts."""
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


def verdict(results: study.Results) -> list[str]:
    """Return the paper's claims, each with the numbers that support it or do not."""
    memories = [name for name, cell in results.study.cells.items() if cell["task"] == "noise"]
    noise = [results.estimate(cell, "noise / law") for cell in memories]
    apart = sum(one.low > 1 or one.high < 1 for one in noise)
    faster = [
        f"{task}: a mean over training of {results.shown(f'{task}, 8 copies', 'area')} with 8 copies, "
        f"{results.shown(f'{task}, 1 copy', 'area')} with one, and {results.shown(f'{task}, LSTM', 'area')} of an LSTM."
        for task in STEPS
    ]
    return [
        "Claim (arXiv:1602.03032): faster learning with more copies, and faster than an LSTM; shown there as curves.",
        *faster,
        "These memories hold at most four pairs at a time, in 32 complex units; "
        "[where memories break](loaded_memory.md) is another study.",
        f"The noise is {min(one.mean for one in noise):.3f} to {max(one.mean for one in noise):.3f} of its law; in "
        f"{apart} of {len(noise)} cells the interval does not hold 1, so that the law is near, and not exact.",
    ]


LEARNED = {"state": "numbers in the state", **sequence_cells.COLUMNS}
MEASURED = {"noise": "noise", "law": "law", "noise / law": "noise / law"}
STUDY = study.Study(
    "associative_memory",
    run,
    cells(STEPS, 64, 50),
    {**LEARNED, **MEASURED},
    quick=cells(dict.fromkeys(STEPS, 15), 8, 5),
    bounds=sequence_cells.BOUNDS,
)
PAIRS = [("8 copies", "1 copy"), ("1 copy", "LSTM"), ("8 copies", "LSTM"), ("4 copies", "LSTM, state of 4 copies")]
NETS_SECTION = study.Section(
    f"""{{units}} units; recall with replacement (4 keys, 4 values, 6 pairs written, 4 asked) and episodic copying (1 to
10 symbols, delay 5), in {{steps}} steps; {{seeds}} seeds, mean and 95 % interval.

{sequence_cells.EXPLAINED}""",
    LEARNED,
    where=lambda cell: cell["task"] != "noise",
    figures={
        "all": ("By net", study.Results.figure),
        "loss": ("Loss over the steps", lambda results: results.curves("loss / memoryless")),
    },
    pairs=[(f"{task}, {net}", f"{task}, {baseline}") for task in STEPS for net, baseline in PAIRS],
    compared=("area", "ratio"),
)
NOISE_SECTION = study.Section(
    """Mean squared error of recalled units, E|x|² = 1, in {trials} memories for each seed, and the law
(N - 1) E|x|² / S for N items in S copies:""",
    MEASURED,
    where=lambda cell: cell["task"] == "noise",
)
PAGE = study.Page("Associative memory and its copies", __doc__, [NETS_SECTION, NOISE_SECTION], verdict)

if __name__ == "__main__":
    study.main(STUDY, PAGE)
