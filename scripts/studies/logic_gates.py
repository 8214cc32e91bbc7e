"""How often small nets learn logic gates: XOR with few hidden units, and eight states from some of them.

After YJango's tutorial (github.com/YJango/tensorflow_basic_tutorial): nets 2-2-1 with ReLU, a linear output, squared
error, an L2 penalty on the hidden weights, weights uniform within sqrt(5 / fan-in) and biases of 0.1; full batches and
Adam. Its claims: XOR needs a hidden layer, and two units are enough; a deep net learns a function of three bits from
three or four of the eight states. Many starts for each seed, trained at once.

    python scripts/studies/logic_gates.py --jobs 2
    python scripts/studies/logic_gates.py --quick
"""

import math
from typing import Any

from cells import logic_cells
from harness import study

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
}  # fmt: skip
FUNCTIONS = ("parity", "first", "majority")
NETS = {"shallow": [8], "deep": [2, 3]}
STATES = {
    f"{function}, {net}, {shown} of 8": xor(0) | {"function": function, "hidden": NETS[net], "shown": shown,
                                                  "rate": 1e-2, "steps": 2500}
    for shown in (4, 6) for function in FUNCTIONS for net in NETS
}  # fmt: skip
CELLS = {name: {**cell, "starts": STARTS} for name, cell in {**GATES, **STATES}.items()}
QUICK = {name: {**cell, "steps": 100, "rate": 0.03, "starts": 10} for name, cell in CELLS.items()}


def most_frequent(shown: int) -> float:
    """Return the accuracy, on the states not shown, of the answer most frequent among the shown; 0.5 at a tie.

    The mean over all choices of `shown` of the eight states, for a function that is 1 on four of them, as all here are.
    """
    accuracies = []
    for ones in range(max(0, shown - 4), min(4, shown) + 1):
        right = (4 - ones if 2 * ones > shown else 4 - (shown - ones)) / (8 - shown)
        ways = math.comb(4, ones) * math.comb(4, shown - ones)
        accuracies.append((0.5 if 2 * ones == shown else right, ways))
    return sum(a * ways for a, ways in accuracies) / sum(ways for _, ways in accuracies)


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
        f"{results.shown('xor, 4 relu, L2', 'working')}.",
        f"XOR backwards: {percent('xor backwards, 8 relu')}; no function does it, and the squared error stays at "
        f"{results.mean('xor backwards, 8 relu', 'error'):.3f}, that of the mean being 0.25.",
        "Claim: the deep net learns a function of three bits from three or four of the eight states. From four of "
        "them, of the states not shown, it gets right "
        + ", ".join(f"{results.shown(f'{f}, deep, 4 of 8', 'unseen')} ({f})" for f in FUNCTIONS)
        + f"; the answer that is most frequent among the shown ones gets {most_frequent(4):.3f} right.",
        "From six states the most frequent answer gets "
        f"{most_frequent(6):.3f} right: less than a half, since what is shown is missing among the rest. Above both is "
        'only "first", which is one of the inputs.',
    ]


GATE = {"solved": "solved", "error": "squared error", "working": "units that work"}
STATE = {"solved": "solved", "unseen": "accuracy on the others", "error": "squared error"}
STUDY = study.Study(
    "logic_gates",
    logic_cells.run,
    CELLS,
    {**STATE, **GATE},
    quick=QUICK,
    bounds={"error": (0.0, math.inf), "unseen": (0.0, 1.0), "working": (0.0, 8.0)},
    trials={"solved": "starts"},
)
GATE_SECTION = study.Section(
    f""""Solved": all outputs within {logic_cells.CLOSE} of their targets, as a fraction of {{starts}} starts; mean and
95 % interval over {{seeds}} seeds. The squared error is the mean over outputs. A unit works if it moves the output by
more than {logic_cells.WORKS:.0%} of what the strongest does; their number is the mean over starts. "Backwards" maps the
output of XOR to its inputs, of which one value has two.""",
    GATE,
    where=lambda cell: "shown" not in cell,
    figures={"gates": ("Gates", study.Results.figure)},
    pairs=[(f"xor, {units} relu, L2", f"xor, {units} relu") for units in (2, 4)],
    compared=("solved", "working"),
)
STATE_SECTION = study.Section(
    """Functions of three bits, learned from some of the eight states, other ones for each start: 8 hidden units, or 2
and 3. "Solved" and the squared error are of the states that were shown; the accuracy is the fraction of the others that
are on the right side of 0.5:""",
    STATE,
    where=lambda cell: "shown" in cell,
    figures={"states": ("States", study.Results.figure)},
    pairs=[(name, name.replace("deep", "shallow")) for name in STATES if ", deep, " in name],
    compared=("unseen",),
)
PAGE = study.Page("Logic gates", __doc__, [GATE_SECTION, STATE_SECTION], verdict)

if __name__ == "__main__":
    study.main(STUDY, PAGE)
