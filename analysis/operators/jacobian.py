r"""Operators of games and models: the Jacobian of the field, the Hessian, and the Jacobian of a whole training step.

All are matrix-free and act on the device that the players are on. They are snapshots: copies of the parameters and
buffers are held, each module's train or eval mode is kept, and later training steps change nothing.
"""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn

from gantools.analysis.operators.algebra import parameter_slices, restrict
from gantools.analysis.operators.differentiation import DifferentiatedOperator, Differentiation
from gantools.analysis.operators.snapshot import snapshot
from gantools.analysis.operators.training_step import TrainingStep
from gantools.analysis.products import autograd as engines
from gantools.analysis.products import checks
from gantools.analysis.products.cancellation import tell_of_cancellation
from gantools.analysis.sharding.operator import sharded_operator
from gantools.batches import batch_size
from gantools.errors import GantoolsError, GantoolsWarning, NoDerivativeError, NonFiniteFieldError
from gantools.games import arbiter, functional
from gantools.games.elementary.power_iterations import moves_vectors
from gantools.games.game import Game, minimization
from gantools.registry import suggest
from gantools.trainers.optimizer import GameOptimizer
from gantools.trainers.torch_optim.steps import Optimizers, TorchStep, Turns

# How singular vectors may be taken, and what is said of it.
VECTORS = {
    "exact": "Singular vectors of spectral norm follow the weights (spectral_norm='frozen' holds them still).",
    "frozen": "Singular vectors of spectral norm stand still (spectral_norm='exact' lets them follow the weights).",
}


def jacobian(
    game: Game,
    batch: Any,
    *,
    size: Callable[[Any], float] = batch_size,
    method: str = "auto",
    check: bool = True,
    spectral_norm: str = "exact",
) -> DifferentiatedOperator:
    r"""Return the Jacobian $J = D\xi$ of a game's field at the present parameters; for one player, the Hessian.

    Args:
        game: the game.
        batch: one batch, or several in a list or DataLoader: their mean, weighted by size.
        size: the weight of a batch among several.
        method: "reverse" (kept graphs), "forward" (dual numbers), "replay" (recorded once), "compiled" (the same
            through torch.compile: up to a minute before the first product, and then the fastest), "difference"
            (central differences of the field, in float64 where the losses bear that; they need no second derivative,
            have an error, which the operator states as `precision`, and serve the transpose of a symmetric or small
            Jacobian only), or "auto": reverse or forward, the faster here (of a Hessian on one batch always reverse),
            of one batch a recording once blocks have cost much, and, with a `GantoolsWarning`, differences where
            PyTorch has no right second derivative. A clock makes that choice, and so decides how results are rounded.
            With "reverse" and "forward" the same program on the same machine, with the same number of threads,
            repeats its results to the last bit, unless the second graph of "reverse" has no room and dual numbers take
            its place, with a `GantoolsWarning` of the bytes. Of several batches these walk over them at every product,
            one's activations in memory at a time; "replay" and "compiled" once, and keep all.
        check: whether to judge, once for a game, that its field is that of plain autograd, and its derivatives central
            differences of it, by 12 gradients of four samples of one player, 14 of each of two (`games.arbiter`).
        spectral_norm: "exact": singular vectors of spectral norm follow the weights, by each layer's own power
            iterations in training mode, as in the field that training follows; "frozen", or in eval mode: they stand.

    Raises:
        GantoolsError: for active dropout, a field that differs between evaluations, a shuffled loader, a field, or a
            derivative of the method asked for, that the arbiter finds wrong, and either of them not finite.

    >>> gt.analysis.jacobian(*quadratic).dense().tolist()
    [[0.2, 1.0], [-1.0, 0.2]]
    """
    derivative = _field_derivative(game, batch, size, method, spectral_norm)
    return (sharded_operator if game.layout.divided else _field_operator)(derivative, check)


def hessian(
    subject: Game | nn.Module,
    loss: Any = None,
    batch: Any = ...,
    *,
    player: str | None = None,
    size: Callable[[Any], float] = batch_size,
    method: str = "auto",
    check: bool = True,
    spectral_norm: str = "frozen",
) -> DifferentiatedOperator:
    """Return a Hessian: `hessian(model, loss, batch)`, or `hessian(game, batch, player=...)` for one player's block.

    Args:
        subject: any module; or a game, whose second argument is the batch.
        loss: for a module, `loss(model, batch)` returns a scalar.
        player: whose block is wanted, of several players: the second derivative of its own loss by its own parameters.
        batch, size, method, check: see `jacobian`.
        spectral_norm: see `jacobian`; here the vectors stand still by default, as other buffers do, since the gradient
            with vectors that are still on their way is that of no function, and its derivative not symmetric.

    >>> gt.analysis.hessian(nn.Linear(2, 1), lambda model, x: model(x).square().sum(), torch.eye(2)).dense().diagonal()
    tensor([2., 2., 4.])
    """
    game, batch = game_of(subject, loss, batch, "hessian")
    if player is None and len(game.slices) > 1:
        raise GantoolsError(
            f"A game of {len(game.slices)} players has a Hessian for each: pass player= one of "
            f"{', '.join(map(repr, game.slices))} (jacobian(game, batch) is the whole)."
        )
    derivative = _field_derivative(game, batch, size, method, spectral_norm)
    if len(game.slices) == 1 and player in (None, *game.slices):
        return (sharded_operator if game.layout.divided else _field_operator)(derivative, check)
    game.require_player(cast(str, player))
    derivative.require_same_order()
    if game.layout.divided:
        return cast(DifferentiatedOperator, restrict(sharded_operator(derivative, check), cast(str, player)))
    part = game.slices[cast(str, player)]
    return _restricted(derivative, torch.arange(part.start, part.stop, device=game.device), check)


