r"""Rayleigh-Ritz estimates of what a preconditioned consensus step does near a stationary point, for any weight.

With $D$ the divisors of the base rule, $K = D^{-1/2} J D^{-1/2}$ is similar to $D^{-1} J$, and a consensus step of
weight $\gamma$ is $I - h\,(K + \gamma S)$ with $S = (J D^{-1/2})^{\mathsf T} (J D^{-1/2})$, up to derivatives of $J$
and $D$. On an orthonormal basis $V$ the products $Y = J D^{-1/2} V$ alone give both projections,
$V^{\mathsf T} D^{-1/2} Y$ and $Y^{\mathsf T} Y$: one Krylov space of m products answers for every $\gamma$.
"""

import dataclasses
import math
from collections.abc import Callable

import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]

FEWEST = 1e-6  # part of a product outside the basis, relative to the product, below which a Krylov space ends
FLAT = 1e-9  # eigenvalues below this part of the largest one are rounding
DIGITS = 1e6  # LAPACK's last digits depend on where its arguments lie; a resumed run goes on from these alone
MOST = 10.0  # a weak attraction of a turning pair shortens the step by at most this factor
LEADING = 0.5  # of the largest modulus: eigenvalues from there on bound the step


@dataclasses.dataclass(frozen=True)
class Projection:
    """The two parts of a preconditioned consensus step on a Krylov space.

    Attributes:
        field: (m, m) of $K$, float64 on the CPU.
        damping: (m, m) of $S$, float64 on the CPU.
        basis: (n, m) orthonormal.
        products: with the Jacobian that were made.
    """

    field: Tensor
    damping: Tensor
    basis: Tensor
    products: int

    def turning(self) -> tuple[complex, Tensor]:
        """Return the Ritz value of the field's part with the largest imaginary part, and its vector (m,)."""
        values, vectors = torch.linalg.eig(self.field)
        i = int(values.imag.argmax())
        return complex(values[i]), vectors[:, i]

    def weight(self, ratio: float) -> tuple[float | None, complex]:
        r"""Return the weight at which the fastest turning pair attracts `ratio` times as much as it turns; and it.

        By first-order perturbation: with its vector x, $\gamma = (r\,|b| - a) / (x^* S x / x^* x)$. For a normal J this
        is $(r\,|b| - a) / |\lambda|^2$. It is 0 where the pair does so by itself, or nothing turns, and None where no
        weight makes it.
        """
        value, x = self.turning()
        wanted = ratio * value.imag - value.real
        if value.imag <= FLAT * float(self.field.norm()):
            return 0.0, complex(value.real)
        if wanted <= 0:
            return 0.0, value
        per_weight = float((x.conj() @ self.damping.to(x.dtype) @ x).real / (x.conj() @ x).real)
        return (wanted / per_weight if per_weight > 0 else None), value

    def rate(self, gamma: float, overshoot: float = 1.0) -> tuple[float, complex]:
        r"""Return the rate for the leading eigenvalues of a step of this weight, and the one that bounds it.

        $|1 - h\mu|$ is least at $h = \mathrm{Re}\,\mu / |\mu|^2$, half of what is stable. Of the attracting eigenvalues
        with at least half the largest modulus the most demanding one decides; no rate cures one that repels. The rate
        is infinite where none attracts.

        Args:
            gamma: the weight.
            overshoot: factor of the rate at which a real attracting eigenvalue is damped best.
        """
        values = torch.linalg.eigvals(self.field + gamma * self.damping).tolist()
        attracting = [value for value in values if value.real > 0]
        largest = max(map(abs, attracting), default=0.0)
        demand, decisive = 0.0, 0j
        for value in attracting:
            asked = abs(value) * min(abs(value) / value.real, MOST) / (1.0 if value.imag else overshoot)
            if abs(value) >= LEADING * largest and asked > demand:
                demand, decisive = asked, value
        return (1 / demand if demand > 0 else math.inf), decisive

    def start(self, gamma: float) -> Tensor:
        """Return a vector (n,) in the directions that mattered, from which the next estimate starts."""
        _, turning = self.turning()
        values, vectors = torch.linalg.eig(self.field + gamma * self.damping)
        leading = vectors[:, int(values.abs().argmax())]
        coefficients = turning.real + turning.imag + leading.real + leading.imag
        rounded = (coefficients * DIGITS).round() / DIGITS
        return self.basis @ rounded.to(self.basis)


def project(product: Product, root: Tensor, start: Tensor, most: int) -> Projection:
    r"""Return the projections on the Krylov space of $K$ from a start, by Arnoldi's method.

    Args:
        product: u (n,) -> J u (n,).
        root: $D^{-1/2}$, (n,).
        start: (n,), not zero.
        most: largest number m of products.
    """
    basis, images = [start / start.norm()], []
    while True:
        images.append(product(root * basis[-1]))
        if len(images) == min(most, len(start)):
            break
        v = root * images[-1]
        size, vectors = v.norm(), torch.stack(basis)
        for _ in range(2):  # twice is enough
            v = v - (vectors @ v) @ vectors
        if not v.norm() > FEWEST * size:  # NaN ends here too
            break
        basis.append(v / v.norm())
    V, Y = torch.stack(basis, 1), torch.stack(images, 1)
    field, damping = V.T @ (root[:, None] * Y), Y.T @ Y
    return Projection(field.double().cpu(), damping.double().cpu(), V, len(images))
