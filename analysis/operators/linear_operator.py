"""Square matrices that are known only by their products."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, overload

import torch
from torch import Tensor

from gantools.analysis.sharding.space import Space
from gantools.argument_kinds import checked
from gantools.described import Described
from gantools.errors import GantoolsError
from gantools.precision import whole_float32

Product = Callable[[Tensor], Tensor]

KINDS = ("field", "hessian", "map")


class LinearOperator(Described):
    r"""A real square matrix $A \in \mathbb{R}^{n \times n}$ that is known by its products.

    Args:
        matvec: maps (n,) to (n,): $u \mapsto A u$.
        n: the order.
        dtype: real floating dtype of the products.
        device: where vectors live.
        rmatvec: (n,) to (n,): $u \mapsto A^\top u$; needed for `.T` unless symmetric.
        matmat: (n, k) to (n, k), where a block of products is cheaper than k single ones; by default a loop.
        rmatmat: the same for the transpose.
        symmetric: whether $A = A^\top$; trusted, not checked.
        precision: relative error of products where it exceeds the rounding of `dtype`: of differences, say. Tolerances
            of searches and counts follow it.
        kind: meaning of the eigenvalues: "field" (of a game's Jacobian: positive real part attracts), "hessian", or
            "map" (of an update: inside the unit circle attracts). By default "hessian" when symmetric, else "field".
        space: of the vectors, where processes divide them: all that are multiplied are what this process holds, (held,)
            or (held, k). By default each vector is whole.

    Attributes:
        matvecs: products done so far, a block of k counting k, a complex vector 2. The transpose counts its own.
        told: called after each product with `matvecs`, for a display of progress; not by the transpose.
        slices: slices of named parts (players, an optimizer's memory) in the vectors; empty for a bare matrix.
        parameters: slices of a game's parameters in the vectors, by "player.name"; likewise.
        restricted: makes the principal block of some entries (k,) at less than the cost of whole products, or None.
        scales: positive scales (n,) of the vectors' entries, by which eigenvalues are sought, or None: those of the
            similar $S^{-1} A S$, S = diag(scales), are the same and may be less sensitive to rounding.

    Operators add, subtract, scale and compose (`A @ B`); more in `gantools.analysis.operators.algebra`.

    Raises:
        GantoolsError: for an invalid order, dtype or kind, and in products for a wrong shape or dtype.

    >>> gt.analysis.LinearOperator(lambda u: 2 * u, 3) @ torch.ones(3, dtype=torch.float64)
    tensor([2., 2., 2.], dtype=torch.float64)
    """

    no_transpose = "This operator has no transpose: give rmatvec= (products with A^T) to LinearOperator."
    __array_ufunc__ = None  # so that a NumPy scalar times an operator is the operator's business

    @checked
    def __init__(
        self,
        matvec: Product,
        n: int,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        rmatvec: Product | None = None,
        matmat: Product | None = None,
        rmatmat: Product | None = None,
        symmetric: bool = False,
        kind: str | None = None,
        precision: float | None = None,
        space: Space | None = None,
    ):
        if n < 1:
            raise GantoolsError(f"A linear operator needs at least one dimension, but n = {n}: are there parameters?")
        if not dtype.is_floating_point:
            raise GantoolsError(f"A linear operator has a real floating dtype, not {dtype}: use float32 or float64.")
        kind = kind or ("hessian" if symmetric else "field")
        if kind not in KINDS:
            raise GantoolsError(f"Unknown kind of operator {kind!r}: use one of {', '.join(KINDS)}.")
        self.n = int(n)
        self.space = space or Space(n)
        self.dtype = dtype
        self.device = torch.device(device)
        self.symmetric = symmetric
        self.kind = kind
        self.precision = max(float(torch.finfo(dtype).eps), precision or 0.0)
        self.matvecs = 0
        self.told: Callable[[int], None] | None = None
        self.slices: dict[str, slice] = {}
        self.parameters: dict[str, slice] = {}
        self.restricted: Callable[[Tensor], LinearOperator] | None = None
        self.scales: Tensor | None = None
        self._matvec = matvec
        self._matmat = matmat
        self._rmatvec = matvec if symmetric and rmatvec is None else rmatvec
        self._rmatmat = matmat if symmetric and rmatmat is None else rmatmat

    @property
    def shape(self) -> tuple[int, int]:
        """The shape, (n, n)."""
        return (self.n, self.n)

    @property
    def T(self) -> LinearOperator:
        """The transpose: the operator itself when it is symmetric."""
        if self.symmetric:
            return self
        if self._rmatvec is None:
            raise GantoolsError(self.no_transpose)
        blocks = {"matmat": self._rmatmat, "rmatvec": self._matvec, "rmatmat": self._matmat}
        like: dict[str, Any] = {"kind": self.kind, "precision": self.precision, "space": self.space}
        transposed = LinearOperator(self._rmatvec, self.n, self.dtype, self.device, **blocks, **like)
        transposed.slices, transposed.parameters = self.slices, self.parameters
        transposed.scales = None if self.scales is None else self.scales.reciprocal()
        return transposed

    def prepare(self, products: int) -> None:
        """Announce that products with about so many vectors are going to be asked for.

        An operator may spend something beforehand to make them cheaper; this one does nothing.
        """

    @property
    def has_transpose(self) -> bool:
        """Whether `.T` works."""
        return self.symmetric or self._rmatvec is not None

    @overload
    def __matmul__(self, u: Tensor) -> Tensor: ...
    @overload
    def __matmul__(self, u: LinearOperator) -> LinearOperator: ...
    def __matmul__(self, u: Tensor | LinearOperator) -> Tensor | LinearOperator:
        """Return $A u$ for u (n,) or (n, k), in the operator's dtype (its complex twin for complex u); or A B."""
        if isinstance(u, LinearOperator):
            return _composed(self, u)
        self._check(u)
        if u.is_complex():
            parts = torch.cat([u.real.reshape(len(u), -1), u.imag.reshape(len(u), -1)], dim=1)
            real, imaginary = (self @ parts).chunk(2, dim=1)
            return torch.complex(real, imaginary).reshape(u.shape)
        u = u.to(device=self.device, dtype=self.dtype)
        if u.dim() == 1:
            self.matvecs += 1
            product = self._product(u)
        else:
            self.matvecs += u.shape[1]
            product = self._block(u)
        if self.told is not None:
            self.told(self.matvecs)
        return product

    def _check(self, u: Tensor) -> None:
        if not isinstance(u, Tensor):
            raise GantoolsError(f"Multiply the operator with a torch tensor, not with {type(u).__name__}.")
        held = self.space.held
        if u.dim() not in (1, 2) or u.shape[0] != held:
            here = f", and its vectors, of which {held} entries are held here, are divided" if self.space.shared else ""
            raise GantoolsError(
                f"The operator is {self.n} x {self.n}{here}: it multiplies tensors of shape ({held},) or ({held}, k), "
                f"not {tuple(u.shape)}."
            )
        if not (u.is_floating_point() or u.is_complex()):
            raise GantoolsError(
                f"The operator multiplies floating tensors, not {u.dtype}: convert with .to({self.dtype})."
            )

    def _product(self, u: Tensor) -> Tensor:
        return self._checked("matvec", self._matvec, "vector", u)

    def _block(self, u: Tensor) -> Tensor:
        if u.shape[1] == 0:
            return u.clone()
        if self._matmat is None:
            return torch.stack([self._product(column) for column in u.T.contiguous()], dim=1)
        return self._checked("matmat", self._matmat, "block", u)

    def _checked(self, name: str, multiply: Product, what: str, u: Tensor) -> Tensor:
        with whole_float32(self.device):
            product = multiply(u)
        if product.shape != u.shape:
            raise GantoolsError(
                f"{name} returned shape {tuple(product.shape)} for a {what} of shape {tuple(u.shape)}: "
                "it must return one tensor of the same shape."
            )
        return product.detach().to(self.dtype)

    def dense(self, chunk: int | None = None) -> Tensor:
        """Return the whole matrix (n, n), assembled from blocks of `chunk` columns (default: at most 256).

        Where processes divide the vectors, each has to ask for it, and gets all of it.
        """
        self.prepare(self.n)
        chunk = chunk or min(self.n, 256)
        matrix = torch.empty(self.n, self.n, dtype=self.dtype, device=self.device)
        for start in range(0, self.n, chunk):
            width = min(chunk, self.n - start)
            columns = torch.zeros(self.n, width, dtype=self.dtype, device=self.device)
            columns[start : start + width].fill_diagonal_(1)
            matrix[:, start : start + width] = self.space.joined(self @ self.space.own(columns))
        return matrix

    def __add__(self, other: LinearOperator) -> LinearOperator:
        return combination([(1.0, self), (1.0, other)]) if isinstance(other, LinearOperator) else NotImplemented

    def __sub__(self, other: LinearOperator) -> LinearOperator:
        return combination([(1.0, self), (-1.0, other)]) if isinstance(other, LinearOperator) else NotImplemented

    def __neg__(self) -> LinearOperator:
        return combination([(-1.0, self)])

    def __mul__(self, factor: float) -> LinearOperator:
        return combination([(_real(factor), self)])

    __rmul__ = __mul__

    def __truediv__(self, divisor: float) -> LinearOperator:
        return combination([(1.0 / _real(divisor), self)])

    def described(self) -> tuple[str, list[tuple[str, str]]]:
        symmetric = "symmetric, " if self.symmetric else ""
        head = f"{type(self).__name__}({self.n} x {self.n}, {symmetric}{self.kind}, {self.dtype}, {self.device})"
        return head, [(part, f"{at.stop - at.start} of its entries") for part, at in self.slices.items()]


def combination(terms: Sequence[tuple[float, LinearOperator]]) -> LinearOperator:
    r"""Return $\sum_i c_i A_i$ for pairs $(c_i, A_i)$: symmetric where all are; a map where one is, else a field.

    Raises:
        GantoolsError: for different orders or devices.
    """
    operators = [A for _, A in terms]

    def product(u: Tensor) -> Tensor:
        return _total(c * (A @ u) for c, A in terms)

    def transposed(u: Tensor) -> Tensor:
        return _total(c * (A.T @ u) for c, A in terms)

    return _made_of(operators, product, transposed, all(A.symmetric for A in operators))


def _composed(A: LinearOperator, B: LinearOperator) -> LinearOperator:
    return _made_of([A, B], lambda u: A @ (B @ u), lambda u: B.T @ (A.T @ u), symmetric=False)


def _made_of(
    operators: Sequence[LinearOperator], product: Product, transposed: Product, symmetric: bool
) -> LinearOperator:
    first = operators[0]
    for other in operators[1:]:
        if other.space.shared != first.space.shared:
            raise GantoolsError("Processes divide the vectors of one operator and not the other's: take both so.")
        if other.n != first.n or other.device != first.device:
            raise GantoolsError(
                f"Operators of one order on one device can be combined, not {first.n} x {first.n} on {first.device} "
                f"with {other.n} x {other.n} on {other.device}."
            )
    dtype = functools.reduce(torch.promote_types, (A.dtype for A in operators))
    kinds = {A.kind for A in operators}
    has_transpose = all(A.has_transpose for A in operators)
    made = LinearOperator(
        product,
        first.n,
        dtype,
        first.device,
        rmatvec=transposed if has_transpose else None,
        matmat=product,
        rmatmat=transposed if has_transpose else None,
        symmetric=symmetric,
        # An update map is the identity minus something: one map makes the sum a map.
        kind="map" if "map" in kinds else "hessian" if symmetric else "field",
        precision=max(A.precision for A in operators),
        space=first.space,
    )
    named = next((A for A in operators if A.slices), first)
    made.slices, made.parameters = named.slices, named.parameters
    made.scales = None if symmetric else next((A.scales for A in operators if A.scales is not None), None)
    return made


def _total(parts: Iterable[Tensor]) -> Tensor:
    return functools.reduce(torch.add, parts)


def _real(factor: float) -> float:
    if isinstance(factor, LinearOperator):
        raise GantoolsError("A * B is not defined: A @ B is the product of two operators, 2.0 * A a multiple of one.")
    try:
        value = float(factor)
    except (TypeError, ValueError, RuntimeError):
        raise GantoolsError(f"An operator is scaled by a real number, not by a {type(factor).__name__}.") from None
    if not math.isfinite(value):
        raise GantoolsError(f"An operator is scaled by a finite number, not by {value}.")
    return value
