"""Cost of a consensus step against a simultaneous step, and against a plain `create_graph=True` loop.

The plain loop is stock PyTorch with `torch.optim.RMSprop` and computes the same numbers, which is checked first. All
four are timed in turn, round after round, so that a busy machine slows them alike; the ratio is the median over rounds.
With `--compile` the same steps compiled, `gantools.trainers.compiled`, are timed beside them.

    python scripts/benchmarks/bench_step.py [--compile] [--json FILE]
"""

import argparse
import copy
import json
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import softplus

import gantools as gt
from gantools.data.seeds import latent
from gantools.data.sources import make_source
from gantools.networks import NETWORKS

LR, GAMMA = 1e-4, 10.0
PROBLEMS = ("digits dcgan", "ring8 mlp")


def problem(name: str) -> tuple[nn.Module, nn.Module, dict[str, Tensor]]:
    """Return generator, discriminator and one batch: the digits GAN of `gantools train`, or the ring8 MLP GAN."""
    data, network, settings, size, z = {
        "digits dcgan": ("digits", "dcgan", {"width": 16}, 64, 32),
        "ring8 mlp": ("ring8", "mlp", {}, 512, 16),
    }[name]
    source = make_source(data)
    rng = torch.Generator().manual_seed(0)
    generator, discriminator = NETWORKS[network](**settings).build(source.shape, "", z, rng)
    return generator, discriminator, {"real": source.batch(0, size, 0), "latent": latent(0, size, z, 0)}


def ours(
    method: str, generator: nn.Module, discriminator: nn.Module, batch: dict[str, Tensor], compiled: bool = False
) -> Callable[[], object]:
    """Return one step of a gantools optimizer."""
    game = gt.gan(generator, discriminator)
    settings = {"gamma": GAMMA} if method == "consensus" else {}
    optimizer = gt.trainers.make(method, game, lr=LR, base="rmsprop", **settings)
    if compiled:
        gt.trainers.compiled(optimizer, lambda text: print(f"compiled {method}: {text}", file=sys.stderr, flush=True))
    return lambda: optimizer.step(batch)


def plain(
    method: str, generator: nn.Module, discriminator: nn.Module, batch: dict[str, Tensor]
) -> Callable[[], object]:
    """Return the same step as a plain loop in stock PyTorch, the forward passes shared as they are in ours."""
    of_generator, of_discriminator = list(generator.parameters()), list(discriminator.parameters())
    parameters = of_generator + of_discriminator
    optimizer = torch.optim.RMSprop(parameters, lr=LR)
    consensus = method == "consensus"

    def step() -> None:
        fake_scores = discriminator(generator(batch["latent"]))
        real_scores = discriminator(batch["real"])
        generator_loss = softplus(-fake_scores).mean()
        discriminator_loss = softplus(-real_scores).mean() + softplus(fake_scores).mean()
        field = [
            *torch.autograd.grad(generator_loss, of_generator, create_graph=consensus, retain_graph=True),
            *torch.autograd.grad(discriminator_loss, of_discriminator, create_graph=consensus),
        ]
        if consensus:
            half_squared_norm = 0.5 * sum(g.square().sum() for g in field)
            extra = torch.autograd.grad(half_squared_norm, parameters)
            field = [g.detach() + GAMMA * e for g, e in zip(field, extra, strict=True)]
        for parameter, direction in zip(parameters, field, strict=True):
            parameter.grad = direction
        optimizer.step()

    return step


def check_equal(name: str) -> float:
    """Return the largest relative difference between ours and the plain loop after ten consensus steps."""
    generator, discriminator, batch = problem(name)
    ends = []
    for make in (ours, plain):
        g, d = copy.deepcopy(generator), copy.deepcopy(discriminator)
        step = make("consensus", g, d, batch)
        for _ in range(10):
            step()
        ends.append(torch.cat([p.detach().flatten() for p in [*g.parameters(), *d.parameters()]]))
    return float((ends[0] - ends[1]).norm() / ends[1].norm())


def measure(name: str, rounds: int, seconds: float, compiled: bool) -> dict[str, float]:
    """Return milliseconds a step and the ratios, medians over rounds."""
    generator, discriminator, batch = problem(name)
    kinds = {"gantools": ours, "plain": plain} | ({"compiled": partial(ours, compiled=True)} if compiled else {})
    contestants = {
        f"{who} {method}": make(method, copy.deepcopy(generator), copy.deepcopy(discriminator), batch)
        for who, make in kinds.items()
        for method in ("simultaneous", "consensus")
    }
    repeats = {}
    for label, step in contestants.items():
        for _ in range(8):  # compiled steps are checked at the eighth for the last time
            step()
        start = time.perf_counter()
        for _ in range(5):
            step()
        repeats[label] = max(3, int(seconds / ((time.perf_counter() - start) / 5)))
    times: dict[str, list[float]] = {label: [] for label in contestants}
    for _ in range(rounds):
        for label, step in contestants.items():
            start = time.perf_counter()
            for _ in range(repeats[label]):
                step()
            times[label].append(1e3 * (time.perf_counter() - start) / repeats[label])

    def ratio(a: str, b: str) -> float:
        return statistics.median(x / y for x, y in zip(times[a], times[b], strict=True))

    result = {f"{label} ms": statistics.median(values) for label, values in times.items()}
    result["consensus / simultaneous"] = ratio("gantools consensus", "gantools simultaneous")
    result["consensus / plain consensus"] = ratio("gantools consensus", "plain consensus")
    result["simultaneous / plain simultaneous"] = ratio("gantools simultaneous", "plain simultaneous")
    if compiled:
        for method in ("simultaneous", "consensus"):
            result[f"compiled {method} / {method}"] = ratio(f"compiled {method}", f"gantools {method}")
    return result


def main() -> None:
    """Measure both problems and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seconds", type=float, default=0.2, help="for each contestant in each round")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--compile", action="store_true", help="compiled steps too; minutes of compiling")
    parser.add_argument("--only", choices=PROBLEMS, help="one of the two problems")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    results = {}
    for name in (args.only,) if args.only else PROBLEMS:
        difference = check_equal(name)
        assert difference < 1e-4, f"ours and the plain loop differ by {difference:.2g} on {name}"
        results[name] = measure(name, args.rounds, args.seconds, args.compile)
    labels = list(next(iter(results.values())))
    print("| | " + " | ".join(results) + " |\n|---|" + "--:|" * len(results))
    for label in labels:
        print(f"| {label} | " + " | ".join(f"{results[name][label]:.2f}" for name in results) + " |")
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
