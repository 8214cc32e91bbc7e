"""Unitary recurrent nets where they must forget, add, read images and be small, with LSTM and GRU beside.

What the papers claim beyond copying: the gates of GORU forget accurately what uRNN cannot (denoising,
arXiv:1706.02761); the uRNN adds over long sequences and reads digits pixel by pixel (arXiv:1511.06464); KRU has the
quality of a full unitary matrix with hardly any recurrent numbers (copying, arXiv:1705.10142). In denoising,
adding and digits all nets have as many reals in their state (h and c of an LSTM together); in copying sizes differ.
RMSProp, decay 0.9, without clipping. Digits need an extra, `pip install -e ".[mnist]"`.

    python scripts/studies unitary_tasks
    python scripts/studies unitary_tasks --digits        (needs the extra mnist; has a page of its own)
    python scripts/studies unitary_tasks --quick
"""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import unitary_memory
from cells import sequence_cells
from cells.pixel_digits import PixelDigits
from harness import study
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter
from torch import nn

import gantools as gt
from gantools.data.sequences import Adding, Copying, Denoising

# By half the reals of the state, as in the study of copying; products of factors as one matrix, which is the same map.
NETS: dict[str, Any] = {**unitary_memory.NETS, "GRU": lambda i, n, rng: sequence_cells.gru(i, 2 * n, rng)}
FACTORED = ("uRNN", "KRU")
BESIDE = ("uRNN", "GORU", "LSTM", "GRU")
TASKS: dict[str, Any] = {"denoising": Denoising(delay=10), "adding": Adding(length=20), "copying": Copying(delay=10),
                         "digits": PixelDigits(side=7)}  # fmt: skip
STEPS = {"denoising": 600, "adding": 500, "copying": 250, "digits": 250}
RATE = {"denoising": 1e-2, "adding": 1e-2, "copying": 1e-3, "digits": 3e-3}
UNITS, BATCH = 32, 20
REACHED = 0.1  # the fraction of the memoryless loss below which a task counts as learned
SIZES = {"KRU": (8, 32, 128), "uRNN": (8, 32, 128), "full unitary": (8, 32, 64)}


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Train one net."""
    return together(cell, [seed])[seed]


def together(cell: study.Cell, seeds: Sequence[int]) -> dict[int, study.Result]:
    """Train the nets of several seeds."""
    name, task = cell["task"], TASKS[cell["task"]]

    def make(inputs: int, rng: torch.Generator) -> nn.Module:
        net = NETS[cell["net"]](inputs, cell["units"], rng)
        return sequence_cells.multiplied_out(net) if cell["net"] in FACTORED else net

    constraint = unitary_memory.CONSTRAINT if cell["net"] == "KRU" else 0.0
    base = gt.trainers.RMSProp(alpha=0.9)
    results = sequence_cells.trained_together(
        make, task, seeds, base, cell["steps"], batch=BATCH, rate=RATE[name], constraint=constraint
    )
    recurrent = recurrent_numbers(make(task.input_size, torch.Generator()))
    for result in results.values():
        if "failed" not in result:
            result["recurrent"] = recurrent
            result["reached"] = float(result["ratio"] < REACHED)
    return results


def recurrent_numbers(cell: Any) -> int:
    """Return how many parameters map a state to the next: the recurrent matrix, and those of gates."""
    if isinstance(cell, nn.RNNBase):
        return sum(p.numel() for name, p in cell.named_parameters() if name.startswith("weight_hh"))
    gates = cell.gate_weight.numel() if hasattr(cell, "gate_weight") else 0
    return gates + sum(p.numel() for p in cell.recurrent.parameters())


def cells(tasks: Sequence[str], steps: dict[str, int], units: int, largest: int) -> dict[str, study.Cell]:
    """Return the nets on these tasks; on copying, each at several sizes."""
    found: dict[str, study.Cell] = {}
    for task in tasks:
        common = {"task": task, "steps": steps[task], "starts": 1}
        if task == "copying":
            for net, sizes in SIZES.items():
                found |= {f"{net}, {n}": {**common, "net": net, "units": n} for n in sizes if n <= largest}
        else:
            found |= {f"{task}, {net}": {**common, "net": net, "units": units} for net in BESIDE}
    return found


def smallest(results: study.Results, net: str) -> str | None:
    """Return the cell of the smallest net that reaches the loss with every seed."""
    for name, cell in results.study.cells.items():
        if cell["task"] == "copying" and cell["net"] == net and bool((results.values(name, "reached") == 1).all()):
            return name
    return None


def verdict(results: study.Results) -> list[str]:
    """Return the papers' claims, each with the numbers that support it or do not."""
    present = {cell["task"] for cell in results.study.cells.values()}
    said = []
    if "denoising" in present:
        said.append(
            "Claim (arXiv:1706.02761): GORU learns denoising, a uRNN does not. Of the memoryless loss remain "
            + shown(results, "denoising")
            + ". "
            + results.difference("denoising, GORU", "denoising, uRNN", "ratio")
            + f" Learned at the end: {learned(results, 'denoising')}."
        )
        said.append(
            "Claim (arXiv:1511.06464): a uRNN and an LSTM learn adding. Of the memoryless loss (1/6) remain "
            + shown(results, "adding")
            + ". "
            + results.difference("adding, uRNN", "adding, LSTM", "ratio")
            + f" Learned at the end: {learned(results, 'adding')}."
        )
    if "copying" in present:
        said.append(
            "Claim (arXiv:1705.10142): KRU needs far fewer recurrent numbers for the same loss. " + saving(results)
        )
    if "digits" in present:
        accuracies = ", ".join(f"{results.shown(f'digits, {net}', 'accuracy')} ({net})" for net in BESIDE)
        said.append(
            "Claim (arXiv:1511.06464): pixel by pixel, an LSTM names 98.2 % of the digits and a uRNN 95.1 % (784 "
            f"pixels, 60 000 images). Here, after {STEPS['digits']} steps, which show how soon nets learn and "
            f"not how far they come, so that this does not test the paper's claim: {accuracies}. "
            + results.difference("digits, uRNN", "digits, LSTM", "accuracy")
        )
    return said


