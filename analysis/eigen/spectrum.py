"""The result of an eigenvalue computation: eigenvalues, residuals, error bounds, and how they were computed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

_ARRAYS = ("values", "residuals", "errors", "converged")
_FACTS = (
    *("which", "tol", "kind", "n", "scale", "complete"),
    *("matvecs", "check_matvecs", "guard_matvecs", "message", "doubt", "certified", "precision"),
)


@dataclass(frozen=True)
class Spectrum:
    r"""Eigenvalues of an operator $A$, best first.

    Attributes:
        values: (k,) on the CPU; float64 for a symmetric operator, else complex128 with conjugate pairs adjacent.
        residuals: (k,) float64, $\|A v - \lambda v\|_2$ for unit $v$, absolute: in the units of the eigenvalues. For
            a whole matrix without vectors: LAPACK's backward-error bound $n \epsilon \|A\|_F$, the same for all.
        errors: (k,) float64, bound on the error of each value to first order: for a symmetric operator
            $\min(r, \max(r^2/\mathrm{gap}, r/10))$ with an estimated gap; of a whole matrix that is not symmetric the
            rounding times the eigenvalue's condition number; else the residual (times the condition number, unknown).
        converged: (k,) bool: `errors` within tol * max(|value|, eps^(2/3) scale), ARPACK's rule, or within the
            rounding of products of this dtype, 10 eps scale; the final residual is allowed that much on top.
        vectors: (n, k) of unit length on the operator's device, or None; where processes divide the operator's vectors,
            what this one holds of them.
        scale: a lower estimate of $\|A\|_2$, the largest $\|A v\|$ seen.
        matvecs: products the solver used.
        check_matvecs: products spent afterwards on the residuals.
        guard_matvecs: products spent on the second start (`verify=True`), or on the cheap test for `doubt`.
        doubt: a sentence where a cheap test found reason to fear that a wanted eigenvalue is missing, else empty.
        parts: slices of named parts (players, an optimizer's memory) in the vectors, where the operator has them.
        conditions: (k,) float64, condition numbers $1 / |y^* x|$ from left eigenvectors, computed where the verdict of
            `stability` hinges on them; infinite where no left eigenvector was found, NaN where not needed; or None.
        least_conditions: (k,) float64, those in the Krylov space, mostly lower bounds, or None.
        certified: a sentence that says what shows that no better eigenvalue is missing; empty where nothing does, as
            under the selections of an end of the spectrum, where `verified` and `doubt` tell.
        verified: whether a second start agreed; None if there was none.
        complete: whether these are all n eigenvalues.
        which: the selection, as the caller named it.
        tol: relative tolerance, as asked for.
        seed: of the start vector; None for a whole matrix.
        dtype: of the products.
        kind: of the operator: "field", "hessian" or "map".
        n: order of the operator.
        precision: relative error of products where it exceeds the rounding of `dtype` (of differences).
        scales: (n,) those of the operator, or None: `residuals`, `errors` and `scale` are of vectors divided by them.
        message: a sentence that says whether all converged, or what to change.
    """

    values: Tensor
    residuals: Tensor
    errors: Tensor
    converged: Tensor
    vectors: Tensor | None
    which: str
    tol: float
    dtype: torch.dtype
    seed: int | None
    kind: str
    n: int
    scale: float
    complete: bool
    matvecs: int
    check_matvecs: int = 0
    guard_matvecs: int = 0
    verified: bool | None = None
    message: str = ""
    doubt: str = ""
    parts: Mapping[str, slice] = field(default_factory=dict, repr=False)
    certified: str = ""
    conditions: Tensor | None = None
    least_conditions: Tensor | None = None
    precision: float = 0.0
    scales: Tensor | None = None

    @property
    def epsilon(self) -> float:
        """The relative error of products: of their rounding, or of differences."""
        return max(self.precision, float(torch.finfo(self.dtype).eps))

    @property
    def symmetric(self) -> bool:
        """Whether the operator is symmetric, so that the values are real."""
        return not self.values.is_complex()

    @property
    def shares(self) -> dict[str, Tensor]:
        """The share of each part in each unit eigenvector, the sum of its squared moduli: (k,) float64, on the CPU.

        Empty without vectors or named parts, and where processes divide the vectors. Eigenvectors of a Jacobian are not
        orthogonal: a share says which parameters move along one, not how much of the field it carries.
        """
        if self.vectors is None or len(self.vectors) != self.n:
            return {}
        norm, vectors = torch.linalg.vector_norm, self.vectors
        return {name: norm(vectors[part], dim=0).double().square().cpu() for name, part in self.parts.items()}

    def start(self, seed: int = 5) -> Tensor | None:
        """Return a unit vector (n,) from which to search for these values of a similar operator.

        It has a part along each eigenvector, and a random one, which finds those that were not among the leading ones.
        None without vectors, and where processes divide them.
        """
        if self.vectors is None or len(self.vectors) != self.n:
            return None
        scales = 1.0 if self.scales is None else self.scales.cpu().double()
        vectors = self.vectors.cpu()
        real = vectors.real + vectors.imag if vectors.is_complex() else vectors
        start = real.double().sum(1) / scales
        noise = torch.randn(len(start), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        start = scales * (start / start.norm().clamp_min(1e-300) + 0.3 * noise / noise.norm())
        return start / start.norm()

    def __len__(self) -> int:
        return len(self.values)

    def to_numpy(self) -> dict[str, np.ndarray]:
        """Return everything as arrays, of the vectors the shares, ready for `numpy.savez(path, **s.to_numpy())`."""
        arrays = {name: getattr(self, name).numpy() for name in _ARRAYS}
        arrays |= {f"share {part}": share.numpy() for part, share in self.shares.items()}
        facts = {name: np.asarray(getattr(self, name)) for name in _FACTS}
        return arrays | facts | {"dtype": np.asarray(str(self.dtype))}

    @classmethod
    def from_numpy(cls, arrays: Mapping[str, np.ndarray]) -> Spectrum:
        """Return a spectrum from the arrays of `to_numpy`, or of a file of them: without vectors, so without shares.

        Raises:
            KeyError: for a file of something else.
        """
        tensors = {name: torch.from_numpy(np.array(arrays[name])) for name in _ARRAYS}
        facts = {name: arrays[name].item() for name in _FACTS if name != "precision"}
        precision = arrays["precision"].item() if "precision" in arrays else 0.0  # not in older files
        dtype = getattr(torch, arrays["dtype"].item().removeprefix("torch."))
        return cls(**tensors, **facts, precision=precision, dtype=dtype, vectors=None, seed=None)

    def __repr__(self) -> str:
        whole = "all" if self.complete else self.which
        largest = float(self.values.abs().max()) if len(self) else float("nan")
        return (
            f"Spectrum: {len(self)} of {self.n} eigenvalues ({whole}; {self.kind}, {self.dtype}), "
            f"{int(self.converged.sum())} converged, largest modulus {largest:.4g}, {self.matvecs} products; "
            "print() shows them"
        )

    def _repr_html_(self) -> str:
        from gantools.board.live.looks import spectrum_look  # notebooks alone need them
        from gantools.board.live.notebook import frame

        return frame(f"eigenvalues ({self.kind})", spectrum_look(self), str(self))

    def __str__(self) -> str:
        shown = min(len(self), 20)
        rows = [f"{'eigenvalue':>26}  {'residual':>9}  converged"]
        for value, residual, good in zip(
            self.values[:shown].tolist(), self.residuals[:shown].tolist(), self.converged[:shown].tolist(), strict=True
        ):
            text = f"{value.real:+.6e}" + (f"{value.imag:+.6e}i" if isinstance(value, complex) else "")
            rows.append(f"{text:>26}  {residual:9.1e}  {'yes' if good else 'no'}")
        if len(self) > shown:
            rows.append(f"... and {len(self) - shown} more")
        whole = "all" if self.complete else self.which
        known = f" known to {self.precision:.0e}" if self.precision > torch.finfo(self.dtype).eps else ""
        facts = f"{whole}; {self.kind}, {self.dtype}, {self.matvecs} products{known}"
        head = f"{len(self)} of {self.n} eigenvalues ({facts})"
        return "\n".join([head, *rows, *filter(None, (self.message, self.certified, self.doubt))])
