"""Cost of a step of each recurrent cell against `torch.nn.LSTM` of equal state; eager and compiled.

A training pass (forward, and gradients by all parameters) over a sequence. All states have the same number of reals,
h and c of an LSTM together. Each cell is timed in turn with the LSTM, round after round, in processor time; ratios are
medians over rounds. "LSTM in Python" is `torch.nn.LSTMCell` in the loop that the cells use: the
cost of the loop by itself.

    python scripts/benchmarks/bench_recurrent.py [--compile] [--json FILE]
"""

import argparse
import json
import os
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Read when torch is imported; a compilation that was found on disk says nothing about its cost.
os.environ.setdefault("TORCHINDUCTOR_FORCE_DISABLE_CACHES", "1")

import torch
from torch import Tensor, nn

from gantools.nn import EUNN, GORU, KRU, URNN, AssociativeLSTM, FullUnitaryRNN


class LoopedLSTM(nn.Module):
    """`torch.nn.LSTMCell` in a loop over time."""

    def __init__(self, input_size: int, hidden_size: int):
        super().__init__()
        self.cell = nn.LSTMCell(input_size, hidden_size)

    def forward(self, x: Tensor) -> tuple[Tensor, Any]:
        state, outputs = None, []
        for x_t in x:
            state = self.cell(x_t, state)
            outputs.append(state[0])
        return torch.stack(outputs), state


def contestants(inputs: int, state: int) -> dict[str, Callable[[], nn.Module]]:
    """Return a function that makes each cell with `state` reals of state."""
    half, rng = state // 2, torch.Generator().manual_seed(0)
    return {
        "LSTM in Python": lambda: LoopedLSTM(inputs, half),
        "URNN": lambda: URNN(inputs, half, rng=rng),
        "FullUnitaryRNN": lambda: FullUnitaryRNN(inputs, half, rng=rng),
        "EUNN": lambda: EUNN(inputs, half, rng=rng),
        "EUNN, layer by layer": lambda: EUNN(inputs, half, factored=True, rng=rng),
        "KRU": lambda: KRU(inputs, half, rng=rng),
        "GORU": lambda: GORU(inputs, state, rng=rng),
        "AssociativeLSTM": lambda: AssociativeLSTM(inputs, half, rng=rng),
        "AssociativeLSTM, 3 copies": lambda: AssociativeLSTM(inputs, state // 4, copies=3, rng=rng),
    }


def trainer(call: Callable[[Tensor], Any], module: nn.Module, x: Tensor) -> Callable[[], None]:
    """Return one training pass."""
    parameters = list(module.parameters())

    def run() -> None:
        outputs, _ = call(x)
        torch.autograd.grad(outputs.square().sum(), parameters)

    return run


def seconds(work: Callable[[], object], clock: Callable[[], float] = time.process_time) -> float:
    """Return the processor time of one call: on a shared machine long passes are interrupted, short ones are not."""
    start = clock()
    work()
    return clock() - start


def measure(module: nn.Module, lstm: nn.Module, x: Tensor, rounds: int, compiled: bool) -> dict[str, float]:
    """Return microseconds a step, medians over rounds, and the ratios round by round."""

    def forward(m: nn.Module) -> Callable[[], None]:
        def run() -> None:
            with torch.no_grad():
                m(x)

        return run

    works = {
        "LSTM": trainer(lstm, lstm, x),
        "LSTM forward": forward(lstm),
        "eager": trainer(module, module, x),
        "forward": forward(module),
    }
    result: dict[str, float] = {"parameters": sum(p.numel() for p in module.parameters())}
    if compiled:
        torch.compiler.reset()
        works["compiled"] = trainer(torch.compile(module, dynamic=False), module, x)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # inductor says that it leaves complex numbers to eager kernels
            result["seconds to compile"] = seconds(works["compiled"], time.perf_counter)
    for work in works.values():
        work()
    times: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            times[name].append(1e6 * seconds(work) / len(x))

    def ratio(a: str, b: str) -> float:
        return statistics.median(p / q for p, q in zip(times[a], times[b], strict=True))

    result |= {f"{name} us": statistics.median(values) for name, values in times.items()}
    result |= {"eager / LSTM": ratio("eager", "LSTM"), "forward / LSTM": ratio("forward", "LSTM forward")}
    if compiled:
        result["compiled / eager"] = ratio("compiled", "eager")
    return result


def main() -> None:
    """Measure every cell and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--state", type=int, default=128, help="reals of state; a multiple of 4")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=20)
    parser.add_argument("--inputs", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=101)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="also torch.compile whole sequences; takes minutes")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    x = torch.randn(args.steps, args.batch, args.inputs, generator=torch.Generator().manual_seed(1))
    lstm = nn.LSTM(args.inputs, args.state // 2)
    results = {}
    for name, make in contestants(args.inputs, args.state).items():
        results[name] = measure(make(), lstm, x, args.rounds, args.compile)
        print(f"# {name}: {results[name]}", flush=True)
    labels = ["parameters", "forward us", "eager us", "forward / LSTM", "eager / LSTM"]
    labels += ["compiled / eager", "seconds to compile"] if args.compile else []
    print("| | " + " | ".join(labels) + " |\n|---|" + "--:|" * len(labels))
    for name, row in results.items():
        shown = (f"{row[label]:.2f}" if "/" in label else f"{row[label]:.0f}" for label in labels)
        print(f"| {name} | " + " | ".join(shown) + " |")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