def shown(results: study.Results, task: str) -> str:
    """Return the losses of all nets on a task, in words."""
    return ", ".join(f"{results.shown(f'{task}, {net}', 'ratio')} ({net})" for net in BESIDE)


def learned(results: study.Results, task: str) -> str:
    """Return how many seeds of each net ended below the loss that counts as learned, in words."""
    counts = {net: results.values(f"{task}, {net}", "reached") for net in BESIDE}
    return ", ".join(f"{net} with {int((found == 1).sum())} of {len(found)} seeds" for net, found in counts.items())


def saving(results: study.Results) -> str:
    """Return the smallest net of each kind that reaches the loss with every seed, in words."""
    words, found = [], {net: smallest(results, net) for net in SIZES}
    for net, name in found.items():
        if name is None:
            words.append(f"no {net} of these sizes does")
        else:
            n = results.study.cells[name]["units"]
            numbers, all_of_it = (results.mean(name, column) for column in ("recurrent", "parameters"))
            words.append(f"{net} with {n} units ({numbers:.0f} recurrent numbers, {all_of_it:.0f} in all)")
    return (
        f"Below {REACHED} of the memoryless loss with every seed, the smallest of each kind: {'; '.join(words)}. The "
        "maps of inputs and outputs are most of a small net, so in all parameters the kinds differ little."
    )


COLUMNS = {"recurrent": "recurrent numbers", **sequence_cells.COLUMNS, "reached": "learned"}
STUDY = study.Study(
    "unitary_tasks",
    run,
    cells(("copying", "denoising", "adding"), STEPS, UNITS, 128),
    COLUMNS,
    quick=cells(("copying", "denoising", "adding"), dict.fromkeys(STEPS, 10), 8, 8),
    bounds=sequence_cells.BOUNDS,
    trials={"reached": "starts"},
    together=together,
)
DIGITS = dataclasses.replace(
    STUDY,
    name="unitary_tasks_digits",
    cells=cells(("digits",), STEPS, UNITS, 0),
    quick=cells(("digits",), {"digits": 10}, 8, 0),
)
DRAWN = {name: COLUMNS[name] for name in ("ratio", "accuracy", "area")}


def draw(results: study.Results) -> Figure:
    """Draw what the nets of a task reached."""
    return results.part(results.study.cells, DRAWN).figure()


