"""What figures and summaries are made of, by the attributes that they read; imports no torch."""

from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class SummaryWriter(Protocol):
    """A writer of TensorBoard logs, as `torch.utils.tensorboard` has it."""

    def add_figure(self, tag: str, figure: Any, global_step: int | None = None) -> None: ...

    def add_scalar(self, tag: str, scalar_value: Any, global_step: int | None = None) -> None: ...


@runtime_checkable
class Spectrum(Protocol):
    """Eigenvalues; it may have `kind`, `n`, `complete`, `converged` and more."""

    values: Any


@runtime_checkable
class RitzCloud(Protocol):
    """Ritz values, some of which can be trusted."""

    values: Any

    def trusted(self) -> Any: ...


@runtime_checkable
class Density(Protocol):
    """A spectral density on a grid, with bounds."""

    grid: Any
    density: Any
    lower: Any
    upper: Any
    width: Any
    confidence: Any
    atom: Any
    n: Any
    probes: Any
    steps: Any


@runtime_checkable
class Index(Protocol):
    """Fractions of negative, zero and positive eigenvalues, with their curve over the tolerance."""

    negative: Any
    curve: Any
    counts: Any
    tolerance: Any
    confidence: Any
    n: Any


@runtime_checkable
class PathAngle(Protocol):
    """Angles between the field and the direction along a path."""

    alpha: Any
    cosine: Any
    norm: Any
    norms: Any
    losses: Any
    distance: Any
    n: Any


@runtime_checkable
class Line(Protocol):
    """Losses and slope along a line."""

    positions: Any
    losses: Any
    slope: Any
    length: Any
    n: Any


@runtime_checkable
class Plane(Protocol):
    """Losses and field in a plane."""

    x: Any
    y: Any
    losses: Any
    field: Any


@runtime_checkable
class Pseudospectrum(Protocol):
    """The distance to singularity on a grid in the complex plane."""

    x: Any
    y: Any
    distance: Any
    eigenvalues: Any


@runtime_checkable
class FieldOfValues(Protocol):
    """The boundary of the field of values."""

    boundary: Any
    eigenvalues: Any
