"""Time of a step of many copies of a GAN in one program, against a loop over the same copies trained alone.

The GAN is that of ring8 (four hidden layers of 16 units, batches of 256), data drawn for every copy in both; the two
take turns, so that whatever else the machine does meets both. Prints a Markdown table.

    python scripts/benchmarks/bench_copies.py [--json FILE]
    python scripts/benchmarks/bench_copies.py --compile     # steps of all copies as one compiled graph; minutes each
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

import gantools as gt
from gantools.data.sources import make_source
from gantools.data.streams import GanBatches
from gantools.networks import NETWORKS
from gantools.regularizers import R1
from gantools.trainers import GameOptimizer, make

# Method, its settings, and the regularizers of the game.
CASES = {
    "simultaneous, RMSProp": ("simultaneous", {"base": "rmsprop"}, []),
    "alternating, Adam, R1": ("alternating", {"base": "adam"}, [R1(0.1)]),
    "consensus, RMSProp": ("consensus", {"base": "rmsprop"}, []),
}


class Copies:
    """One case: the same copies together and alone.

    Args:
        case: a key of `CASES`.
        count: the number of copies.
        device: of all of them.
        compile: whether the step of all is compiled, as `gantools.trainers.compiled` does it.
    """

    def __init__(self, case: str, count: int, device: str, compile: bool = False):
        name, settings, regularizers = CASES[case]
        source = make_source("ring8")
        self.batches = [GanBatches(source, 256, 16, seed, device, regularizers) for seed in range(count)]
        self.device = device

        def build(seed: int) -> gt.Game:
            pair = NETWORKS["mlp"]().build(source.shape, "", 16, torch.Generator().manual_seed(seed))
            return gt.gan(*(player.to(device) for player in pair), regularizers=regularizers)

        def optimizer(game: gt.Game) -> GameOptimizer:
            return make(name, game, lr=1e-3, **settings)

        self.many = gt.stacked([build(seed) for seed in range(count)])
        self.together, self.alone = optimizer(self.many), [optimizer(build(seed)) for seed in range(count)]
        if compile:
            gt.trainers.compiled(self.together, tell=lambda sentence: None)
        self.together.step(self.drawn(0))
        for one, batches in zip(self.alone, self.batches, strict=True):
            one.step(batches[0])

    def drawn(self, step: int) -> tuple:
        """Return the batches of a step of all copies."""
        return self.many.each([batches[step] for batches in self.batches])

    def seconds(self, step: int, together: bool) -> float:
        """Return the time of a step of all copies."""
        begun = time.perf_counter()
        if together:
            self.together.step(self.drawn(step))
        else:
            for one, batches in zip(self.alone, self.batches, strict=True):
                one.step(batches[step])
        if self.device != "cpu":
            torch.cuda.synchronize()
        return time.perf_counter() - begun


def main() -> None:
    """Measure every case and number of copies."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--copies", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print("| method | copies | alone, ms a step and copy | together, ms | times faster | drawing data, ms |")
    print("|---|--:|--:|--:|--:|--:|")
    results: dict[str, dict[str, float]] = {}
    for case in CASES:
        for count in args.copies:
            copies = Copies(case, count, args.device, args.compile)
            alone, together, data = [], [], []
            for step in range(1, args.steps + 1):
                alone.append(copies.seconds(step, together=False) / count)
                together.append(copies.seconds(step, together=True) / count)
                begun = time.perf_counter()
                copies.drawn(step)
                data.append((time.perf_counter() - begun) / count)
            ratio = statistics.median(one / other for one, other in zip(alone, together, strict=True))
            results[f"{case}, {count} copies"] = {"alone / together": ratio}
            times = (f"{1e3 * statistics.median(found):.3f}" for found in (alone, together))
            print(f"| {case} | {count} | {' | '.join(times)} | {ratio:.1f} | {1e3 * statistics.median(data):.3f} |")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