def game_of(subject: Game | nn.Module, loss: Any, batch: Any, caller: str) -> tuple[Game, Any]:
    """Return game and batch of the arguments (game, batch) or (model, loss, batch) of a function named `caller`."""
    if isinstance(subject, Game):
        return subject, loss if batch is ... else batch
    if isinstance(subject, nn.Module) and callable(loss) and batch is not ...:
        return minimization(subject, cast(Any, loss)), batch
    raise GantoolsError(f"Call {caller}(model, loss, batch), loss(model, batch) -> scalar, or {caller}(game, batch).")


def _field_derivative(
    game: Game, batch: Any, size: Callable[[Any], float], method: str, spectral_norm: str
) -> Differentiation:
    if spectral_norm not in VECTORS:
        raise suggest("spectral_norm", spectral_norm, list(VECTORS))
    there = snapshot(game, follow=spectral_norm == "exact", divided=True)
    return Differentiation.over(there, batch, size, method, lambda there, one, _: there.field(one))


def _field_operator(derivative: Differentiation, check: bool, whole: bool = True) -> DifferentiatedOperator:
    game, function, wrong, reverse = derivative.snapshot.game, derivative.function(derivative.first), "", None
    if derivative.method != "difference":
        try:
            reverse = derivative.reversed(function)
        except RuntimeError as error:
            if not functional.lacks_derivative(error):
                raise
            wrong = str(functional.no_derivative(error))
    value = function(derivative.snapshot.point).detach() if reverse is None else reverse.value
    if not value.isfinite().all():
        raise NonFiniteFieldError("The field is NaN or infinite at these parameters: there is no Jacobian to analyse.")
    if check:
        verdict = arbiter.judge(game, derivative.first, forward=derivative.may_go_forward)
        checks.require_repeatable(verdict)
        batch = derivative.first
        derivative = dataclasses.replace(
            derivative, dual_numbers=lambda: arbiter.judge(game, batch, forward=True).forward is not False
        )
        wrong = wrong or verdict.wrong
    if wrong or reverse is None:
        return _by_differences(derivative, wrong, value, whole)
    try:
        if check:
            checks.require_deterministic(function(reverse.point), function, reverse)
            checks.require_finite(reverse)
        if derivative.symmetric and game.module.stops.met and not checks.is_symmetric(function, reverse.point):
            # A stop-gradient or a custom function: what is differentiated is no gradient of one loss.
            derivative = dataclasses.replace(derivative, one_gradient=False)
            reverse = derivative.reversed(function)
    except Exception as error:  # of a hook, which autograd runs again where it differentiates the field
        if not check or isinstance(error, (GantoolsError, torch.OutOfMemoryError)):
            raise
        return _by_differences(derivative, str(functional.no_derivative(error)), value, whole)
    if check:
        tell_of_cancellation(derivative.snapshot, derivative.first, reverse)
    if whole:
        derivative.require_same_order()
    operator = derivative.operator(function, reverse)
    operator.field_norm = None if derivative.several else float(reverse.value.norm())
    vectors = VECTORS["exact" if derivative.snapshot.follow else "frozen"] if moves_vectors(game.module) else ""
    operator.remark = f"{vectors or operator.remark} {'' if derivative.one_gradient else checks.SURROGATE}".strip()
    operator.restricted = lambda where: _restricted(derivative, where)
    return operator


def _by_differences(derivative: Differentiation, wrong: str, value: Tensor, whole: bool) -> DifferentiatedOperator:
    """Return the operator by central differences, for a method that asks for them or because autograd is wrong."""
    if derivative.method not in ("auto", "difference"):
        raise NoDerivativeError(wrong, "Or use method='difference': central differences of the field.")
    if whole:
        derivative.require_same_order()
    operator = derivative.by_differences()
    operator.field_norm = None if derivative.several else float(value.norm())
    if derivative.method == "auto":
        warnings.warn(f"{wrong} {operator.remark}", GantoolsWarning, stacklevel=2)
    alike = dataclasses.replace(derivative, method="difference")
    operator.restricted = lambda where: _restricted(alike, where)
    return operator


