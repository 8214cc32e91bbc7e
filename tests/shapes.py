"""Shapes that public functions promise, held by jaxtyping and beartype wherever a test calls them.

Each function below states, by annotations, what a public function was given and what it returned; `hold` lets it be
asked after every call that succeeded: what bad arguments get is the functions' own business. Axes of one name are equal
within a call, and `{self.n}` is that number.
"""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from beartype import beartype
from jaxtyping import Bool, Complex, Float, Inexact, Int, Shaped, jaxtyped
from torch import Tensor

import gantools as gt
from gantools import analysis, metrics, nn
from gantools.trainers import GameOptimizer

Array = np.ndarray
CONTRACTS: list[tuple[Any, str, Callable[..., Any]]] = []


def promised(owner: Any, name: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let a function, called with the result and the arguments, state the shapes of a method or function."""

    def declare(statement: Callable[..., None]) -> Callable[..., None]:
        CONTRACTS.append((owner, name, jaxtyped(statement, typechecker=beartype)))
        return statement

    return declare


def hold() -> Callable[[], None]:
    """Check all contracts from now on; return a function that ends this."""
    originals = [(owner, name, vars(owner)[name]) for owner, name, _ in CONTRACTS]
    for (owner, name, statement), (*_, original) in zip(CONTRACTS, originals, strict=True):
        setattr(owner, name, _checked(original, statement))

    def end() -> None:
        for owner, name, original in originals:
            setattr(owner, name, original)

    return end


def _checked(original: Callable[..., Any], statement: Callable[..., None]) -> Callable[..., Any]:
    @functools.wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        result = original(*args, **kwargs)
        statement(result, *args, **kwargs)
        return result

    return call


# Games and methods ---------------------------------------------------------------------------------------------------


@promised(gt.Game, "vector")
def vector(result: Float[Tensor, "{self.num_parameters}"], self: Any) -> None: ...


@promised(gt.Game, "field")
def field(result: Float[Tensor, "{self.num_parameters}"], self: Any, batch: Any) -> None: ...


@promised(GameOptimizer, "update")
def update(
    result: tuple[Float[Tensor, " n"], Any], self: Any, w: Float[Tensor, " n"], state: Any, *batches: Any
) -> None: ...


# Operators and results -----------------------------------------------------------------------------------------------


@promised(analysis.LinearOperator, "__matmul__")
def product(result: Any, self: Any, u: Any) -> None:
    if isinstance(u, Tensor):
        product_of(result, self, u)


@jaxtyped(typechecker=beartype)
def product_of(result: Inexact[Tensor, "{self.n} *k"], self: Any, u: Shaped[Tensor, "{self.n} *k"]) -> None: ...


@promised(analysis.LinearOperator, "dense")
def dense(result: Inexact[Tensor, "{self.n} {self.n}"], self: Any, *args: Any, **kwargs: Any) -> None: ...


@promised(analysis.Spectrum, "__init__")
def spectrum(
    result: None,
    self: Any,
    values: Inexact[Tensor, " k"],
    residuals: Float[Tensor, " k"],
    errors: Float[Tensor, " k"],
    converged: Bool[Tensor, " k"],
    vectors: Inexact[Tensor, "{self.n} k"] | None,
    *args: Any,
    **kwargs: Any,
) -> None: ...


@promised(analysis.Conditions, "__init__")
def conditions(
    result: None, self: Any, left: Inexact[Tensor, "n k"], numbers: Float[Tensor, " k"], matvecs: int
) -> None: ...


@promised(analysis.RitzCloud, "__init__")
def ritz_cloud(
    result: None,
    self: Any,
    values: Complex[Tensor, "starts steps"],
    residuals: Float[Tensor, "starts steps"],
    *args: Any,
    **kwargs: Any,
) -> None: ...


@promised(analysis.Density, "__init__")
def density(
    result: None,
    self: Any,
    nodes: Float[Tensor, "{self.probes} m"],
    weights: Float[Tensor, "{self.probes} m"],
    grid: Float[Tensor, " points"],
    density: Float[Tensor, " points"],
    lower: Float[Tensor, " points"],
    upper: Float[Tensor, " points"],
    *args: Any,
    **kwargs: Any,
) -> None: ...


@promised(analysis.Diagonal, "__init__")
def diagonal(
    result: None,
    self: Any,
    values: Float[Tensor, " n"],
    standard_errors: Float[Tensor, " n"],
    *args: Any,
    **kwargs: Any,
) -> None: ...


@promised(analysis.Pseudospectrum, "__init__")
def pseudospectrum(
    result: None,
    self: Any,
    x: Float[Array, " columns"],
    y: Float[Array, " rows"],
    distance: Float[Array, "rows columns"],
    eigenvalues: Inexact[Array, "{self.n}"],
    *args: Any,
    **kwargs: Any,
) -> None: ...


@promised(analysis.FieldOfValues, "__init__")
def field_of_values(
    result: None,
    self: Any,
    boundary: Inexact[Array, " angles"],
    directions: Shaped[Array, " angles"],
    support: Float[Array, " angles"],
    errors: Float[Array, " angles"],
    *args: Any,
    **kwargs: Any,
) -> None: ...


@promised(analysis.PathAngle, "__init__")
def path_angle(
    result: None,
    self: Any,
    alpha: Float[Array, " points"],
    cosine: Float[Array, " points"],
    norm: Float[Array, " points"],
    norms: dict[str, Float[Array, " points"]],
    losses: dict[str, Float[Array, " points"]],
    *args: Any,
    **kwargs: Any,
) -> None: ...


@promised(analysis.Line, "__init__")
def line(
    result: None,
    self: Any,
    positions: Float[Array, " points"],
    losses: dict[str, Float[Array, " points"]],
    slope: Float[Array, " points"],
    norm: Float[Array, " points"],
    *args: Any,
    **kwargs: Any,
) -> None: ...


@promised(analysis.Plane, "__init__")
def plane(
    result: None,
    self: Any,
    x: Float[Array, " columns"],
    y: Float[Array, " rows"],
    losses: dict[str, Float[Array, "rows columns"]],
    field: Float[Array, "rows columns 2"],
    norm: Float[Array, "rows columns"],
    *args: Any,
    **kwargs: Any,
) -> None: ...


# Layers and measures -------------------------------------------------------------------------------------------------


@promised(nn.ComplexLinear, "forward")
def complex_linear(
    result: Complex[Tensor, "*batch {self.out_features}"],
    self: Any,
    input: Complex[Tensor, "*batch {self.in_features}"],
) -> None: ...


@promised(nn.UnitaryLinear, "matrix")
def unitary_matrix(result: Complex[Tensor, "{self.features} {self.features}"], self: Any) -> None: ...


@promised(nn.ComplexBatchNorm, "forward")
def complex_batch_norm(result: Complex[Tensor, "*shape"], self: Any, input: Complex[Tensor, "*shape"]) -> None: ...


@promised(nn.ComplexLayerNorm, "forward")
def complex_layer_norm(result: Complex[Tensor, "*shape"], self: Any, input: Complex[Tensor, "*shape"]) -> None: ...


@promised(nn.ModReLU, "forward")
def modrelu(result: Inexact[Tensor, "*shape"], self: Any, input: Inexact[Tensor, "*shape"]) -> None: ...


@promised(metrics.ModeCoverage, "__init__")
def mode_coverage(
    result: None, self: Any, covered: int, high_quality: float, counts: Int[Tensor, " modes"]
) -> None: ...
