"""Cost of complex convolutions, forward and backward: ours, PyTorch's native complex ones, and other libraries'.

Every contestant gets the same weights and must give the same output first. All are timed in turn, round after round, so
that a busy machine slows them alike; a ratio is the median over rounds of ours by theirs, below 1 where ours is faster.
On the CPU the clock is the processor time of this process, with one thread. The libraries are optional: folders into
which they were installed, each without its dependencies.

    pip install --no-deps --target build/libraries complextorch==2.1.1 complexPyTorch==0.4
    python scripts/benchmarks/bench_complex.py --libraries build/libraries
"""

import argparse
import contextlib
import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gantools.nn import ComplexConv2d, ComplexConvTranspose2d

# name: batch, channels in and out, side of the image, kernel, stride, padding, transposed
SHAPES: dict[str, tuple[int, int, int, int, int, int, int, bool]] = {
    "dcgan, first layer": (64, 1, 16, 8, 4, 2, 1, False),
    "dcgan, second layer": (64, 16, 32, 4, 4, 2, 1, False),
    "dcgan generator": (64, 32, 16, 4, 4, 2, 1, True),
    "resnet on digits": (64, 8, 8, 8, 3, 1, 1, False),
    "deep complex network, stage 1": (64, 12, 12, 32, 3, 1, 1, False),
    "deep complex network, stage 2": (64, 24, 24, 16, 3, 1, 1, False),
    "deep complex network, stage 3": (64, 48, 48, 8, 3, 1, 1, False),
    "wide": (16, 64, 64, 32, 3, 1, 1, False),
    "wide, small image": (64, 128, 128, 4, 3, 1, 1, False),
}


def ours(shape: Any, weight: Tensor, bias: Tensor) -> nn.Module:
    """Return the layer of gantools with these weights."""
    _, n_in, n_out, _, kernel, stride, padding, transposed = shape
    layer = (ComplexConvTranspose2d if transposed else ComplexConv2d)(n_in, n_out, kernel, stride, padding)
    layer.load_state_dict({"weight": torch.view_as_real(weight), "bias": torch.view_as_real(bias)})
    return layer


def native(shape: Any, weight: Tensor, bias: Tensor) -> nn.Module:
    """Return PyTorch's layer with complex parameters."""
    _, n_in, n_out, _, kernel, stride, padding, transposed = shape
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    layer = kind(n_in, n_out, kernel, stride, padding, dtype=torch.complex64)
    layer.weight.data, layer.bias.data = weight.clone(), bias.clone()  # type: ignore[union-attr]
    return layer


def complextorch(shape: Any, weight: Tensor, bias: Tensor) -> nn.Module:
    """Return the layer of complextorch (which wraps the native one)."""
    _, n_in, n_out, _, kernel, stride, padding, transposed = shape
    library = importlib.import_module("complextorch").nn
    kind = library.ConvTranspose2d if transposed else library.Conv2d
    layer = kind(n_in, n_out, kernel, stride=stride, padding=padding)
    own = next(module for module in layer.modules() if isinstance(getattr(module, "weight", None), nn.Parameter))
    own.weight.data, own.bias.data = weight.clone(), bias.clone()
    return layer


def complexpytorch(shape: Any, weight: Tensor, bias: Tensor) -> nn.Module:
    """Return the layer of complexPyTorch (four real convolutions); its biases add to each of them."""
    _, n_in, n_out, _, kernel, stride, padding, transposed = shape
    library = importlib.import_module("complexPyTorch.complexLayers")
    kind = library.ComplexConvTranspose2d if transposed else library.ComplexConv2d
    layer = kind(n_in, n_out, kernel, stride=stride, padding=padding)
    real, imaginary = (layer.conv_tran_r, layer.conv_tran_i) if transposed else (layer.conv_r, layer.conv_i)
    real.weight.data, imaginary.weight.data = weight.real.clone(), weight.imag.clone()
    # (A x + a) - (B y + b) and (A y + a) + (B x + b): so a - b and a + b are the parts of the bias.
    real.bias.data = (bias.real + bias.imag) / 2
    imaginary.bias.data = (bias.imag - bias.real) / 2
    return layer


