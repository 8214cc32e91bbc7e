"""Residual nets as flows: Jacobians through depth, solvers of a trained flow, the adjoint's memory, drop-path."""

import functools
import json
import math
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cells import integrator_cells
from harness import study
from harness.live_memory import LiveMemory
from numpy.polynomial import Chebyshev
from torch import Tensor, nn

from gantools.data.classification import Classifier, accuracy
from gantools.data.seeds import derive_seed
from gantools.networks.mlp import perceptron
from gantools.nn import Flow, FractalBlock, ODEBlock, activation

# Jacobians -----------------------------------------------------------------------------------------------------------

POINTS = 64


class Skip(nn.Module):
    """Block a u + f(u): residual for a = 1, plain for a = 0."""

    def __init__(self, f: nn.Module, a: float):
        super().__init__()
        self.f, self.a = f, a

    def forward(self, u: Tensor) -> Tensor:
        return self.a * u + self.f(u)


def blocks(cell: study.Cell, rng: torch.Generator) -> nn.Module:
    """Return the blocks of a cell: those of a scheme, or ones whose skip is multiplied by a number."""
    if "skip" not in cell:
        return integrator_cells.flow(cell["scheme"], cell["blocks"], rng)
    state, hidden = integrator_cells.STATE, integrator_cells.HIDDEN
    made = (nn.Sequential(*perceptron([state, hidden, state], "tanh", rng)) for _ in range(cell["blocks"]))
    return Flow(*(Skip(f, cell["skip"]) for f in made))


def states(net: nn.Module, u: Tensor) -> list[Tensor]:
    """Return the states (B, n) after 0, 1, ... blocks; of a flow of fixed steps, after each unit of time."""
    if isinstance(net, ODEBlock):
        parts: Sequence[nn.Module] = [ODEBlock(net.f, 1.0, net.method, steps=1) for _ in range(round(net.step))]
    else:
        parts = list(net.children())
    found, state = [u], u
    for part in parts:
        state = part(state)
        found.append(state[0] if isinstance(state, tuple) else state)
    return found


def jacobian(y: Tensor, x: Tensor) -> Tensor:
    """Return the derivatives (B, n, n) of y (B, n) by x (B, n), row by row of a batch."""
    rows = [torch.autograd.grad(y[:, i].sum(), x, retain_graph=True)[0] for i in range(y.shape[1])]
    return torch.stack(rows, 1)


def singular_values(net: nn.Module, u: Tensor) -> tuple[Tensor, Tensor]:
    """Return those of each block's Jacobian and of the product up to it, both (L, B, n), falling.

    A two-step block's Jacobian is the derivative by the last state, the one before it held.
    """
    found = states(net, u.detach().requires_grad_())
    own = torch.stack([torch.linalg.svdvals(jacobian(b, a)) for a, b in zip(found, found[1:], strict=False)])
    product = torch.stack([torch.linalg.svdvals(jacobian(y, found[0])) for y in found[1:]])
    return own, product


def classifiers(cell: study.Cell, seed: int) -> tuple[Classifier, Classifier]:
    """Return a cell's classifier before its training, but for one step, and after it; cells that train alike share."""
    return _classifiers(_training(cell), seed)


def _training(cell: study.Cell) -> str:
    kept = ("task", "drawn", "scale", "fraction", "batch", "steps", "blocks", "scheme", "skip")
    return json.dumps({key: cell[key] for key in kept if key in cell})


@functools.cache
def _classifiers(settings: str, seed: int) -> tuple[Classifier, Classifier]:
    cell = json.loads(settings)
    make = partial(blocks, cell)
    return integrator_cells.trained(cell | {"steps": 1}, make, seed)[0], integrator_cells.trained(cell, make, seed)[0]


