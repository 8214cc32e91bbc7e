"""Associative memories loaded until they break: recall over the number of pairs, learned and with random keys.

Nets learn to store pairs of key and value, 1 to 16 of them with keys all different, and are asked for two values
(chance 0.25): the Associative LSTM (arXiv:1602.03032) with its pairs in S copies, an LSTM of as many units, and
LSTMs of as large a state. Then the memory alone, without learning: random keys and items, and the nearest item. A
memory breaks at the number of pairs at which fewer than nine values in ten are recalled.

    python scripts/studies loaded_memory
    python scripts/studies loaded_memory --quick
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from cells import memory_cells, sequence_cells
from cells.memory_cells import LoadedRecall
from harness import study
from matplotlib.figure import Figure
from torch import nn

import gantools as gt
from gantools.data.seeds import derive_seed
from gantools.nn import AssociativeLSTM

UNITS, MOST, VALUES = 16, 16, 4
LOADS = (1, 2, 4, 6, 8, 12, 16)
COPIES = (1, 4, 8)
# Copies of an Associative LSTM, 0 for an LSTM, and units. h and c of an LSTM have two numbers for each unit, those of
# an Associative LSTM 1 + S.
NETS = {**{f"{s} copies" if s > 1 else "1 copy": (s, UNITS) for s in COPIES},
        "LSTM": (0, UNITS), "LSTM, state of 4 copies": (0, UNITS * 5 // 2),
        "LSTM, state of 8 copies": (0, UNITS * 9 // 2)}  # fmt: skip
BARE_UNITS, ITEMS, BARE_LOADS = 64, 32, (1, 2, 4, 8, 16, 32, 64, 128)


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Train one net and load it, or load a memory."""
    return together(cell, [seed])[seed]


def together(cell: study.Cell, seeds: Sequence[int]) -> dict[int, study.Result]:
    """Train the nets of several seeds and load them, or load their memories."""
    if cell["kind"] == "bare":
        return {seed: bare(cell["copies"], cell["trials"], seed) for seed in seeds}
    copies, units = NETS[cell["net"]]

    def make(inputs: int, rng: torch.Generator) -> nn.Module:
        if not copies:
            return sequence_cells.lstm(inputs, units, rng)
        return AssociativeLSTM(inputs, units, copies, batch_first=True, rng=rng)

    task = LoadedRecall(MOST, VALUES)
    results = sequence_cells.trained_together(
        make, task, seeds, gt.trainers.Adam(), cell["steps"], batch=32, rate=3e-3, extra=partial(loaded, task)
    )
    state = units * (1 + copies if copies else 2)
    return {seed: result | {"state": state} for seed, result in results.items()}


def loaded(task: LoadedRecall, model: nn.Module, rng: torch.Generator) -> dict[str, float]:
    """Return the accuracy of a net at every load, on 500 sequences each, and where it breaks."""
    found = []
    for pairs in LOADS:
        batch = task.batch(500, rng, pairs)
        with torch.no_grad():
            found.append(float(task.accuracy(model(batch["input"]), batch)))
    return {f"at {n}": a for n, a in zip(LOADS, found, strict=True)} | {"breaks": memory_cells.breaks(LOADS, found)}


def bare(copies: int, trials: int, seed: int) -> study.Result:
    """Return the accuracy of a memory of random keys at every load, and where it breaks, found and in theory."""
    rng = torch.Generator().manual_seed(derive_seed(seed, "loads"))
    found = [memory_cells.holographic(BARE_UNITS, copies, n, ITEMS, trials, rng) for n in BARE_LOADS]
    law = in_theory(copies)
    return {
        **{f"at {n}": a for n, a in zip(BARE_LOADS, found, strict=True)},
        "breaks": memory_cells.breaks(BARE_LOADS, found),
        "breaks in theory": breaks_in_theory(copies),
        "farthest from theory": max(abs(a - b) for a, b in zip(found, law, strict=True)),
    }


def in_theory(copies: int, sums: bool = True) -> list[float]:
    """Return the accuracy at every load of a memory of random keys by `memory_cells.theory`."""
    return [memory_cells.theory(BARE_UNITS, copies, n, ITEMS, sums) for n in BARE_LOADS]


def breaks_in_theory(copies: int, sums: bool = True) -> float:
    """Return the number of pairs at which a memory of random keys breaks by `memory_cells.theory`."""
    return memory_cells.breaks(BARE_LOADS, in_theory(copies, sums))


def cells(steps: int, trials: int) -> dict[str, study.Cell]:
    """Return every net, and every memory."""
    learned: dict[str, study.Cell] = {net: {"kind": "net", "net": net, "steps": steps} for net in NETS}
    return learned | {
        f"random keys, {s} copies" if s > 1 else "random keys, 1 copy": {"kind": "bare", "copies": s, "trials": trials}
        for s in COPIES
    }


def draw(loads: Sequence[int], results: study.Results) -> Figure:
    """Draw the accuracy over the pairs: mean and interval of each cell, and the theory of random keys."""
    figure = Figure(figsize=(7.6, 3.8), dpi=110, layout="constrained")
    axes = figure.subplots()
    lines = zip(results.study.cells.items(), "os^vDP", "-" * 6, COLOURS, strict=False)
    for (name, cell), marker, style, colour in lines:
        found = [results.estimate(name, f"at {n}") for n in loads]
        means = [e.mean for e in found]
        ends = [[e.mean - e.low for e in found], [e.high - e.mean for e in found]]
        axes.errorbar(loads, means, ends, fmt=marker + style, color=colour, capsize=2, ms=4, lw=1, label=name)
        if cell["kind"] == "bare":
            law = [memory_cells.theory(BARE_UNITS, cell["copies"], n, ITEMS) for n in loads]
            axes.plot(loads, law, ":", color=colour, lw=2)
    if any(cell["kind"] == "net" for cell in results.study.cells.values()):
        guessed = [memory_cells.most_frequent(n, VALUES) for n in loads]
        axes.plot(loads, guessed, ":", color="black", lw=2, label="most frequent value")
    axes.axhline(memory_cells.BROKEN, color="#9aa5b1", lw=1)
    axes.set_xscale("log", base=2)
    axes.set_xticks(loads, [str(n) for n in loads])
    axes.set(xlabel="pairs", ylabel="values recalled", ylim=(0, 1.03))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=8)
    return figure


