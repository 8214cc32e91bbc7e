"""How often small nets learn logic gates: XOR with few hidden units, and eight states from some of them.

After YJango's tutorial (github.com/YJango/tensorflow_basic_tutorial): nets 2-2-1 with ReLU, a linear output, squared
error, an L2 penalty on the hidden weights, weights uniform within sqrt(5 / fan-in) and biases of 0.1; full batches and
Adam. Its claims: XOR needs a hidden layer, and two units are enough; a deep net learns a function of three bits from
three or four of the eight states. Many starts for each seed, trained at once.

    python scripts/logic_gates.py --jobs 2
    python scripts/logic_gates.py --quick
"""

import dataclasses
from pathlib import Path
from typing import Any

import study
import torch
from torch import Tensor

from gantools.data import derive_seed
from gantools.tasks import Gate, Parity

ACTIVATIONS = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "silu": torch.nn.functional.silu}
STARTS = 40
# An output is right within this of its target; a unit works if it moves the output by this share of the strongest's.
CLOSE, WORKS = 0.4, 0.05


def rows(cell: study.Cell) -> tuple[Tensor, Tensor]:
    """Return inputs (R, inputs) and targets (R, outputs)."""
    task: Any = Parity(bits=3, function=cell["function"]) if "function" in cell else Gate(gate=cell["gate"])
    sample = task.draw()
    inputs, targets = sample.inputs, sample.targets[:, None]
    return (targets, inputs) if cell.get("backwards") else (inputs, targets)


def drawn(sizes: list[int], starts: int, rng: torch.Generator) -> list[Tensor]:
    """Return weights (S, in, out) and biases (S, 1, out) of every layer in turn."""
    made = []
    for before, after in zip(sizes, sizes[1:], strict=False):
        spread = (5 / before) ** 0.5
        made.append((2 * torch.rand(starts, before, after, generator=rng, dtype=torch.float64) - 1) * spread)
        made.append(torch.full((starts, 1, after), 0.1, dtype=torch.float64))
    return [p.requires_grad_() for p in made]


def outputs(parameters: list[Tensor], x: Tensor, activation: Any) -> tuple[Tensor, Tensor]:
    """Return the outputs (S, R, outputs), and what the last layer has seen."""
    x = x.expand(len(parameters[0]), -1, -1)
    for weight, bias in zip(parameters[:-2:2], parameters[1:-2:2], strict=True):
        x = activation(torch.baddbmm(bias, x, weight))
    return torch.baddbmm(parameters[-1], x, parameters[-2]), x


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Train all starts of a seed, and count what they learned."""
    rng, (inputs, targets) = torch.Generator().manual_seed(derive_seed(seed, "logic gates")), rows(cell)
    parameters = drawn([inputs.shape[1], *cell["hidden"], targets.shape[1]], cell["starts"], rng)
    activation, total = ACTIVATIONS[cell["activation"]], len(inputs)
    # Each start has states of its own to learn from.
    order = torch.rand(cell["starts"], total, generator=rng).argsort(1)
    seen = (order < cell.get("shown", total))[..., None]
    optimizer = torch.optim.Adam(parameters, lr=cell["rate"])
    for _ in range(cell["steps"]):
        answers, _ = outputs(parameters, inputs, activation)
        # Starts share no parameter, so the gradient of the sum is each one's own.
        loss = (((answers - targets) ** 2) * seen).sum() / (seen[0].sum() * targets.shape[1])
        if cell["penalty"]:
            loss = loss + cell["penalty"] / 2 * sum(w.square().sum() for w in parameters[:-2:2])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        answers, last = outputs(parameters, inputs, activation)
    right = (answers - targets).abs() < CLOSE
    moved = last.std(1) * parameters[-2].detach().norm(dim=2)
    result = {
        "solved": float((right | ~seen).flatten(1).all(1).double().mean()),
        "error": float(((answers - targets) ** 2)[seen.expand_as(answers)].mean()),
    }
    if cell["hidden"]:
        result["working"] = float((moved > WORKS * moved.amax(1, keepdim=True)).sum(1).double().mean())
    if "shown" in cell:
        same_side = (answers > 0.5) == (targets > 0.5)
        result["unseen"] = float(same_side[~seen].double().mean())
    return result


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
NETS = {"shallow": [8], "deep": [2, 3]}
STATES = {
    f"{function}, {net}, {shown} of 8": xor(0) | {"function": function, "hidden": NETS[net], "shown": shown,
                                                  "rate": 1e-2, "steps": 2500}
    for shown in (4, 6) for function in ("parity", "first", "majority") for net in NETS
}  # fmt: skip
CELLS = {name: {**cell, "starts": STARTS} for name, cell in {**GATES, **STATES}.items()}
GATE_COLUMNS = {"solved": "solved", "error": "squared error", "working": "units that work"}
STATE_COLUMNS = {"solved": "solved on its states", "unseen": "accuracy on the others", "error": "squared error"}
STUDY = study.Study("logic_gates", run, CELLS, {**STATE_COLUMNS, **GATE_COLUMNS})
PAGE = """# Logic gates

    python scripts/logic_gates.py --jobs 2