def jacobians(cell: study.Cell, seed: int) -> study.Result:
    """Train a classifier and return what its blocks do to small differences, before and after."""
    test, found = integrator_cells.points(cell, seed)[1], {}
    for name, model in zip(("start", "trained"), classifiers(cell, seed), strict=True):
        into, net, _ = model.layers
        own, product = singular_values(net, into(test.inputs[:POINTS]))
        product = product.clamp(min=1e-30).log10().mean(1)  # (L, n)
        found[f"{name} largest"], found[f"{name} smallest"] = float(product[-1, 0]), float(product[-1, -1])
    own = own.clamp(min=1e-30)
    curves = {"step": list(range(1, len(product) + 1)), "largest": product[:, 0].tolist(),
              "smallest": product[:, -1].tolist()}  # fmt: skip
    return found | {
        "test": accuracy(model, test), "block largest": float(own[..., 0].mean()),
        "block smallest": float(own[..., -1].mean()), "block mean": float(own.log().mean().exp()), "curves": curves,
    }  # fmt: skip


# Solvers -------------------------------------------------------------------------------------------------------------


def solver(cell: study.Cell, seed: int) -> study.Result:
    """Answer the test points by a trained flow that another solver integrates, against a solver of high accuracy."""
    models, test = classifiers(cell, seed), integrator_cells.points(cell, seed)[1]
    found: study.Result = {}
    for name, model in zip(("start", "trained"), models, strict=True):
        logits, found[f"{name} evaluations"] = answers(model, test.inputs, cell)
    exact = _solved(_training(cell), seed)
    return found | {
        "test": float(((logits > 0) == (test.targets > 0.5)).double().mean()),
        "other": float(((logits > 0) != (exact > 0)).double().mean()),
        "log error": float((logits - exact).abs().mean().clamp(min=1e-16).log10()),
    }


@functools.cache
def _solved(settings: str, seed: int) -> Tensor:
    """Return the logits (B,) of the trained classifier on its test points, its flow solved to a tolerance of 1e-7."""
    inputs = integrator_cells.points(json.loads(settings), seed)[1].inputs
    return answers(_classifiers(settings, seed)[1], inputs, {"method": "dopri5", "tolerance": 1e-7})[0]


def answers(model: Classifier, inputs: Tensor, cell: study.Cell) -> tuple[Tensor, int]:
    """Return the logits (B,) of a classifier whose flow is integrated as a cell says, and the evaluations of f."""
    into, net, out = model.layers
    tolerances = {} if "tolerance" not in cell else {"rtol": cell["tolerance"], "atol": cell["tolerance"]}
    block = ODEBlock(net.f, net.step, cell["method"], cell.get("solver steps"), **tolerances)
    with torch.no_grad():
        return out(block(into(inputs))).squeeze(1), block.evaluations


# Memory --------------------------------------------------------------------------------------------------------------


def memory(cell: study.Cell, seed: int) -> study.Result:
    """Return the most bytes alive in a training step of a flow, in states, by both gradients, and how they differ."""
    rng = torch.Generator().manual_seed(derive_seed(seed, "parameters"))
    f = nn.Sequential(*perceptron([16, 16, 16], "tanh", rng))
    u, found, gradients = torch.randn(2048, 16, generator=rng), {}, []
    for name, adjoint in (("direct", False), ("adjoint", True)):
        block = ODEBlock(f, 1.0, "rk4", cell["solver steps"], adjoint=adjoint)
        with LiveMemory() as counted:
            gradients.append(torch.autograd.grad(block(u).square().sum(), list(f.parameters())))
        found[name] = counted.peak / u.nbytes
    direct, other = (torch.cat([g.flatten() for g in each]).double() for each in gradients)
    return found | {"difference": float(((other - direct).norm() / direct.norm()).log10())}


# Drop-path -----------------------------------------------------------------------------------------------------------

Law = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]  # points (m,) -> next states (k, m), probabilities (k,)
NODES = 64
NORMAL = np.polynomial.hermite_e.hermegauss(12)
F: Any = activation("sin")  # right-hand side of the net; of NumPy's arrays it is np.sin


def dropped(h: float, survival: float, f: Callable[[np.ndarray], np.ndarray] = np.sin) -> Law:
    """Return the law of a residual block that is kept with probability p and then weighs 1/p (stochastic depth)."""
    return lambda u: (np.stack([u, u + h / survival * f(u)]), np.array([1 - survival, survival]))


