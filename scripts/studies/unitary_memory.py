"""Whether unitary recurrent nets remember what an LSTM forgets: copying ten symbols after a delay.

Nets with as many reals in their state (h and c of an LSTM together), trained as published for the uRNN
(arXiv:1511.06464): RMSProp, learning rate 1e-3, decay 0.9, batches of 20, without gradient clipping; 400 steps at a
delay of T = 30. The long form has T = 200, and fewer nets.

    python scripts/studies/unitary_memory.py --jobs 2
    python scripts/studies/unitary_memory.py --long --jobs 2
    python scripts/studies/unitary_memory.py --quick
"""

import dataclasses
import math
from collections.abc import Iterable
from pathlib import Path

import torch
from cells import sequence_cells
from harness import study
from harness.intervals import Estimate
from torch import nn

import gantools as gt
from gantools.data.sequences import Copying
from gantools.nn import EUNN, GORU, KRU, URNN, FullUnitaryRNN

# By half the reals of the state: complex units, or units of an LSTM.
NETS = {
    "uRNN": lambda i, n, rng: URNN(i, n, batch_first=True, rng=rng),
    "full unitary": lambda i, n, rng: FullUnitaryRNN(i, n, batch_first=True, rng=rng),
    "EUNN": lambda i, n, rng: EUNN(i, n, capacity=4, batch_first=True, rng=rng),
    "KRU": lambda i, n, rng: KRU(i, n, batch_first=True, rng=rng),
    "GORU": lambda i, n, rng: GORU(i, 2 * n, capacity=4, batch_first=True, rng=rng),
    "LSTM": sequence_cells.lstm,
}
LONG = ("uRNN", "full unitary", "EUNN", "LSTM")
# The paper on the Kronecker unit does not give the weight of its constraint.
CONSTRAINT = 0.1
# Of the memoryless loss: a cross-entropy of 0.01 at T = 30.
SOLVED = 0.024


def beaten(loss: Estimate) -> str:
    """Return whether a loss, as a fraction of the memoryless one, is below it: its interval is, is not, or holds 1."""
    if loss.low < 1 <= loss.high:
        return "and whether it beats that is open"
    return "which it beats" if loss.high < 1 else "which it does not beat"


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Train one net, and measure its gradients through time before."""

    def make(inputs: int, rng: torch.Generator) -> nn.Module:
        return NETS[cell["net"]](inputs, cell["units"], rng)

    base, constraint = gt.trainers.RMSProp(alpha=0.9), CONSTRAINT if cell["net"] == "KRU" else 0.0
    task = Copying(delay=cell["delay"])
    result = sequence_cells.trained(make, task, seed, base, cell["steps"], constraint=constraint)
    return result | {"gradient ratio": sequence_cells.gradient_ratio(make, seed)}


def cells(names: Iterable[str], delay: int, steps: int, units: int = 64) -> dict[str, study.Cell]:
    """Return the nets at one delay."""
    return {name: {"net": name, "delay": delay, "steps": steps, "units": units} for name in names}


def verdict(results: study.Results) -> list[str]:
    """Return the paper's claims, each with the numbers that support it or do not."""
    said = [
        "Claims (arXiv:1511.06464): the uRNN comes close to 0 at every delay, up to 500; an LSTM of about as many "
        "parameters is better than the memoryless loss at T = 100 alone; a uRNN's gradients keep their norm."
    ]
    for cell in results.study.cells:
        final, lowest = (results.values(cell, column) for column in ("ratio", "best"))
        loss = results.estimate(cell, "ratio")
        said.append(
            f"{cell}: solved with {(final < SOLVED).sum()} of {len(final)} seeds at the end (as a fraction "
            f"{study.fraction(int((final < SOLVED).sum()), len(final))}, exact), with "
            f"{(lowest < SOLVED).sum()} at some time; its loss is {loss} of the memoryless one, "
            f"{beaten(loss)}; gradients over 100 steps keep "
            f"{results.mean(cell, 'gradient ratio'):.3g} of their norm at the start."
        )
    return said


COLUMNS = {**sequence_cells.COLUMNS, "gradient ratio": "gradient ratio over 100 steps, at the start"}
STUDY = study.Study(
    "unitary_memory",
    run,
    cells(NETS, 30, 400),
    COLUMNS,
    quick=cells(NETS, 5, 20, 16),
    bounds={**sequence_cells.BOUNDS, "gradient ratio": (0.0, math.inf)},
)
LONG_STUDY = dataclasses.replace(
    STUDY, name="unitary_memory_long", cells=cells(LONG, 200, 800), quick=cells(LONG, 20, 20, 16)
)
SECTION = study.Section(
    f"""Here T = {{delay}}, {{steps}} steps, {{units}} complex units; {{seeds}} seeds, mean and 95 % interval.

{sequence_cells.EXPLAINED} Without memory the loss is 10 ln 8 / (T + 20) and, since the T + 10 blanks count too, the
accuracy 1 - 8.75 / (T + 20); "solved" means a loss below {SOLVED} of the memoryless one. The gradient ratio is that of
the norms of a loss's derivatives by the first state and by the last. KRU has its soft unitary constraint with the
weight {CONSTRAINT}.""",
    figures={
        "all": ("By net", study.Results.figure),
        "loss": ("Loss over the steps", lambda results: results.curves("loss / memoryless", log=True)),
    },
    pairs=[(net, "LSTM") for net in NETS if net != "LSTM"],
    compared=("ratio", "area"),
)
PAGE = study.Page("Unitary recurrent nets and memory", __doc__, [SECTION], verdict)
FORMS = {"long": LONG_STUDY}

if __name__ == "__main__":
    study.main(STUDY, PAGE, **FORMS)
