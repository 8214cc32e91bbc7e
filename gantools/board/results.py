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

    @property
    def values(self) -> Any: ...


@runtime_checkable
class RitzCloud(Protocol):
    """Ritz values, some of which can be trusted."""

    @property
    def values(self) -> Any: ...

    def trusted(self) -> Any: ...


@runtime_checkable
class Density(Protocol):
    """A spectral density on a grid, with bounds."""

    @property
    def grid(self) -> Any: ...

    @property
    def density(self) -> Any: ...

    @property
    def lower(self) -> Any: ...

    @property
    def upper(self) -> Any: ...

    @property
    def width(self) -> Any: ...

    @property
    def confidence(self) -> Any: ...

    @property
    def atom(self) -> Any: ...

    @property
    def n(self) -> Any: ...

    @property
    def probes(self) -> Any: ...

    @property
    def steps(self) -> Any: ...


@runtime_checkable
class Index(Protocol):
    """Fractions of negative, zero and positive eigenvalues, with their curve over the tolerance."""

    @property
    def negative(self) -> Any: ...

    @property
    def curve(self) -> Any: ...

    @property
    def counts(self) -> Any: ...

    @property
    def tolerance(self) -> Any: ...

    @property
    def confidence(self) -> Any: ...

    @property
    def n(self) -> Any: ...


@runtime_checkable
class PathAngle(Protocol):
    """Angles between the field and the direction along a path."""

    @property
    def alpha(self) -> Any: ...

    @property
    def cosine(self) -> Any: ...

    @property
    def norm(self) -> Any: ...

    @property
    def norms(self) -> Any: ...

    @property
    def losses(self) -> Any: ...

    @property
    def distance(self) -> Any: ...

    @property
    def n(self) -> Any: ...


@runtime_checkable
class Line(Protocol):
    """Losses and slope along a line."""

    @property
    def positions(self) -> Any: ...

    @property
    def losses(self) -> Any: ...

    @property
    def slope(self) -> Any: ...

    @property
    def length(self) -> Any: ...

    @property
    def n(self) -> Any: ...


@runtime_checkable
class Plane(Protocol):
    """Losses and field in a plane."""

    @property
    def x(self) -> Any: ...

    @property
    def y(self) -> Any: ...

    @property
    def losses(self) -> Any: ...

    @property
    def field(self) -> Any: ...


@runtime_checkable
class Pseudospectrum(Protocol):
    """The distance to singularity on a grid in the complex plane."""

    @property
    def x(self) -> Any: ...

    @property
    def y(self) -> Any: ...

    @property
    def distance(self) -> Any: ...

    @property
    def eigenvalues(self) -> Any: ...


@runtime_checkable
class FieldOfValues(Protocol):
    """The boundary of the field of values."""

    @property
    def boundary(self) -> Any: ...

    @property
    def eigenvalues(self) -> Any: ...