{text}

"Solved": all outputs within {close} of their targets, as a fraction of {starts} starts; mean and 95 % interval over
{seeds} seeds. A unit works if it moves the output by more than {works:.0%} of what the strongest does. "Backwards" maps
the output of XOR to its inputs, of which one value has two.

{gates}

![Gates](logic_gates-gates.png)

Functions of three bits, learned from some of the eight states, other ones for each start: 8 hidden units, or 2 and 3:

{states}

![States](logic_gates-states.png)

{verdict}
"""


def parts(results: study.Results) -> tuple[study.Results, study.Results]:
    """Return the gates, and the functions of three bits."""
    states = [name for name, cell in results.study.cells.items() if "shown" in cell]
    gates = [name for name in results.study.cells if name not in states]
    return results.part(gates, GATE_COLUMNS), results.part(states, STATE_COLUMNS)


def verdict(results: study.Results) -> str:
    """Return what the numbers support of the tutorial's claims."""

    def percent(cell: str, column: str = "solved") -> str:
        return f"{100 * results.interval(cell, column)[0]:.0f} %"

    gates, states = parts(results)
    said = [
        f"XOR without hidden units: {percent('xor, no hidden units')} of the starts; AND and OR: "
        f"{percent('and, no hidden units')} and {percent('or, no hidden units')}.",
        f"That two ReLU units are enough: to represent XOR, yes; to learn it, {percent('xor, 2 relu')} of the starts, "
        f"with eight units {percent('xor, 8 relu')}. " + gates.difference("xor, 2 relu, L2", "xor, 2 relu", "solved"),
        f"That of four hidden units two work: {study.shown(*gates.interval('xor, 4 relu', 'working'))} do, with L2 "
        f"{study.shown(*gates.interval('xor, 4 relu, L2', 'working'))}.",
        f"XOR backwards: {percent('xor backwards, 8 relu')}; no function does it, and the squared error stays at "
        f"{gates.interval('xor backwards, 8 relu', 'error')[0]:.3f}, that of the mean being 0.25.",
    ]
    for name in states.study.cells:
        if ", deep, " in name:
            said.append(states.difference(name, name.replace("deep", "shallow"), "unseen"))
    said.append("Claim: the deep net needs three or four of the eight states; chance is 50 % on the states not shown.")
    return "\n".join(f"- {sentence}" for sentence in said)


def page(results: study.Results) -> str:
    """Return the page."""
    text = " ".join((__doc__ or "").split("\n\n")[1].split())
    gates, states = (part.table() for part in parts(results))
    starts = next(iter(results.study.cells.values()))["starts"]
    return PAGE.format(text=text, close=CLOSE, works=WORKS, starts=starts, seeds=len(results.study.seeds),
                       gates=gates, states=states, verdict=verdict(results))  # fmt: skip


def main() -> None:
    """Run it, or its quick form."""
    args, chosen = study.parser(__doc__).parse_args(), STUDY
    if args.quick:
        cells = {name: {**cell, "steps": 100, "rate": 0.03, "starts": 10} for name, cell in CELLS.items()}
        chosen = dataclasses.replace(STUDY, cells=cells, seeds=range(2))
    figures = {"gates": lambda r: parts(r)[0].figure(), "states": lambda r: parts(r)[1].figure()}
    study.conduct(chosen, args, page, figures)


if __name__ == "__main__":
    main()
