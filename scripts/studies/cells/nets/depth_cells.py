"""Gradients through deep fully connected nets: measured at the start and after training, and by mean-field theory."""

import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from harness import study
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from gantools.data.seeds import derive_seed, random_stream
from gantools.nn import activation
from gantools.nn.init import variance_gain

WIDTH = 64  # of every layer, and the pixels of a digit
# ESP as its authors start it, where it halves its input; with beta = 1 it is SiLU.
SPECS = {"relu": "relu", "tanh": "tanh", "sigmoid": "sigmoid", "esp": "esp(beta=0.0, learned=True, std=0.004)",
         "silu": "silu", "gelu": "gelu", "sin": "sin"}  # fmt: skip
LEAST = -40.0  # log10 of a gradient that is 0, of a net that died


class Deep(nn.Module):
    r"""Layers $z_1 = W_1 x$, $z_{l+1} = s z_l + b W_{l+1} \phi(z_l)$, and logits $V \phi(z_L)$; no biases.

    s = 0, b = 1 for a plain net, s = b = 1 for a residual one, and s = 1, b = L^{-1/2} for a scaled residual one.
    """

    def __init__(self, name: str, init: str, kind: str, depth: int, rng: torch.Generator):
        super().__init__()
        # One tensor: an optimizer's step then takes a few operations instead of a few for each layer.
        self.weights = nn.Parameter(torch.stack([drawn(init, name, rng) for _ in range(depth)]))
        self.units = nn.ModuleList([activation(SPECS[name], WIDTH, "real", rng).double() for _ in range(depth)])
        self.head = nn.Parameter(drawn("Glorot", name, rng)[:10])
        self.skip, self.branch = shape(kind, depth)

    def states(self, x: Tensor) -> list[Tensor]:
        """Return z_1 to z_L, (B, n) each."""
        first, *others = self.weights.unbind()
        z = [x @ first.T]
        for weight, unit in zip(others, self.units, strict=False):
            z.append(self.skip * z[-1] + self.branch * (unit(z[-1]) @ weight.T))
        return z

    def forward(self, x: Tensor) -> Tensor:
        return self.units[-1](self.states(x)[-1]) @ self.head.T


def shape(kind: str, depth: int) -> tuple[float, float]:
    """Return the factors of the skip and of the branch."""
    return {"plain": (0.0, 1.0), "residual": (1.0, 1.0), "scaled": (1.0, depth**-0.5)}[kind]


def weight_variance(init: str, name: str) -> float:
    """Return n times the variance of a square layer's weights, sigma_w^2 of mean-field theory."""
    return variance_gain(mean_unit(name)) ** 2 if init == "gain" else 1.0


def drawn(init: str, name: str, rng: torch.Generator) -> Tensor:
    """Return a weight (n, n): Glorot uniform, normal with the gain that keeps a second moment, or orthogonal."""
    weight = torch.empty(WIDTH, WIDTH, dtype=torch.float64)
    if init == "Glorot":
        return nn.init.xavier_uniform_(weight, generator=rng)
    if init == "gain":
        return nn.init.normal_(weight, std=math.sqrt(weight_variance(init, name) / WIDTH), generator=rng)
    return nn.init.orthogonal_(weight, generator=rng)


SLOPES = np.polynomial.hermite_e.hermegauss(8)


def mean_unit(name: str) -> nn.Module:
    """Return the activation that `variance_gain` averages: the learned slopes of ESP at their mean."""
    return activation("esp(beta=0.0)" if name == "esp" else SPECS[name]).double()


