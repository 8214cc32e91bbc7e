"""The distributions behind cross entropy and squared errors, parametrised by a model's outputs."""

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gantools.analysis.products.sandwich import Middle
from gantools.registry import Registry

LIKELIHOODS: Registry[Callable[[], "Likelihood"]] = Registry("likelihood")


class Likelihood(ABC):
    r"""A distribution of targets given an output; the loss is $-\log p(y \mid f)$, its mean over the rows.

    A row is an independent observation: a sample, or for "categorical" with more than two dimensions a position of it.
    """

    def rows(self, output: Tensor) -> Tensor:
        """Return the outputs as (rows, d), the parameters of one observation in each row."""
        return output.reshape(len(output), -1)

    def restored(self, rows: Tensor, output: Tensor) -> Tensor:
        """Return (k, rows, d) as k vectors in the order of the flat output, the opposite of `rows`."""
        return rows.reshape(len(rows), -1)

    @abstractmethod
    def draw(self, output: Tensor, generator: torch.Generator) -> Tensor:
        """Return targets drawn from the prediction; random numbers on the CPU."""

    @abstractmethod
    def slope(self, output: Tensor, target: Tensor) -> Tensor:
        r"""Return $-\nabla_f \log p$ for each row, (rows, d)."""

    @abstractmethod
    def information(self, output: Tensor, y: Tensor) -> Tensor:
        r"""Return $\mathbb{E}[\nabla_f \log p\, \nabla_f \log p^\top] y$ for y (k, rows, d)."""

    def expected(self, output: Tensor) -> Middle:
        """Return M with the expectation over targets drawn from the prediction."""
        return self._middle(output, lambda y: self.information(output, y))

    def outer(self, output: Tensor, targets: Sequence[Tensor]) -> Middle:
        """Return M with the mean of the scores' outer products at these targets."""
        scores = torch.stack([self.slope(output, target) for target in targets])  # (draws, rows, d)

        def apply(y: Tensor) -> Tensor:
            along = torch.einsum("srd,krd->ksr", scores, y)
            return torch.einsum("srd,ksr->krd", scores, along) / len(scores)

        return self._middle(output, apply)

    def _middle(self, output: Tensor, apply: Callable[[Tensor], Tensor]) -> Middle:
        count = len(self.rows(output))

        def middle(flat: Tensor) -> Tensor:
            y = torch.stack([self.rows(one.view(output.shape)) for one in flat])
            return self.restored(apply(y) / count, output)

        return middle


@LIKELIHOODS.register("categorical")
@dataclasses.dataclass(frozen=True)
class Categorical(Likelihood):
    """Classes by their logits, along dimension 1, as in `torch.nn.functional.cross_entropy`."""

    def rows(self, output: Tensor) -> Tensor:
        return output.movedim(1, -1).reshape(-1, output.shape[1])

    def restored(self, rows: Tensor, output: Tensor) -> Tensor:
        moved = rows.reshape(len(rows), *output.movedim(1, -1).shape)
        return moved.movedim(-1, 2).reshape(len(rows), -1)

    def draw(self, output: Tensor, generator: torch.Generator) -> Tensor:
        cumulative = self.rows(output).double().softmax(1).cumsum(1)
        uniform = torch.rand(len(cumulative), 1, generator=generator, dtype=torch.float64).to(output.device)
        return (cumulative < uniform).sum(1).clamp(max=output.shape[1] - 1)

    def slope(self, output: Tensor, target: Tensor) -> Tensor:
        p = self.rows(output).softmax(1)
        return p - torch.nn.functional.one_hot(target.reshape(-1), p.shape[1]).to(p)

    def information(self, output: Tensor, y: Tensor) -> Tensor:
        p = self.rows(output).softmax(1)
        return p * y - p * (p * y).sum(2, keepdim=True)


@LIKELIHOODS.register("bernoulli")
@dataclasses.dataclass(frozen=True)
class Bernoulli(Likelihood):
    """Independent bits by their logits; the loss of a sample is the sum over its bits."""

    def draw(self, output: Tensor, generator: torch.Generator) -> Tensor:
        uniform = torch.rand(output.shape, generator=generator, dtype=torch.float64).to(output.device)
        return (uniform < output.double().sigmoid()).to(output)

    def slope(self, output: Tensor, target: Tensor) -> Tensor:
        return self.rows(output).sigmoid() - self.rows(target.reshape(output.shape).to(output))

    def information(self, output: Tensor, y: Tensor) -> Tensor:
        p = self.rows(output).sigmoid()
        return p * (1 - p) * y


@LIKELIHOODS.register("gaussian")
@dataclasses.dataclass(frozen=True)
class Gaussian(Likelihood):
    r"""Normal targets around the outputs; the loss of a sample is $\|y - f\|^2 / 2\sigma^2$, summed.

    Attributes:
        variance: sigma squared.
    """

    variance: float = 1.0

    def draw(self, output: Tensor, generator: torch.Generator) -> Tensor:
        noise = torch.randn(output.shape, generator=generator, dtype=torch.float64).to(output)
        return output + self.variance**0.5 * noise

    def slope(self, output: Tensor, target: Tensor) -> Tensor:
        return (self.rows(output) - self.rows(target.reshape(output.shape).to(output))) / self.variance

    def information(self, output: Tensor, y: Tensor) -> Tensor:
        return y / self.variance
