r"""Small classification tasks, generated from a seed, and the classifiers that are studied on them.

    game, batch = problem("esp_nonlinear", hidden=(10,), activation="esp(beta=0.0, learned=True, std=0.004)")

`gantools index FILE.py:FUNCTION` counts the signs of the Hessian's eigenvalues for a function of your own that returns
such a pair. Inputs are float64, targets 0 or 1; the loss is the binary cross-entropy of one logit.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from gantools.data.seeds import derive_seed, random_stream
from gantools.errors import GantoolsError
from gantools.games.game import Game, minimization
from gantools.networks.complex_mlp import ComplexMLP
from gantools.networks.mlp import perceptron
from gantools.nn.activations import activation as make_activation
from gantools.registry import Registry, setting

CLASSIFICATION_TASKS: Registry[Any] = Registry("task")
TASKS = CLASSIFICATION_TASKS  # the name in earlier versions


@dataclasses.dataclass(frozen=True)
class Sample:
    """Inputs (N, d) float64 and targets (N,), 0.0 or 1.0."""

    inputs: Tensor
    targets: Tensor

    def split(self, fraction: float = 0.75, seed: int = 0) -> "tuple[Sample, Sample]":
        """Return `fraction` of the rows, drawn at random, and the others."""
        order = torch.from_numpy(random_stream(seed, "split").permutation(len(self.targets)))
        cut = round(fraction * len(order))
        if not 0 < cut <= len(order):
            raise GantoolsError(f"fraction = {fraction} of {len(order)} rows: pass more than 0 and at most 1.")
        return self._rows(order[:cut]), self._rows(order[cut:])

    def _rows(self, rows: Tensor) -> "Sample":
        return Sample(self.inputs[rows], self.targets[rows])


def _sample(inputs: np.ndarray, targets: np.ndarray) -> Sample:
    return Sample(torch.from_numpy(inputs.astype(np.float64)), torch.from_numpy(targets.astype(np.float64)))


@CLASSIFICATION_TASKS.register("two_spirals")
@dataclasses.dataclass(frozen=True)
class TwoSpirals:
    r"""Two intertwined spirals of three turns (Lang and Witbrock, 1988), 97 points each, within the unit circle.

    $r = 1 - i/104$, $\phi = \pi i / 16$ for i = 0, ..., 96; the other spiral is its negative.
    """

    points: int = setting(97, "points of each spiral, on the same curve")
    noise: float = setting(0.0, "standard deviation of noise on the points")

    def draw(self, seed: int = 0) -> Sample:
        """Return the points."""
        _positive("points", self.points)
        i = np.linspace(0, 96, self.points)
        radius, angle = 1 - i / 104, math.pi * i / 16
        one = np.stack([radius * np.sin(angle), radius * np.cos(angle)], 1)
        inputs = np.concatenate([one, -one])
        inputs = inputs + self.noise * random_stream(seed, "two_spirals").standard_normal(inputs.shape)
        return _sample(inputs, np.arange(len(inputs)) >= self.points)


class _Bounded:
    """Points uniform in a box, but for a margin on both sides of a boundary; the class is the side."""

    points: int
    margin: float

    def _fill(self, seed: int, box: Sequence[tuple[float, float]], side: Callable[[np.ndarray], np.ndarray]) -> Sample:
        _positive("points", self.points)
        stream, (low, high) = random_stream(seed, type(self).__name__), np.array(box).T
        if not 0 <= self.margin < 0.3 * (high - low).min():
            raise GantoolsError(f"margin = {self.margin}: pass 0 or more, and less than 0.3 of the height of the box.")
        kept = np.empty((0, 2))
        while len(kept) < self.points:
            drawn = low + (high - low) * stream.random((4 * self.points, 2))
            kept = np.concatenate([kept, drawn[abs(side(drawn)) > self.margin]])
        kept = kept[: self.points]
        return _sample(kept, side(kept) > 0)


@CLASSIFICATION_TASKS.register("esp_linear")
@dataclasses.dataclass(frozen=True)
class EspLinear(_Bounded):
    """A look-alike of the linearly separable set of Milletari et al. (arXiv:1805.08786): 51 points in the plane."""

    points: int = setting(51, "points of both classes together")
    margin: float = setting(0.1, "distance that points keep from the line, at least")

    def draw(self, seed: int = 0) -> Sample:
        """Return the points; class 1 lies above the line 0.8 x + 0.6 y = 3.5."""
        return self._fill(seed, [(0.0, 4.5), (1.0, 5.0)], lambda x: 0.8 * x[:, 0] + 0.6 * x[:, 1] - 3.5)


@CLASSIFICATION_TASKS.register("esp_nonlinear")
@dataclasses.dataclass(frozen=True)
class EspNonlinear(_Bounded):
    """A look-alike of the nonlinear set of Milletari et al. (arXiv:1805.08786): 863 points on both sides of a wave."""

    points: int = setting(863, "points of both classes together")
    margin: float = setting(0.01, "vertical distance that points keep from the wave, at least")

    def draw(self, seed: int = 0) -> Sample:
        r"""Return the points; class 1 lies above $0.7 + 0.18 \cos(3 \pi x)$."""
        return self._fill(
            seed, [(0.0, 1.0), (0.4, 1.0)], lambda x: x[:, 1] - 0.7 - 0.18 * np.cos(3 * math.pi * x[:, 0])
        )


GATES: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "and": lambda a, b: a & b,
    "or": lambda a, b: a | b,
    "xor": lambda a, b: a ^ b,
    "nand": lambda a, b: ~(a & b),
    "nor": lambda a, b: ~(a | b),
    "xnor": lambda a, b: ~(a ^ b),
}


@CLASSIFICATION_TASKS.register("gate")
@dataclasses.dataclass(frozen=True)
class Gate:
    """The four rows of a logic gate of two bits, 0 or 1."""

    gate: Literal["and", "or", "xor", "nand", "nor", "xnor"] = setting("xor", "which gate")

    def draw(self, seed: int = 0) -> Sample:
        """Return the rows, in the order 00, 01, 10, 11."""
        if self.gate not in GATES:
            raise GantoolsError(f"Unknown gate {self.gate!r}: pass one of {', '.join(GATES)}.")
        rows = _rows_of_bits(2)
        return _sample(rows, GATES[self.gate](rows[:, 0], rows[:, 1]))


@CLASSIFICATION_TASKS.register("parity")
@dataclasses.dataclass(frozen=True)
class Parity:
    """All rows of some bits; the class is their parity, their majority, or the first bit."""

    bits: int = setting(3, "bits of a row; there are 2^bits rows")
    function: Literal["parity", "majority", "first"] = setting("parity", "property of a row that is its class")

    def draw(self, seed: int = 0) -> Sample:
        """Return the rows, counting upwards."""
        _positive("bits", self.bits)
        rows = _rows_of_bits(self.bits)
        ones = rows.sum(1)
        functions = {"parity": ones % 2 == 1, "majority": 2 * ones > self.bits, "first": rows[:, 0]}
        if self.function not in functions:
            raise GantoolsError(f"Unknown function {self.function!r}: pass one of {', '.join(functions)}.")
        return _sample(rows, functions[self.function])


def _rows_of_bits(n: int) -> np.ndarray:
    return (np.arange(2**n)[:, None] >> np.arange(n)[::-1] & 1).astype(bool)


def _positive(name: str, value: int) -> None:
    if value < 1:
        raise GantoolsError(f"{name} = {value}: pass at least 1.")


# Classifiers ---------------------------------------------------------------------------------------------------------


class Classifier(nn.Module):
    """Map (B, d) to logits (B,)."""

    def __init__(self, layers: nn.Module):
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x).squeeze(1)


def classifier(
    inputs: int,
    hidden: Sequence[int] = (10,),
    activation: str = "relu",
    output_activation: str = "",
    network: Literal["mlp", "complex_mlp", "unitary_mlp"] = "mlp",
    rng: torch.Generator | None = None,
) -> Classifier:
    """Return a fully connected classifier in float64, weights Xavier uniform (Glorot complex) and biases zero.

    Args:
        inputs: dimension of a sample.
        hidden: units of each hidden layer.
        activation: of hidden units, as in `gantools.nn.activation`; one with a parameter has one for each unit.
        output_activation: real activation of the logit, none by default; an ESP in the nets of arXiv:1805.08786.
        network: real, complex, or with unitary maps between hidden layers.
        rng: draws the weights; the global generator without it.
    """
    if inputs < 1 or any(units < 1 for units in hidden):
        raise GantoolsError(
            f"A classifier of {inputs} inputs and {tuple(hidden)} hidden units: pass at least 1 of each."
        )
    output = [make_activation(output_activation, 1, "real", rng)] if output_activation else []
    if network == "mlp":
        layers = perceptron([inputs, *hidden, 1], activation, rng)
    elif network in ("complex_mlp", "unitary_mlp"):
        unitary = network == "unitary_mlp"
        layers = [ComplexMLP((inputs,), (1,), tuple(hidden), activation, unitary=unitary, rng=rng)]
    else:
        raise GantoolsError(f"Unknown network {network!r}: pass mlp, complex_mlp or unitary_mlp.")
    return Classifier(nn.Sequential(*layers, *output).double())


def accuracy(model: nn.Module, sample: Sample) -> float:
    """Return the fraction of rows that the sign of the logit classifies correctly."""
    with torch.no_grad():
        return float(((model(sample.inputs) > 0) == (sample.targets > 0.5)).double().mean())


def problem(
    task: str = "two_spirals",
    hidden: Sequence[int] = (10,),
    activation: str = "relu",
    output_activation: str = "",
    network: Literal["mlp", "complex_mlp", "unitary_mlp"] = "mlp",
    seed: int = 0,
    fraction: float = 1.0,
    **settings: Any,
) -> tuple[Game, tuple[Tensor, Tensor]]:
    """Return a classifier of this task as a game of one player, and its batch: a share `fraction` of all rows.

    `settings` are those of the task; `seed` draws its points, the share, and the weights.
    """
    sample, _ = CLASSIFICATION_TASKS[task](**settings).draw(seed).split(fraction, seed)
    rng = torch.Generator().manual_seed(derive_seed(seed, "parameters"))
    model = classifier(sample.inputs.shape[1], hidden, activation, output_activation, network, rng)

    game = minimization(model, lambda model, batch: binary_cross_entropy_with_logits(model(batch[0]), batch[1]))
    return game, (sample.inputs, sample.targets)
