"""Memory and time of a consensus step on a batch in parts, against the whole batch at once.

Each number of parts runs in a process of its own, so that its peak of memory is its own. Prints a Markdown table.

    python scripts/benchmarks/bench_accumulate.py [--json FILE]
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

import gantools as gt
from gantools.cli.flags import parse_train
from gantools.runs.experiment import build


def measure(parts: int, size: int, steps: int) -> dict[str, float]:
    """Return the peak of resident memory above that before the first step, in MiB, and the median time of a step."""
    torch.set_num_threads(1)
    experiment = build(parse_train(["--data", "digits", "--network.width", "128", "--batch-size", str(size)]).config)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    times = []
    for _ in range(steps):
        (batch,) = experiment.stream.take(1)
        begun = time.perf_counter()
        experiment.optimizer.step(gt.split(batch, parts) if parts > 1 else batch)
        times.append(time.perf_counter() - begun)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"mebibytes": peak - before, "seconds": statistics.median(times)}


def main() -> None:
    """Measure each number of parts in a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=1024, help="samples in a batch")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--parts", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--alone", action="store_true", help="measure in this process and print JSON")
    args = parser.parse_args()
    if args.alone:
        print(json.dumps(measure(args.parts[0], args.size, args.steps)))
        return
    rows = {}
    for parts in args.parts:
        options = ["--alone", "--parts", str(parts), "--size", str(args.size), "--steps", str(args.steps)]
        output = subprocess.run([sys.executable, __file__, *options], check=True, capture_output=True, text=True).stdout
        rows[parts] = json.loads(output)
    first, results = rows[args.parts[0]], {}
    print("| parts | peak memory of the step, MiB | of the first row's | time of a step, of the first row's |")
    print("|--:|--:|--:|--:|")
    for parts, row in rows.items():
        share, longer = row["mebibytes"] / first["mebibytes"], row["seconds"] / first["seconds"]
        print(f"| {parts} | {row['mebibytes']:.0f} | {share:.2f} | {longer:.2f} |")
        results[f"{parts} parts"] = {"memory / first": share, "time / first": longer}
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