CONTESTANTS: dict[str, Callable[[Any, Tensor, Tensor], nn.Module]] = {
    "ours": ours,
    "native": native,
    "complextorch": complextorch,
    "complexPyTorch": complexpytorch,
}


def contestants(name: str, device: str, others: list[str]) -> dict[str, Callable[[], Any]]:
    """Return a forward and backward pass of every layer of this shape, all of them checked against the native one."""
    shape = SHAPES[name]
    batch, n_in, n_out, side, kernel, _, _, transposed = shape
    rng = torch.Generator().manual_seed(0)
    ends = (n_in, n_out) if transposed else (n_out, n_in)
    weight = torch.randn(*ends, kernel, kernel, dtype=torch.complex64, generator=rng) / (kernel * n_in**0.5)
    bias = torch.randn(n_out, dtype=torch.complex64, generator=rng)
    z = torch.randn(batch, n_in, side, side, dtype=torch.complex64, generator=rng).to(device).requires_grad_()
    expected = native(shape, weight, bias).to(device)(z).detach()
    direction = torch.randn(expected.shape, dtype=torch.complex64, generator=rng).to(device)

    def passes(layer: nn.Module) -> Callable[[], Any]:
        leaves = [z, *layer.parameters()]
        return lambda: torch.autograd.grad(layer(z), leaves, direction)

    found = {}
    for label in ["ours", "native", *others]:
        layer = CONTESTANTS[label](shape, weight, bias).to(device)
        difference = float((layer(z).detach() - expected).abs().max() / expected.abs().max())
        assert difference < 1e-4, f"{label} differs from native by {difference:.2g} on {name}"
        found[label] = passes(layer)
    return found


def seconds(work: Callable[[], Any], times: int, device: str) -> float:
    """Return the time of `times` passes."""
    if device != "cpu":
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(times):
            work()
        torch.cuda.synchronize()
        return time.perf_counter() - start
    start = time.process_time()
    for _ in range(times):
        work()
    return time.process_time() - start


def measure(name: str, device: str, others: list[str], rounds: int, least: float) -> dict[str, float]:
    """Return milliseconds of our pass, and the median ratio of ours to each other's."""
    passes = contestants(name, device, others)
    for work in passes.values():
        seconds(work, 3, device)
    times = {label: max(2, int(least / (seconds(work, 2, device) / 2))) for label, work in passes.items()}
    taken: dict[str, list[float]] = {label: [] for label in passes}
    for _ in range(rounds):
        for label, work in passes.items():
            taken[label].append(1e3 * seconds(work, times[label], device) / times[label])
    result = {"ours, ms": statistics.median(taken["ours"])}
    for label in passes:
        if label != "ours":
            ratios = [a / b for a, b in zip(taken["ours"], taken[label], strict=True)]
            result[f"ours / {label}"] = statistics.median(ratios)
    return result


def main() -> None:
    """Measure every shape and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--libraries", type=Path, help="folder of `pip install --target`")
    parser.add_argument("--shapes", nargs="+", default=list(SHAPES), choices=list(SHAPES), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.1, help="for each contestant in each round")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    others = []
    if args.libraries:
        sys.path.append(str(args.libraries))
        for label, module in (("complextorch", "complextorch"), ("complexPyTorch", "complexPyTorch.complexLayers")):
            with contextlib.suppress(ImportError):
                importlib.import_module(module)
                others.append(label)
    results: dict[str, dict[str, float]] = {}
    for name in args.shapes:
        results[name] = measure(name, args.device, others, args.rounds, args.seconds)
        if len(results) == 1:
            labels = list(results[name])
            print("| | channels | image | " + " | ".join(labels) + " |\n|---|--:|--:|" + "--:|" * len(labels))
        _, n_in, n_out, side, *_ = SHAPES[name]
        numbers = " | ".join(f"{value:.2f}" for value in results[name].values())
        print(f"| {name} | {n_in} to {n_out} | {side} | {numbers} |", flush=True)
    if args.json:
        args.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
