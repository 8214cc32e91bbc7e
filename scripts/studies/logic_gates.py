"""How often small nets learn logic gates: XOR with few hidden units, and eight states from some of them.

After YJango's tutorial (github.com/YJango/tensorflow_basic_tutorial): nets 2-2-1 with ReLU, a linear output, squared
error, an L2 penalty on the hidden weights, weights uniform within sqrt(5 / fan-in) and biases of 0.1; full batches and
Adam. Its claims: XOR needs a hidden layer, and two units are enough; a deep net learns a function of three bits from
three or four of the eight states. A state can be shown in two ways: as one number, and as its bits. The tutorial's code
has the bits alone, so the number is defined here: 0, 1/3, 2/3, 1 for two bits and n/7 for three. The inverse problem
asks for the input from the output, which several inputs share. Many starts for each seed, trained at once.

    python scripts/studies/logic_gates.py --jobs 2
    python scripts/studies/logic_gates.py --quick
"""

import math
from typing import Any

from cells import logic_cells
from harness import intervals, study
from matplotlib.figure import Figure

STARTS = 40


def xor(hidden: int, activation: str = "relu", penalty: float = 0.0, **more: Any) -> study.Cell:
    """Return XOR with a hidden layer; ReLU at the tutorial's learning rate, smooth units at ten times that."""
    rate, steps = (1e-3, 10_000) if activation == "relu" else (1e-2, 8000)
    return {"gate": "xor", "hidden": [hidden] if hidden else [], "activation": activation, "penalty": penalty,
            "rate": rate, "steps": steps, **more}  # fmt: skip


GATES = {
    "and, no hidden units": xor(0) | {"gate": "and"}, "or, no hidden units": xor(0) | {"gate": "or"},
    "xor, no hidden units": xor(0), **{f"xor, {n} relu": xor(n) for n in (2, 3, 4, 8)},
    **{f"xor, {n} relu, L2": xor(n, penalty=0.01) for n in (2, 4)},
    **{f"xor, 2 {name}": xor(2, name) for name in ("sigmoid", "tanh", "silu")},
    "xor backwards, 8 relu": xor(8, backwards=True),
    **{f"xor, one input, {n} relu": xor(n, numbered=True) for n in (2, 3, 8)},
    "xor backwards, one input, 8 relu": xor(8, numbered=True, backwards=True),
}  # fmt: skip
# The least squared error of the inverse problem: that of the mean of the inputs with an output, 0 or 1 and 1/3 or 2/3.
INVERSE_ERROR = {"xor backwards, 8 relu": 1 / 4, "xor backwards, one input, 8 relu": (1 / 4 + 1 / 36) / 2}
FUNCTIONS = ("parity", "first", "majority")
SHOWN = (4, 6)
NETS = {"shallow": [8], "deep": [2, 3]}
# By net, whether it sees the number of a state.
SEEN_BY = {"shallow": ("shallow", False), "deep": ("deep", False), "one input": ("shallow", True)}
STATES = {
    f"{function}, {name}, {shown} of 8": xor(0) | {"function": function, "hidden": NETS[net], "shown": shown,
                                                   "numbered": numbered, "rate": 1e-2, "steps": 2500}
    for shown in SHOWN for function in FUNCTIONS for name, (net, numbered) in SEEN_BY.items()
}  # fmt: skip
CELLS = {name: {**cell, "starts": STARTS} for name, cell in {**GATES, **STATES}.items()}
QUICK = {name: {**cell, "steps": 100, "rate": 0.03, "starts": 10} for name, cell in CELLS.items()}


def verdict(results: study.Results) -> list[str]:
    """Return the tutorial's claims, each with the numbers that support it or do not."""

    def percent(cell: str) -> str:
        return f"{100 * results.mean(cell, 'solved'):.0f} %"

    return [
        f"Claim: XOR needs a hidden layer. Without one, {percent('xor, no hidden units')} of the starts learn it; AND "
        f"and OR, {percent('and, no hidden units')} and {percent('or, no hidden units')}.",
        f"Claim: two units are enough. To represent XOR, yes; {percent('xor, 2 relu')} of the starts learn it with two "
        f"ReLU units, {percent('xor, 8 relu')} with eight.",
        f"Claim: of four hidden units two work. {results.shown('xor, 4 relu', 'working')} do, with L2 "
        f"{results.shown('xor, 4 relu, L2', 'working')}. Whether L2 reduces the units that work: "
        + " ".join(results.difference(f"xor, {n} relu, L2", f"xor, {n} relu", "working") for n in (2, 4)),
        f"One input in place of two bits: {percent('xor, one input, 2 relu')} of the starts learn XOR with two units, "
        f"{percent('xor, one input, 3 relu')} with three and {percent('xor, one input, 8 relu')} with eight.",
        *inverse(results),
        *generalised(results),
    ]


def inverse(results: study.Results) -> list[str]:
    """Return what nets answer that map the output back to the input."""
    errors = ", ".join(
        f"{results.mean(cell, 'error'):.4f} ({'one number' if 'one input' in cell else 'two bits'}; least possible "
        f"{least:.4f})"
        for cell, least in INVERSE_ERROR.items()
    )
    solved = " and ".join(f"{100 * results.mean(cell, 'solved'):.0f} %" for cell in INVERSE_ERROR)
    return [
        "The inverse problem, from the output back to the input: each output has two inputs, so no function solves it, "
        "and least squares answers with their mean, which is no state. Squared errors at the end: "
        f"{errors}; {solved} of the starts have all answers close."
    ]