def _restricted(derivative: Differentiation, where: Tensor, check: bool = False) -> DifferentiatedOperator:
    """Return the operator on some entries (k,); all other parameters are constants, where the losses bear that."""
    # A part of what was checked needs no check; its derivative may vanish to rounding, which looks like a wrong one.
    try:
        return _field_operator(derivative.restricted_to(where), check, whole=False)
    except RuntimeError as error:
        if not _needs_gradient(error):
            raise
        return _field_operator(derivative.restricted_to(where, constant=False), check, whole=False)


# What PyTorch says of gradients by constants, or of values without one, and of hooks on these; its errors are alike.
_NO_GRADIENT = ("does not require grad", "doesn't require gradient", "has requires_grad=False")


def _needs_gradient(error: RuntimeError) -> bool:
    """Return whether a loss failed because it differentiates, itself, by parameters that are constants now."""
    return type(error) is RuntimeError and any(words in str(error) for words in _NO_GRADIENT)


def update_operator(
    optimizer: GameOptimizer | Optimizers,
    batch: Any,
    *more: Any,
    game: Game | None = None,
    turns: Turns = None,
    dtype: torch.dtype | None = None,
    method: str = "auto",
) -> DifferentiatedOperator:
    r"""Return the Jacobian of one training step: of the map $(w, \mathrm{memory}) \mapsto (w', \mathrm{memory}')$.

    Its spectral radius says whether this very step, with its momentum and second moments, contracts. Counters, buffers
    and the batch are constants. `U.slices` has the parts by name: each player, then the memory as "player:name".

    Products, and eigenvectors, are in the coordinates of the parameters and the memory as they are. There second
    moments near zero make the entries differ by factors of 1e6 to 1e12, so that eigenvalues are sought in coordinates
    that balance the step, `U.scales` (`gantools.trainers.scales`); residuals and error bounds belong to these.

    Args:
        optimizer: a game optimizer; its present state is the point of linearisation. Or an optimizer of `torch.optim`,
            or several by name or in a list, whose rates, momenta and moments are read: they need not match the players.
        batch: the first batch of a step.
        more: its further batches; fewer than the optimizer takes are used in turn.
        game: for optimizers of `torch.optim`, the game that they move.
        turns: for these, how often each moves in a step, in order, or "together".
        dtype: of the products; by default that of the parameters, or float64, at the same point, where the scales of
            the parameters differ by more than 100 and the losses compute in it.
        method: "reverse", "difference" (the step by dual numbers, and in it the derivative of the field by central
            differences, see `jacobian`; for methods that evaluate the field only), or "auto": reverse, and with a
            `GantoolsWarning` differences where PyTorch has no right second derivative.

    Raises:
        GantoolsError: for a field that differs between evaluations, a step not finite, a dtype that losses refuse.

    >>> gt.analysis.spectrum(gt.analysis.update_operator(gt.trainers.Simultaneous(game, lr=0.5), batch)).values.abs()
    tensor([1.1180, 1.1180, 1.0308, 1.0308], dtype=torch.float64)
    """
    stepped = _game_optimizer(optimizer, game, turns)
    step = TrainingStep.present(stepped, batch, *more)
    verdict = arbiter.judge(stepped.game, step.batches[0])
    if stepped.second_order:
        verdict.require_derivatives()
    scales = step.scales()
    if dtype is None and step.demands_float64(scales):
        step = step.wide() or step
    elif dtype is not None:
        step = step.in_dtype(dtype)
    if method not in ("auto", "reverse", "difference"):
        raise suggest("method", method, ["auto", "reverse", "difference"])
    value = step(step.point).detach()
    if not value.isfinite().all():
        raise NonFiniteFieldError("The step from these parameters is NaN or infinite: there is no map to linearise.")
    checks.require_repeatable(verdict)
    if method == "difference" or (verdict.wrong and method == "auto"):
        step, products, remark = step.by_differences()
        if method == "auto":
            warnings.warn(f"{verdict.wrong} {remark}", GantoolsWarning, stacklevel=2)
    else:
        verdict.require_derivatives()
        # No clock: resumed or not, a run's step has the same eigenvalues to the last bit.
        products, remark = engines.ReverseProducts(step, step.point, measure=False), ""
        checks.require_deterministic(value, step, products)
    name = "difference" if remark else "reverse"
    operator = DifferentiatedOperator(products, name, step.slices, step.point, kind="map")
    operator.remark, operator.what = remark, "Jacobian of a training step"
    operator.parameters = parameter_slices(stepped.game)
    operator.scales = None if scales is None else scales.to(step.point)
    return operator


def _game_optimizer(optimizer: GameOptimizer | Optimizers, game: Game | None, turns: Turns) -> GameOptimizer:
    """Return the optimizer itself, or the step of `torch.optim`'s as one."""
    if isinstance(optimizer, GameOptimizer):
        return optimizer
    if game is None:
        raise GantoolsError(
            "An optimizer of torch.optim knows no game: call update_operator(optimizer, batch, game=game), or train "
            "with one that does, gt.trainers.make('simultaneous', game, lr=1e-3, base='adam')."
        )
    return TorchStep(game, optimizer, turns)