def moments(name: str, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""Return $E \phi(x)^2$ and $E \phi'(x)^2$ of x ~ N(0, q), for each q (m,), by the midpoint rule.

    (Gauss-Hermite nodes are too far apart for a slope that is a narrow peak where q is large.) The slopes of ESP are
    averaged too: as small as they are, states that grow see them.
    """
    nodes = (np.arange(1024) + 0.5) / 64 - 8
    weights = np.exp(-(nodes**2) / 2)
    x = torch.from_numpy(np.sqrt(q)[:, None] * nodes).requires_grad_()
    mean, square, slope = torch.from_numpy(weights / weights.sum()), torch.zeros(len(q)), torch.zeros(len(q))
    units: list[tuple[Callable[[Tensor], Tensor], float]] = [(mean_unit(name), 1.0)]
    if name == "esp":
        shares = SLOPES[1] / SLOPES[1].sum()
        units = [(lambda x, b=0.004 * b: x * torch.sigmoid(b * x), share)
                 for b, share in zip(SLOPES[0], shares, strict=True)]  # fmt: skip
    for unit, share in units:
        value = unit(x)
        (derivative,) = torch.autograd.grad(value.sum(), x)
        square = square + share * (value.detach().square() @ mean)
        slope = slope + share * (derivative.square() @ mean)
    return square.numpy(), slope.numpy()


def predicted(name: str, init: str, kind: str, depth: int, q: np.ndarray) -> np.ndarray:
    r"""Return the mean-field gain (depth,) of a gradient's norm from z_L down to z_l, for l = 1 to L.

    With the variance q_l of an entry of z_l, $q_{l+1} = s^2 q_l + b^2 \sigma_w^2 E \phi^2$, each layer multiplies the
    squared norm of the gradient by $s^2 + b^2 \sigma_w^2 E \phi'^2$ (Schoenholz et al., arXiv:1611.01232; residual
    nets: Yang and Schoenholz, arXiv:1712.08969).

    Args:
        name: of the activation.
        init: of the weights.
        kind: of the net.
        depth: L.
        q: variance of an entry of z_1, for each sample (m,); squared norms are averaged over them.
    """
    variance, (s, b), factors = weight_variance(init, name), shape(kind, depth), [np.ones_like(q)]
    for _ in range(depth - 1):
        square, slope = moments(name, q)
        factors.append(s**2 + b**2 * variance * slope)
        q = s**2 * q + b**2 * variance * square
    down = np.cumprod([factors[0], *reversed(factors[1:])], 0)[::-1]
    return np.sqrt(down.mean(1))


def gradients(net: Deep, x: Tensor, rng: torch.Generator) -> np.ndarray:
    """Return log10 of a gradient's norm at z_1 to z_L relative to that at z_L, where it is drawn at random."""
    z = net.states(x)
    top = torch.randn(z[-1].shape, generator=rng, dtype=x.dtype)
    norms = torch.stack([g.norm() for g in torch.autograd.grad(z[-1], z, top)])
    return (norms / norms[-1]).clamp(min=10**LEAST).log10().numpy()


@functools.cache
def digits(seed: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Return inputs and labels of a training part, three quarters, and a test part; mean 0, mean square 1."""
    images, labels = load_digits(return_X_y=True)
    order = random_stream(seed, "split").permutation(len(labels))
    x = images[order] - images.mean(0)
    x, y, cut = torch.from_numpy(x / np.sqrt((x**2).mean())), torch.from_numpy(labels[order]), round(0.75 * len(order))
    return x[:cut], y[:cut], x[cut:], y[cut:]


def trained(net: Deep, steps: int, seed: int) -> float:
    """Train by Adam at 1e-3 on batches of 64, in float32, and return the fraction of right answers on the test part."""
    x, y, test, answers = digits(seed)
    net, x, test = net.float(), x.float(), test.float()
    rng = torch.Generator().manual_seed(derive_seed(seed, "batches"))
    optimizer = torch.optim.Adam(net.parameters(), fused=True)
    for _ in range(steps):
        rows = torch.randint(len(x), (64,), generator=rng)
        optimizer.zero_grad()
        cross_entropy(net(x[rows]), y[rows]).backward()
        optimizer.step()
    with torch.no_grad():
        right = float((net(test).argmax(1) == answers).double().mean())
    net.double()
    return right


def run(cell: study.Cell, seed: int, folder: Path) -> study.Result:
    """Measure one activation, initialization and kind of net at all depths, and train the deepest."""
    found: study.Result = {}
    depths: Sequence[int] = cell["depths"]
    for depth in depths:
        rng = torch.Generator().manual_seed(derive_seed(seed, "parameters"))
        net, x = Deep(cell["activation"], cell["init"], cell["kind"], depth, rng), digits(seed)[2][:128]
        start = gradients(net, x, rng)
        found[f"start {depth}"] = float(start[0])
    q = weight_variance(cell["init"], cell["activation"]) * x.square().mean(1).numpy()
    theory = np.log10(predicted(cell["activation"], cell["init"], cell["kind"], depth, q))
    accuracy, after = trained(net, cell["steps"], seed), gradients(net, x, rng)
    layers = list(range(1, depth + 1))
    curves = {"step": layers, "start": start.tolist(), "theory": theory.tolist(), "trained": after.tolist()}
    found |= {"theory": round(float(theory[0]), 9), "off": float(start[0] - theory[0]), "trained": float(after[0])}
    return found | {"accuracy": accuracy, "curves": curves}