def draw_saving(results: study.Results) -> Figure:
    """Draw the loss over the recurrent numbers, and over all parameters, of each kind of net."""
    figure = Figure(figsize=(8.4, 3.4), dpi=110, layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, column in zip(panels, ("recurrent", "parameters"), strict=True):
        for net, marker, colour in zip(SIZES, "os^", ("#0072b2", "#009e73", "#d55e00"), strict=True):
            names = [name for name, cell in results.study.cells.items() if cell["net"] == net]
            numbers = [results.mean(name, column) for name in names]
            axes.plot(numbers, [results.mean(name, "ratio") for name in names], color=colour, lw=1, label=net)
            for x, name in zip(numbers, names, strict=True):
                axes.plot([x] * len(results.study.seeds), results.values(name, "ratio"), marker, color=colour, ms=4)
        axes.axhline(REACHED, color="#9aa5b1", lw=1)
        axes.set(xscale="log", yscale="log", xlabel=COLUMNS[column])
        axes.xaxis.set_minor_formatter(NullFormatter())  # its labels overlap where an axis has one decade
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("loss / memoryless")
    panels[0].legend(fontsize=8)
    return figure


CURVES = ("Loss over the steps", lambda results: results.curves("loss / memoryless", log=True))


def _section(task: str, text: str, compared: Sequence[str], pairs: Sequence[tuple[str, str]]) -> study.Section:
    return study.Section(
        text,
        {name: heading for name, heading in COLUMNS.items() if name != "reached" or task != "digits"},
        where=lambda cell: cell["task"] == task,
        figures={task: ("By net", draw_saving if task == "copying" else draw), f"{task}-loss": CURVES},
        pairs=pairs,
        compared=compared,
    )


SECTIONS = [
    _section(
        "copying",
        f"""## Parameters for a loss

Copying ten symbols over T = 10 (30 steps), {{steps}} training steps of learning rate {RATE["copying"]}, batches
of {BATCH}, {{units}} complex units; {{seeds}} seeds, mean and 95 % interval. Recurrent numbers are those of the
unitary matrix: 7 n of a uRNN, 8 log2 n of KRU, n² of the full matrix. Without memory the loss is 10 ln 8 / 30.

{sequence_cells.EXPLAINED} "Learned": below {REACHED} of the memoryless loss at the end, as a fraction of the seeds.""",
        ("ratio",),
        [("KRU, 8", "full unitary, 8"), ("KRU, 32", "full unitary, 32"), ("KRU, 128", "full unitary, 64"),
         ("KRU, 128", "uRNN, 8"), *((f"KRU, {n}", f"uRNN, {n}") for n in SIZES["uRNN"])],
    ),
    _section(
        "denoising",
        f"""## Denoising

Ten symbols among 19 steps of noise, then repeated in order (T = 10: 30 steps), {{steps}} training steps of
learning rate {RATE["denoising"]}, batches of {BATCH}; {2 * UNITS} reals in the state. Columns as above; without
memory the loss is 10 ln 9 / 30.""",
        ("ratio", "area"),
        [("denoising, GORU", f"denoising, {net}") for net in BESIDE if net != "GORU"],
    ),
    _section(
        "adding",
        f"""## Adding

Two marked ones of 20 uniform numbers are added; squared error, 1/6 without memory; accuracy: sums within 0.04.
{{steps}} training steps of learning rate {RATE["adding"]}, batches of {BATCH}; {2 * UNITS} reals in the state.
Columns as above.""",
        ("ratio", "area"),
        [("adding, uRNN", f"adding, {net}") for net in BESIDE if net != "uRNN"],
    ),
    _section(
        "digits",
        f"""Digits of 28 x 28 pixels as 7 x 7 means of blocks, one pixel a step (49 steps), from the data set mnist5k:
400 images of each digit to learn from, 100 for the test. {{steps}} training steps of learning rate {RATE["digits"]},
batches of {BATCH}; {2 * UNITS} reals in the state; {{seeds}} seeds, mean and 95 % interval. Losses are
cross-entropies, and fractions of ln 10; chance is an accuracy of 0.1.""",
        ("accuracy", "ratio"),
        [("digits, uRNN", f"digits, {net}") for net in BESIDE if net != "uRNN"],
    ),
]  # fmt: skip
PAGE = study.Page("Unitary nets beyond copying", __doc__, SECTIONS, verdict)
FORMS = {"digits": DIGITS}