def generalised(results: study.Results) -> list[str]:
    """Return which functions of three bits the nets generalise, and which they only fit."""
    said = [
        "Claim: the deep net learns a function of three bits from three or four of the eight states. From four of "
        "them, of the states not shown, it gets right "
        + ", ".join(f"{results.shown(f'{f}, deep, 4 of 8', 'unseen')} ({f})" for f in FUNCTIONS)
        + "."
    ]
    against = against_guesses(results)
    for shown in SHOWN:
        names = [f"{f}, {name}" for f in FUNCTIONS for name in SEEN_BY]
        coin, frequent = ([against[f"{name}, {shown} of 8", guess] for name in names] for guess in ("coin", "frequent"))
        above = [name for name, sign in zip(names, coin, strict=True) if sign > 0]
        below = [name for name, sign in zip(names, frequent, strict=True) if sign < 0]
        said.append(
            f"From {shown} states the answer that is most frequent among the shown gets "
            f"{logic_cells.most_frequent(shown):.3f} of the others right, since what is shown is missing among the "
            f"rest, and a coin 0.5. Better than both, so generalised: {'; '.join(above) or 'none'}. Worse than both: "
            f"{'; '.join(below) or 'none'} (t-tests, 5 % after Holm's adjustment for all {len(against)}). What is in "
            "neither list is not seen to generalise, however well it is fitted."
        )
    return said


def against_guesses(results: study.Results) -> dict[tuple[str, str], int]:
    """Return by cell and guess whether nets are seen to be right more often than it (1), less often (-1), or not (0).

    A coin is right on a half of the states that were not shown, and more often than the most frequent answer.
    """
    more = {}
    for cell in (name for name in STATES if name in results.study.cells):
        right = results.values(cell, "unseen")
        more[cell, "coin"] = intervals.difference(right - 0.5)
        more[cell, "frequent"] = intervals.difference(right - logic_cells.most_frequent(STATES[cell]["shown"]))
    p = intervals.holm({key: one.p for key, one in more.items()})
    return {key: (1 if one.mean > 0 else -1) if p[key] < intervals.LEVEL else 0 for key, one in more.items()}


def draw_states(results: study.Results) -> Figure:
    """Draw what is fitted and what is generalised, the latter beside the most frequent answer."""
    figure = results.part(results.study.cells, {name: STATE[name] for name in ("solved", "unseen")}).figure()
    chance = [results.mean(cell, "frequent") for cell in results.study.cells]
    figure.axes[1].plot(chance, range(len(chance)), "x", color="#d55e00")
    return figure


GATE = {"solved": "solved", "error": "squared error", "working": "units that work"}
STATE = {"solved": "fitted: shown states solved", "unseen": "generalised: right on the others",
         "frequent": "most frequent answer", "error": "squared error"}  # fmt: skip
STUDY = study.Study(
    "logic_gates",
    logic_cells.run,
    CELLS,
    {**STATE, **GATE, "solved": "solved"},
    quick=QUICK,
    bounds={"error": (0.0, math.inf), "unseen": (0.0, 1.0), "working": (0.0, 8.0)},
    trials={"solved": "starts"},
    together=logic_cells.together,
)
GATE_SECTION = study.Section(
    f""""Solved": all outputs within {logic_cells.CLOSE} of their targets, as a fraction of {{starts}} starts; mean and
95 % interval over {{seeds}} seeds. The squared error is the mean over outputs. A unit works if it moves the output by
more than {logic_cells.WORKS:.0%} of what the strongest does; their number is the mean over starts. "Backwards" maps the
output of XOR to its inputs, the inverse problem: each output has two, and least squares answers with their mean.""",
    GATE,
    where=lambda cell: "shown" not in cell,
    figures={"gates": ("Gates", study.Results.figure)},
    pairs=[(f"xor, {units} relu, L2", f"xor, {units} relu") for units in (2, 4)],
    compared=("solved", "working"),
)
STATE_SECTION = study.Section(
    """Functions of three bits, learned from some of the eight states, other ones for each start: 8 hidden units
("shallow"), 2 and 3 ("deep"), and 8 with the number of the state as "one input". What is fitted, and the squared
error, are of the states that were shown: the fraction of starts that have them all. What is generalised is the fraction
of the others that are on the right side of 0.5. Chance there is not a half for whoever has seen the rest: the answer
most frequent among the shown states, a mean over all choices of them, is right less often, as its column says.""",
    STATE,
    where=lambda cell: "shown" in cell,
    figures={"states": ("States; crosses: the most frequent answer", draw_states)},
    pairs=[
        (name, name.replace(other, "shallow")) for other in ("deep", "one input") for name in STATES if other in name
    ],
    compared=("unseen",),
)
PAGE = study.Page("Logic gates", __doc__, [GATE_SECTION, STATE_SECTION], verdict)

if __name__ == "__main__":
    study.main(STUDY, PAGE)
