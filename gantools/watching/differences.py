r"""The Jacobian of a user's own training step by central differences, on float64 copies of all that it moves.

$$U u \approx \frac{F(z + h u) - F(z - h u)}{2 h}, \qquad z = (\text{parameters}, \text{optimizer states})$$

No derivative of the step is needed, so whatever it does is in it: lazy penalties, clipping, terms added to gradients.
Coordinates are scaled by the size of what they stand for, which changes no eigenvalue and lets one $h$ serve second
moments of 1e-8 beside weights of 1.
"""

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from gantools.analysis.operators.linear_operator import LinearOperator
from gantools.data.random_state import random_state
from gantools.errors import GantoolsError, NonFiniteFieldError
from gantools.games.functional import as_real
from gantools.watching.copies import Copies
from gantools.watching.stillness import repeating

STEPS = (1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7)


class StepOperator(LinearOperator):
    """The Jacobian of a user's step by central differences, in scaled coordinates, which change no eigenvalue.

    Attributes:
        error: relative error of a product, from two step sizes.
        step: the step size h of the differences, relative to the coordinates' sizes.
        precision: dtype that the step was evaluated in.
    """

    def __init__(self, function: "StepFunction"):
        self.function = function
        self.precision = function.dtype or torch.get_default_dtype()
        self.step, self.error = _best_step(function)
        super().__init__(self._difference, len(function.size), torch.float64, function.size.device, kind="map")

    def _difference(self, u: Tensor) -> Tensor:
        return _difference(self.function, u, self.step)

    @classmethod
    def of(
        cls, update: Callable[..., Any], optimizers: Mapping[str, torch.optim.Optimizer], batches: tuple[Any, ...]
    ) -> "StepOperator":
        """Return the operator from float64 copies; from copies as they are, where the step insists on its dtypes."""
        try:
            return cls(StepFunction(update, optimizers, batches))
        except GantoolsError:
            raise
        except RuntimeError:  # "expected Float but found Double", in many wordings
            return cls(StepFunction(update, optimizers, batches, None))


class StepFunction:
    """A user's step as a function of one vector, in coordinates relative to the size of each.

    Args:
        update: `update(*batches)` makes one step of the loop: it moves parameters by the optimizers.
        optimizers: by name; their groups' parameters and floating states are the vector.
        batches: what the step is given.
        dtype: of the copies that it runs on; None for the originals'.

    Attributes:
        size: (n,) what one unit of each coordinate is.
    """

    def __init__(
        self,
        update: Callable[..., Any],
        optimizers: Mapping[str, torch.optim.Optimizer],
        batches: tuple[Any, ...],
        dtype: torch.dtype | None = torch.float64,
    ):
        copies = Copies(dtype, grads=True)
        self.optimizers = copies.of(dict(optimizers))  # before the step: tensors of modules, however large, are copied
        self.update, self.batches = copies.of(update), copies.of(batches)
        self.dtype, self.shared, self.random = dtype, copies.shared, random_state()
        groups = [(o, p) for o in self.optimizers.values() for group in o.param_groups for p in group["params"]]
        self.parameters = list({id(p): p for _, p in groups}.values())
        self.places = [(o, p, key) for o, p in groups for key in _memory_keys(o.state.get(p, {}), p)]
        tensors = self._tensors(Copies(kept=[*self.optimizers.values(), *self.parameters]))
        self.start, self.size = joined(tensors), torch.cat([_size(x) for x in tensors])

    def _tensors(self, world: Copies) -> list[Tensor]:
        """Return the tensors of the vector, as they are in a world of copies."""
        states = [world.of(o).state[world.of(p)][key] for o, p, key in self.places]
        return [*(world.of(p) for p in self.parameters), *states]

    def __call__(self, y: Tensor) -> Tensor:
        """Return where the step leads from `y` (n,) units away from the present point, in the same units."""
        world = Copies(grads=True)
        optimizers, update, batches = world.of(self.optimizers), world.of(self.update), world.of(self.batches)
        tensors = self._tensors(world)
        with torch.no_grad():
            pieces = (self.start + self.size * y).split([x.numel() for x in tensors])
            for x, piece in zip(tensors, pieces, strict=True):
                x.copy_(piece.view_as(x))
        with repeating(self.random, self.dtype):
            update(*batches)
        fresh = sum(len(_memory_keys(o.state.get(p, {}), p)) for o in optimizers.values() for p in o.state)
        if fresh > len(self.places):
            raise GantoolsError(_NOT_STEPPED)
        moved = joined(self._tensors(world))
        return torch.where(self.size > 0, (moved - self.start) / self.size, 0.0)


_NOT_STEPPED = (
    "The optimizers have no state yet, which the step would make: the Jacobian of the step is taken once each of them "
    "has stepped."
)


def joined(tensors: list[Tensor]) -> Tensor:
    """Return tensors as one vector in float64; complex ones as their real view."""
    return torch.cat([as_real(x.detach()).reshape(-1).double() for x in tensors])


def _memory_keys(state: Mapping[str, Any], p: Tensor) -> list[str]:
    """Return the names of the floating tensors in an optimizer's state that are shaped like the parameter."""
    return [key for key, x in state.items() if isinstance(x, Tensor) and x.shape == p.shape and x.is_floating_point()]


def _size(x: Tensor) -> Tensor:
    """Return what a unit is in each coordinate of a tensor (m,): about the size of the tensor.

    Where no number is negative, as in second moments, it is the number itself: no step may make it negative.
    """
    magnitude = x.detach().double().abs().reshape(-1)
    if not isinstance(x, torch.nn.Parameter) and bool((x >= 0).all()):
        return magnitude
    return magnitude + magnitude.square().mean().sqrt().clamp_min(1e-8)


def _difference(function: StepFunction, u: Tensor, step: float) -> Tensor:
    scaled = step / float(u.norm().clamp_min(1e-300)) * len(u) ** 0.5
    return (function(scaled * u) - function(-scaled * u)) / (2 * scaled)


def _best_step(function: StepFunction) -> tuple[float, float]:
    """Return the step size at which differences of neighbouring sizes agree best, and how far they differ there."""
    source = torch.Generator().manual_seed(3)
    u = torch.randn(len(function.size), generator=source, dtype=torch.float64).to(function.size.device)
    found = [_difference(function, u, step) for step in STEPS]
    if not all(x.isfinite().all() for x in found):
        raise NonFiniteFieldError("The step from these parameters is NaN or infinite: there is no map to linearise.")
    errors = [float((a - b).norm() / b.norm().clamp_min(1e-300)) for a, b in itertools.pairwise(found)]
    best = min(range(len(errors)), key=errors.__getitem__)
    return STEPS[best + 1], errors[best]
