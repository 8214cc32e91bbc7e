"""Cost of a Hessian product by each method, and lower bounds for every solver that uses it.

    python scripts/benchmarks/bench_products.py [--problems mlp convnet small] [--compiled] [--cache build/peers]

The models are those of bench_peers.py; g is the time of one gradient of the same batch in the same process. The tables:

- a product with one vector, and a column of a block of 10 and of 64, by each method. "Linear maps" is the time of the
  bare matrix products and convolutions that a Hessian product contains, twice those of a gradient, and of nothing else.
- how many products Lanczos needs, without any restart, until its ten leading values are within 1e-4: no solver that
  builds a Krylov space from one vector needs fewer. And what our solver takes, with its checks.
- where the time of a density (10 probes, 80 steps) goes: block products, and orthogonalisation.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from peer_problems import MODELS, Problem, load, loss
from peer_worker import reference, worst_error
from torch import Tensor, nn

from gantools.analysis import eigenvalues, hessian, spectral_density
from gantools.analysis.krylov.basis import KrylovBasis
from gantools.analysis.krylov.selection import leading

K, ACCURACY = 10, 1e-4


def seconds(work: Callable[[], object], repeats: int = 15) -> float:
    """Return the median processor time."""
    times = []
    work()
    for _ in range(repeats):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    return float(np.median(times))


def gradient(problem: Problem) -> float:
    """Return the time of one gradient: the unit g."""
    model, x, y = problem
    parameters = list(model.parameters())
    return seconds(lambda: torch.autograd.grad(loss(model, (x, y)), parameters), 25)


def linear_maps(problem: Problem) -> float:
    """Return the time of the bare linear maps of a Hessian product: a layer's three, twice."""
    model, x, _ = problem
    total, state = 0.0, x
    for layer in model:
        with torch.no_grad():
            after = layer(state)
        if isinstance(layer, nn.Linear):
            total += seconds(lambda a=state, d=after, c=layer: matrix_products(a, d, c))
        elif isinstance(layer, nn.Conv2d):
            total += seconds(lambda a=state, d=after, c=layer: convolutions(a, d, c))
        state = after
    return 2 * total


@torch.no_grad()
def matrix_products(a: Tensor, d: Tensor, layer: nn.Linear) -> None:
    """Run a linear layer and both its derivatives."""
    _ = a @ layer.weight.T, d.T @ a, d @ layer.weight


@torch.no_grad()
def convolutions(a: Tensor, d: Tensor, layer: nn.Conv2d) -> None:
    """Run a convolution and both its derivatives."""
    settings = ([1, 1], layer.padding, [1, 1], False, [0, 0], 1)
    torch.ops.aten.convolution(a, layer.weight, None, *settings)
    torch.ops.aten.convolution_backward(d, a, layer.weight, None, *settings, [True, True, False])


def product_table(names: list[str], folder: Path, methods: list[str]) -> None:
    """Print the cost of products."""
    print("| model | method | set-up | one vector | column of 10 | of 64 |\n|---|---|--:|--:|--:|--:|")
    for name in names:
        problem = load(folder, name)
        model, x, y = problem
        g = gradient(problem)
        print(f"| {name}, g = {1e3 * g:.2f} ms | linear maps | | {linear_maps(problem) / g:.2f} g | | |", flush=True)
        for method in methods:
            warm = hessian(model, loss, (x, y), method=method)
            warm @ torch.randn(warm.n)  # loads what torch loads at first use
            start = time.process_time()
            H = hessian(model, loss, (x, y), method=method)
            H @ torch.randn(H.n)
            cells = [f"{(time.process_time() - start) / g:.0f} g"]
            for width in (1, 10, 64):
                block = torch.randn(H.n) if width == 1 else torch.randn(H.n, width)
                for _ in range(2 if width > 1 else 0):
                    H @ block  # lets the operator choose its block method
                cells.append(f"{seconds(lambda H=H, u=block: H @ u, 15 if width == 1 else 5) / width / g:.2f} g")
            print(f"| | {method} | {' | '.join(cells)} |", flush=True)


def unrestarted(problem: Problem, truth: np.ndarray, seed: int, limit: int = 90) -> int:
    """Return after how many products the ten leading Ritz values are accurate."""
    model, x, y = problem
    basis = KrylovBasis(hessian(model, loss, (x, y), method="reverse"), limit, torch.Generator().manual_seed(seed))
    while basis.length < limit:
        basis.expand()
        if basis.settle() and basis.length >= K:
            values = np.linalg.eigvalsh(basis.square, UPLO="U")
            if worst_error(values[leading(values, K, "LM")], truth) <= ACCURACY:
                return basis.length
    return limit


def floor_table(names: list[str], folder: Path, seeds: range) -> None:
    """Print how many products Lanczos needs, and how many ours takes at the loosest tolerance that is accurate."""
    print("\n| model | seed | products without restart | ours | its error | checks |\n|---|--:|--:|--:|--:|--:|")
    for name in names:
        problem, truth = load(folder, name), reference(folder, name)
        model, x, y = problem
        for seed in seeds:
            least = unrestarted(problem, truth, seed)
            for tol in (1e-2, 5e-3, 2e-3, 1e-3, 1e-4):
                s = eigenvalues(hessian(model, loss, (x, y), method="reverse"), K, tol=tol, seed=seed)
                error = worst_error(s.values.tolist(), truth)
                if error <= ACCURACY:
                    break
            checks = s.check_matvecs + s.guard_matvecs
            print(f"| {name} | {seed} | {least} | {s.matvecs} | {error:.0e} | {checks} |", flush=True)


def density_table(name: str, folder: Path, probes: int = 10, steps: int = 80) -> None:
    """Print the shares of a density's time."""
    problem = load(folder, name)
    model, x, y = problem
    g, H = gradient(problem), hessian(model, loss, (x, y))
    starts = torch.randn(H.n, probes)
    for _ in range(2):
        H @ starts
    start = time.process_time()
    spectral_density(H, probes, steps)
    whole = (time.process_time() - start) / g
    products = steps * seconds(lambda: H @ starts, 7) / g
    print(f"\n| density of {name}, {probes} x {steps} | g | of the whole |\n|---|--:|--:|")
    rows = {
        "whole": whole,
        "block products": products,
        "leading eigenvalues, recurrence, rules and the rest": whole - products,
    }
    for what, value in rows.items():
        print(f"| {what} | {value:.0f} | {value / whole:.2f} |")


def main() -> None:
    """Print the three tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--problems", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--cache", type=Path, default=Path("build/peers"), help="where the trained models are kept")
    parser.add_argument("--compiled", action="store_true", help="compile products too: minutes")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    arguments.cache.mkdir(parents=True, exist_ok=True)
    methods = ["reverse", "forward", "replay", *(["compiled"] if arguments.compiled else [])]
    product_table(arguments.problems, arguments.cache, methods)
    large = [name for name in arguments.problems if name != "small"]
    if large:
        floor_table(large, arguments.cache, range(arguments.seeds))
    if "mlp" in large:
        density_table("mlp", arguments.cache)


if __name__ == "__main__":
    main()