def fractal_weights(p: float) -> np.ndarray:
    """Return the probabilities that drop-path leaves 0, 1/2 or 1 of the deep branch of a join with the identity.

    Half of all batches are global, one branch each; in the others each branch goes with probability p, never both.
    """
    one = 0.25 + 0.5 * (p - p**2 / 2)
    return np.array([one, 0.5 * (1 - p) ** 2, one])


def fractal_branch(u: np.ndarray, h: float) -> np.ndarray:
    """Return what two Euler steps add."""
    inner = u + h * np.sin(u)
    return inner + h * np.sin(inner) - u


def fractal(h: float, p: float) -> Law:
    """Return the law of a `FractalBlock` of two columns and the identity under drop-path."""
    return lambda u: (u + np.outer([0, 0.5, 1], fractal_branch(u, h)), fractal_weights(p))


def euler_maruyama(law: Law) -> Law:
    """Return the step of Euler-Maruyama whose drift and diffusion are the mean and the variance of a law."""

    def step(u: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        after, weights = law(u)
        mean = weights @ after
        deviation = np.sqrt(weights @ (after - mean) ** 2)
        return mean + np.outer(NORMAL[0], deviation), NORMAL[1] / NORMAL[1].sum()

    return step


def moments(law: Law, steps: int, u: float) -> tuple[float, float]:
    r"""Return mean and standard deviation after some steps from u, by the backward equation.

    $v_l(u) = E\,v_{l+1}(u')$, from $v_L = u$ and $u^2$, on Chebyshev points of the interval that l steps can reach: no
    sampling, errors of rounding.
    """
    reached = [(u - 1e-3, u + 1e-3)]
    for _ in range(steps - 1):
        after, _ = law(np.linspace(*reached[-1], 200))
        reached.append((float(after.min()) - 1e-3, float(after.max()) + 1e-3))
    found = []
    for power in (1, 2):
        v = _power(power)
        for ends in reversed(reached):
            v = Chebyshev.interpolate(_expected(law, v), NODES, ends)
        found.append(float(v(np.array([u]))[0]))
    return found[0], math.sqrt(max(found[1] - found[0] ** 2, 0.0))


def _power(n: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda u: u**n


def _expected(law: Law, v: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    def mean(u: np.ndarray) -> np.ndarray:
        after, weights = law(u)
        return weights @ v(after)

    return mean


def drop_path(cell: study.Cell, seed: int) -> study.Result:
    """Return mean and deviation of a net with random depth at time 1, beside those of the matching equation's steps."""
    rng = torch.Generator().manual_seed(derive_seed(seed, "start"))
    u, h = 0.5 + float(torch.rand((), generator=rng)), 1 / cell["blocks"]
    law = dropped(h, cell["survival"]) if "survival" in cell else fractal(h, cell["drop_path"])
    mean, deviation = moments(law, cell["blocks"], u)
    other_mean, other = moments(euler_maruyama(law), cell["blocks"], u)
    found: study.Result = {
        "bias": mean - 2 * math.atan(math.tan(u / 2) * math.e), "deviation": deviation, "deviation, SDE": other,
        "weak mean": math.log10(max(abs(mean - other_mean), 1e-16)),
        "weak deviation": math.log10(max(abs(deviation - other), 1e-16)),
    }  # fmt: skip
    if "passes" in cell:
        drawn = passes(cell, u, seed)
        found["deviation, drawn"] = float(drawn.std())
        found["mean, drawn less exact"] = float(drawn.mean()) - mean
    return found


def passes(cell: study.Cell, u: float, seed: int) -> np.ndarray:
    """Return the outputs of a chain of `FractalBlock`s in training, one of each pass."""
    net = Flow(*(FractalBlock(F, 2, step=1 / cell["blocks"], drop_path=cell["drop_path"])
                 for _ in range(cell["blocks"])))  # fmt: skip
    start = torch.full((1, 1), u, dtype=torch.float64)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(derive_seed(seed, "drop-path"))
        return np.array([float(net(start)) for _ in range(cell["passes"])])


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Run one cell of any kind."""
    measure = {"jacobians": jacobians, "solver": solver, "memory": memory, "drop-path": drop_path}
    return measure[cell["kind"]](cell, seed)
