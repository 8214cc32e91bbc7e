r"""Operators made from other operators: symmetric and antisymmetric parts, blocks of players, layers and parameters.

All are matrix-free. A product costs one or two products of the operands, which keep their own count; with a block it
may cost less.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor

from gantools.analysis.operators.linear_operator import LinearOperator, combination
from gantools.analysis.sharding.space import Space
from gantools.errors import GantoolsError
from gantools.games.functional import as_real
from gantools.games.game import Game
from gantools.registry import suggest

Part = str | slice | Tensor | Iterable[str]


def identity(like: LinearOperator | int, dtype: torch.dtype | None = None, kind: str = "hessian") -> LinearOperator:
    """Return the identity, of the order, dtype and device of another operator, or of order n in float64 on the CPU.

    `J + 2 * identity(J)` shifts every eigenvalue; `identity(J, kind="map") - lr * J` is the map of one gradient step.
    """
    n = like if isinstance(like, int) else like.n
    if not isinstance(like, int):
        dtype = dtype or like.dtype
    device = "cpu" if isinstance(like, int) else like.device
    made = LinearOperator(
        lambda u: u.clone(), n, dtype or torch.float64, device, matmat=lambda u: u.clone(), symmetric=True, kind=kind
    )
    if not isinstance(like, int):
        made.space = like.space
        made.slices, made.parameters = like.slices, like.parameters
    return made


def symmetric_part(A: LinearOperator) -> LinearOperator:
    r"""Return the symmetric part $S = (A + A^\top)/2$: positive eigenvalues attract, negative ones repel.

    A product costs two of A's. The real parts of A's eigenvalues lie between the least and the largest eigenvalue of S
    (Bendixson 1902).

    >>> gt.analysis.symmetric_part(gt.analysis.jacobian(*quadratic)).dense()
    tensor([[0.2000, 0.0000],
            [0.0000, 0.2000]], dtype=torch.float64)
    """
    if A.symmetric:
        return A
    half = combination([(0.5, A), (0.5, A.T)])
    return _like(A, half, symmetric=True, kind="hessian")


def antisymmetric_part(A: LinearOperator) -> LinearOperator:
    r"""Return the antisymmetric part $K = (A - A^\top)/2$, a rotation: its eigenvalues are purely imaginary.

    A product costs two of A's. A's eigenvalues have imaginary parts of at most $\|K\|_2$ (Bendixson 1902).
    """
    half = combination([(0.5, A), (-0.5, A.T)])
    return _like(A, half, rmatvec=lambda u: -(half @ u), kind="field")


def gram(A: LinearOperator) -> LinearOperator:
    r"""Return $A^\top A$, whose eigenvalues are the squared singular values of A; a product costs two.

    >>> gt.analysis.spectrum(gt.analysis.gram(gt.analysis.jacobian(game, batch))).values
    tensor([1.0000, 1.0000, 0.2500, 0.2500], dtype=torch.float64)
    """
    return _like(A, A.T @ A, symmetric=True, kind="hessian")


def _like(A: LinearOperator, product: LinearOperator, **kwargs: Any) -> LinearOperator:
    if "rmatvec" in kwargs:
        kwargs["rmatmat"] = kwargs["rmatvec"]
    kwargs["space"] = A.space
    made = LinearOperator(product.__matmul__, A.n, A.dtype, A.device, matmat=product.__matmul__, **kwargs)
    made.slices, made.parameters = A.slices, A.parameters
    return made


# Parts ---------------------------------------------------------------------------------------------------------------


def restrict(A: LinearOperator, part: Part) -> LinearOperator:
    r"""Return the principal block $P^\top A P$ of a player, a layer, or any set of parameters.

    A part of a Jacobian, Hessian, Gauss-Newton or Fisher matrix is differentiated alone, with all other parameters
    constant: a product costs less, and a part of one player's parameters is symmetric. For any other operator a product
    costs a whole one of A.

    Args:
        A: any operator; one of a game knows names.
        part: a name or pattern, or several: "generator", "generator.0" (a layer), "*.bias", or, of an update
            operator, "generator:*" for the memory; or a slice, or indices (k,) of the vectors.

    Raises:
        GantoolsError: for a name that nothing bears, and for an empty part.

    >>> gt.analysis.restrict(gt.analysis.jacobian(*quadratic), "y").dense()
    tensor([[0.2000]], dtype=torch.float64)
    """
    where = indices(A, part)
    return principal_block(A, where) if A.restricted is None else A.restricted(where)


def principal_block(A: LinearOperator, where: Tensor) -> LinearOperator:
    """Return the principal block of some entries, see `indices`; a product costs a whole one of A."""
    space, there = A.space.part(where), block_product(A, where)
    back = block_product(A.T, where) if A.has_transpose else None
    made = LinearOperator(
        there, space.n, A.dtype, A.device, rmatvec=back, matmat=there, rmatmat=back, symmetric=A.symmetric,
        kind=A.kind, precision=A.precision, space=space,
    )  # fmt: skip
    made.slices, made.parameters = kept(A.slices, where, A.space), kept(A.parameters, where, A.space)
    made.scales = None if A.scales is None else A.scales[where]
    return made


def block_product(A: LinearOperator, where: Tensor) -> Callable[[Tensor], Tensor]:
    """Return products with the block of some entries, made by whole ones of A."""
    return lambda u: (A @ _spread(u, where, A.space.held))[where]


def coupling(A: LinearOperator, rows: Part, columns: Part) -> LinearOperator:
    r"""Return $\begin{pmatrix} 0 & B \\ B^\top & 0 \end{pmatrix}$ for the block B of A with these rows and columns.

    It is symmetric, and its nonzero eigenvalues are plus and minus the singular values of B: how strongly one player
    moves another's field. A product costs two of A's. Its vectors hold the rows' part, then the columns'.

    Args:
        A: an operator with a transpose.
        rows: the part that gives B its rows, as in `restrict`.
        columns: the part that gives B its columns.

    >>> gt.analysis.spectrum(gt.analysis.coupling(gt.analysis.jacobian(*quadratic), "x", "y")).values
    tensor([ 1., -1.], dtype=torch.float64)
    """
    if A.space.shared:
        raise GantoolsError("A coupling needs whole vectors, and processes divide those of this operator.")
    above, below = indices(A, rows), indices(A, columns)

    def product(u: Tensor) -> Tensor:
        x, y = u.split([len(above), len(below)])
        return torch.cat([(A @ _spread(y, below, A.n))[above], (A.T @ _spread(x, above, A.n))[below]])

    n = len(above) + len(below)
    made = LinearOperator(product, n, A.dtype, A.device, matmat=product, symmetric=True)
    made.slices = {"rows": slice(0, len(above)), "columns": slice(len(above), n)}
    return made


def indices(A: LinearOperator, part: Part) -> Tensor:
    """Return the entries of A's vectors that a part names, ascending, (k,) on A's device.

    Where processes divide the vectors: those that this process holds, by their places in what it holds.
    """
    mask = torch.zeros(A.space.held, dtype=torch.bool, device=A.device)
    if isinstance(part, Tensor):
        if part.is_floating_point():
            raise GantoolsError("A part is a name, a slice, or integer indices: this tensor holds floating numbers.")
        chosen = _integers(part.to(A.device), A.n) - A.space.start
        mask[chosen[(chosen >= 0) & (chosen < len(mask))]] = True
    else:
        for found in [part] if isinstance(part, slice) else _matching(A, part):
            mask[_within(found, A.space)] = True
    where = mask.nonzero().squeeze(1)
    if not A.space.total(torch.tensor(len(where))):
        raise GantoolsError(f"The part {part!r} of an operator of order {A.n} is empty: name at least one entry.")
    return where


def _integers(part: Tensor, n: int) -> Tensor:
    """Return the entries that integers, negative ones from the end, or a mask choose of n."""
    masked = part.dtype == torch.bool
    fits = len(part) == n if masked else bool(((part >= -n) & (part < n)).all())
    if not fits:
        what = f"A mask's {len(part)} entries" if masked else f"Indices from {int(part.min())} to {int(part.max())}"
        raise GantoolsError(f"{what} do not fit an operator of order {n}.")
    return part.nonzero().squeeze(1) if masked else part % n


def _within(part: slice, space: Space) -> slice:
    """Return the places of a slice's entries among those that this process holds."""
    chosen = range(space.n)[part]
    chosen = chosen if chosen.step > 0 else chosen[::-1]
    first = max(0, -((chosen.start - space.start) // chosen.step))  # the first of them that is held
    return slice(chosen.start + first * chosen.step - space.start, max(0, chosen.stop - space.start), chosen.step)


def _matching(A: LinearOperator, patterns: str | Iterable[str]) -> list[slice]:
    return [s for pattern in ([patterns] if isinstance(patterns, str) else patterns) for s in _slices(A, str(pattern))]


def _slices(A: LinearOperator, pattern: str) -> list[slice]:
    if pattern in A.slices:
        return [A.slices[pattern]]
    names = A.slices | A.parameters
    if not names:
        raise GantoolsError("This operator has no names: pass a slice, or the indices of the entries.")
    found = [where for name, where in names.items() if _names(pattern, str(name))]
    if not found:
        layers = {name.rpartition(".")[0]: None for name in map(str, A.parameters)}
        raise suggest("part", pattern, list({**dict.fromkeys(map(str, names)), **layers}))
    return found


def _names(pattern: str, name: str) -> bool:
    """Return whether a pattern matches a name, or that of a layer, whose parameters are named after it and a dot."""
    return name.startswith(f"{pattern}.") or fnmatchcase(name, pattern) or fnmatchcase(name, f"{pattern}.*")


def parameter_slices(game: Game, player: str | None = None) -> dict[str, slice]:
    """Return the slice of each parameter in the flat vector of a game, or of one of its players, by "player.name"."""
    part = slice(0, game.num_parameters) if player is None else game.slices[player]
    slices, offset = {}, 0
    for name, p in game.named_parameters().items():
        length = as_real(p).numel()
        if part.start <= offset < part.stop:
            slices[name] = slice(offset - part.start, offset - part.start + length)
        offset += length
    return slices


def _spread(u: Tensor, where: Tensor, n: int) -> Tensor:
    whole = torch.zeros(n, *u.shape[1:], dtype=u.dtype, device=u.device)
    whole[where] = u
    return whole


def kept(names: dict[str, slice], where: Tensor, space: Space) -> dict[str, slice]:
    """Return the slices, among some entries of a space, see `indices`, of the names that are kept whole."""
    before = space.below(where, [edge for part in names.values() for edge in (part.start, part.stop)])
    found = {name: slice(*before[2 * i : 2 * i + 2]) for i, name in enumerate(names)}
    return {name: one for name, one in found.items() if one.stop - one.start == names[name].stop - names[name].start}
