"""Measures of residual nets as integrators: their order, their accuracy as classifiers, their memory."""

import dataclasses
import math
from collections.abc import Callable
from functools import partial

import torch
from harness import study
from harness.live_memory import LiveMemory
from torch import Tensor, nn

from gantools.data.classification import CLASSIFICATION_TASKS, Classifier, Sample, accuracy
from gantools.data.seeds import derive_seed
from gantools.networks.mlp import perceptron
from gantools.nn import Flow, FractalBlock, LMBlock, ODEBlock, PolyBlock, ResidualBlock, RevBlock, RevSequence

# Order ---------------------------------------------------------------------------------------------------------------


class Logistic(nn.Module):
    """Right-hand side u (1 - u) of the logistic equation; 0 at 0, as PolyNet needs it."""

    def forward(self, u: Tensor) -> Tensor:
        return u * (1 - u)


K = -0.05  # of the two-step scheme, whose limit is (1 + k) u' = f: its time runs 1 / (1 + k) times as fast.
F = Logistic()


def two_step(k: float, n: int) -> list[nn.Module]:
    """Return n steps to time 1, of which the first is one of Heun."""
    h = 1 / n
    return [_Begin(h), *(LMBlock(F, h * (1 + k), k, learned=False) for _ in range(n - 1))]


class _Begin(nn.Module):
    """A step of Heun's method that begins a chain of two-step blocks."""

    def __init__(self, h: float):
        super().__init__()
        self.step = FractalBlock(F, 2, step=h)

    def forward(self, u: Tensor) -> tuple[Tensor, Tensor]:
        return self.step(u), u


def repeated(make: Callable[[float], nn.Module]) -> Callable[[int], list[nn.Module]]:
    """Return a function that makes n steps to time 1."""
    return lambda n: [make(1 / n) for _ in range(n)]


# n steps, and evaluations of f in each; RevNet moves x and y by one evaluation each.
SCHEMES: dict[str, tuple[Callable[[int], list[nn.Module]], int]] = {
    "ResNet": (repeated(lambda h: ResidualBlock(F, h)), 1),
    "LM-ResNet": (partial(two_step, K), 1), "LM-ResNet, k = 1": (partial(two_step, 1.0), 1),
    "RevNet": (repeated(lambda h: RevBlock(F, F, h)), 1), "PolyNet": (repeated(lambda h: PolyBlock(F, step=h)), 2),
    "FractalNet": (repeated(lambda h: FractalBlock(F, 2, "unit", h)), 3),
    "FractalNet, identity": (repeated(lambda h: FractalBlock(F, 2, step=h)), 2),
    "ODE, midpoint": (repeated(lambda h: ODEBlock(F, h, "midpoint", 1)), 2),
    "ODE, rk4": (repeated(lambda h: ODEBlock(F, h, "rk4", 1)), 4),
}  # fmt: skip


def order(cell: study.Cell, seed: int) -> study.Result:
    """Integrate from a random start to time 1: the slope between 32 and 64 steps, and the error at 32 evaluations."""
    make, evaluations = SCHEMES[cell["scheme"]]
    rng = torch.Generator().manual_seed(derive_seed(seed, "start"))
    u = 0.1 + 0.3 * torch.rand(1, 1, generator=rng, dtype=torch.float64).expand(1, 2)
    exact = 1 / (1 + (1 / u - 1) * math.exp(-1))
    with torch.no_grad():
        errors = {n: float((Flow(*make(n))(u) - exact).abs().max()) for n in (32, 64, max(1, 32 // evaluations))}
    return {"order": math.log2(errors[32] / errors[64]), "log error": math.log10(errors[max(1, 32 // evaluations)])}


# Classifiers ---------------------------------------------------------------------------------------------------------

STATE, HIDDEN, BLOCKS = 16, 8, 8


def flow(scheme: str, blocks: int, rng: torch.Generator) -> nn.Module:
    """Return blocks on a state of 16 whose parameters, apart from k, are about those of as many ResNet blocks."""

    def f(units: int, hidden: int) -> nn.Module:
        return nn.Sequential(*perceptron([units, hidden, units], "tanh", rng))

    def one() -> nn.Module:
        return f(STATE, HIDDEN)

    if scheme == "ODE, rk4":
        return ODEBlock(f(STATE, BLOCKS * HIDDEN + 4), blocks, "rk4", steps=blocks)
    made: dict[str, Callable[[int], nn.Module]] = {
        "ResNet": lambda _: ResidualBlock(one()),
        "LM-ResNet": lambda i: LMBlock(one(), first=i == 0, rng=rng),
        "RevNet": lambda _: RevBlock(f(STATE // 2, HIDDEN), f(STATE // 2, HIDDEN)),
        "PolyNet": lambda _: PolyBlock(one()),
        "FractalNet, identity": lambda _: FractalBlock(one(), 2),
    }
    return Flow(*(made[scheme](i) for i in range(blocks)))


def points(cell: study.Cell, seed: int) -> tuple[Sample, Sample]:
    """Return the points to train on and those to test on, in the cell's unit of length."""
    drawn = CLASSIFICATION_TASKS[cell["task"]](**cell.get("drawn", {})).draw(seed)
    scaled = dataclasses.replace(drawn, inputs=cell.get("scale", 1) * drawn.inputs)
    return scaled.split(cell.get("fraction", 0.75), seed)


def trained(cell: study.Cell, make: Callable[[torch.Generator], nn.Module], seed: int) -> tuple[Classifier, float]:
    """Train a classifier around blocks, and return it with the cross-entropy of its last step.

    Adam from 1e-2 down to 1e-3, on full batches, or on as many rows drawn for each step as the cell says.
    """
    rng = torch.Generator().manual_seed(derive_seed(seed, "parameters"))
    into, out = (nn.Sequential(*perceptron(sizes, "tanh", rng)) for sizes in ([2, STATE], [STATE, 1]))
    model, (train, _) = Classifier(nn.Sequential(into, make(rng), out).double()), points(cell, seed)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1 ** (1 / cell["steps"]))
    for _ in range(cell["steps"]):
        rows = torch.randint(len(train.targets), (cell["batch"],), generator=rng) if "batch" in cell else slice(None)
        loss = nn.functional.binary_cross_entropy_with_logits(model(train.inputs[rows]), train.targets[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model, float(loss.detach())


def classified(cell: study.Cell, seed: int) -> study.Result:
    """Train a classifier of one scheme, and return how often it is right on both parts of the points."""
    model, loss = trained(cell, partial(flow, cell["scheme"], cell["blocks"]), seed)
    train, test = points(cell, seed)
    count = sum(p.numel() for p in model.parameters())
    return {"parameters": count, "train": accuracy(model, train), "test": accuracy(model, test), "loss": loss}


# Memory --------------------------------------------------------------------------------------------------------------


def memory(cell: study.Cell, seed: int) -> study.Result:
    """Return the most bytes that are alive in a training step of reversible blocks, undone and stored, in states."""
    rng = torch.Generator().manual_seed(derive_seed(seed, "parameters"))

    def f() -> nn.Module:
        return nn.Sequential(*perceptron([8, 8, 8], "tanh", rng))

    blocks = [RevBlock(f(), f()) for _ in range(cell["depth"])]
    u, found = torch.randn(4096, 16, generator=rng), {}
    for name, recompute in (("undone", True), ("stored", False)):
        chain = RevSequence(*blocks, recompute=recompute)
        with LiveMemory() as counted:
            torch.autograd.grad(chain(u).square().sum(), list(chain.parameters()))
        found[name] = counted.peak / u.nbytes
    return found | {"drift": chain.drift(u)}