COLOURS = ("#0072b2", "#009e73", "#56b4e9", "#d55e00", "#e69f00", "#cc79a7")
LEARNED = {"state": "numbers in the state", "parameters": "parameters", "loss": "loss",
           **{f"at {n}": f"recalled, {n} pairs" if n > 1 else "recalled, 1 pair" for n in LOADS},
           "breaks": "breaks at"}  # fmt: skip
BARE = {**{f"at {n}": f"recalled, {n} pairs" if n > 1 else "recalled, 1 pair" for n in BARE_LOADS},
        "breaks": "breaks at", "breaks in theory": "breaks at, in theory",
        "farthest from theory": "farthest from theory"}  # fmt: skip


def verdict(results: study.Results) -> list[str]:
    """Return where each memory breaks, and what the copies change."""
    nets, memories = (
        [name for name, cell in results.study.cells.items() if cell["kind"] == kind] for kind in ("net", "bare")
    )
    guessed = memory_cells.most_frequent(4, VALUES)
    said = [
        f"Learned, {name}: breaks at {results.shown(name, 'breaks')} pairs; with 4 pairs it recalls "
        f"{results.shown(name, 'at 4')}, with {MOST} {results.shown(name, f'at {MOST}')}"
        + (
            f". That is about what the value written most often gets ({guessed:.3f} with 4), for which nothing has to "
            "be associated."
            if abs(results.mean(name, "at 4") - guessed) < 0.03
            else "."
        )
        for name in nets
    ]
    said.append(
        "Claim (arXiv:1602.03032): redundant copies make the memory hold more. Of learned memories: "
        + " ".join(results.difference(f"{s} copies", "1 copy", "breaks") for s in COPIES[1:])
    )
    said += [
        f"{name[0].upper()}{name[1:]}: breaks at {results.shown(name, 'breaks')} pairs, in theory at "
        f"{results.shown(name, 'breaks in theory')}; at no load is the accuracy farther from theory than "
        f"{max(results.values(name, 'farthest from theory')):.3f}."
        for name in memories
    ]
    return said


STUDY = study.Study(
    "loaded_memory",
    run,
    cells(1200, 100),
    {**LEARNED, **BARE},
    quick=cells(15, 3),
    bounds={
        **{f"at {n}": (0.0, 1.0) for n in (*LOADS, *BARE_LOADS)},
        "loss": (0.0, float("inf")),
        "breaks": (0.0, float(max(*LOADS, *BARE_LOADS))),
    },
    together=together,
)


def _kind(kind: str) -> Any:
    return lambda cell: cell["kind"] == kind


GUESSED = ", ".join(f"{memory_cells.most_frequent(n, VALUES):.3f}" for n in LOADS)
NETS_SECTION = study.Section(
    f"""{UNITS} units ({UNITS // 2} complex ones in the Associative LSTM), {MOST} keys, {VALUES} values, 1 to {MOST}
pairs in training; Adam, learning rate 3e-3, batches of 32, {{steps}} steps; {{seeds}} seeds, mean and 95 %
interval. At each number of pairs 500 new sequences. "Breaks at" is where the accuracy falls below
{memory_cells.BROKEN:.0%}, linear between the loads; {MOST} where it never does, 0 where one pair is too many.
Whoever associates nothing, and answers the value that was written most often, gets {GUESSED} right (dotted). The
losses of the Associative LSTM still fall at the end.""",
    LEARNED,
    where=_kind("net"),
    figures={
        "nets": ("Values recalled over pairs", partial(draw, LOADS)),
        "loss": ("Loss over the steps", lambda results: results.curves("loss / memoryless")),
    },
    pairs=[("4 copies", "1 copy"), ("8 copies", "1 copy"), ("1 copy", "LSTM"),
           ("4 copies", "LSTM, state of 4 copies"), ("8 copies", "LSTM, state of 8 copies")],
    compared=("breaks",),
)  # fmt: skip
BARE_SECTION = study.Section(
    f"""Without learning: {BARE_UNITS} complex units, keys and items of random phases, the nearest of {ITEMS} items is
the answer (chance {1 / ITEMS:.3f}); {{trials}} memories for each seed and load. Theory
(dotted in the figure): the noise of the other pairs is normal, of variance (N - 1) / S a unit, except that copies do
not thin out what a pair adds to the product with the very item that it holds, since permutations leave sums over units
as they are: of M items a variance of (N - 1) ((1 - 1/M) / S + 1/M). The second term was derived after a first
run had shown that (N - 1) / S alone is wrong for 8 copies (78.8 pairs): agreement with it is not a forecast.""",
    BARE,
    where=_kind("bare"),
    figures={"memories": ("Random keys and theory", partial(draw, BARE_LOADS))},
    pairs=[(f"random keys, {s} copies", "random keys, 1 copy") for s in COPIES[1:]],
    compared=("breaks",),
)
PAGE = study.Page("Associative memory, loaded until it breaks", __doc__, [NETS_SECTION, BARE_SECTION], verdict)
