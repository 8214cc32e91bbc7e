r"""Operators of games and models: the Jacobian of the field, the Hessian, and the Jacobian of a whole training step.

All are matrix-free and act on the device that the players are on. They are snapshots: copies of the parameters and
buffers are held, each module's train or eval mode is kept, power iterations stand still, and later training steps
change nothing.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor, nn

from gantools.analysis import products as engines
from gantools.analysis.algebra import parameter_slices
from gantools.analysis.linear_operator import LinearOperator
from gantools.analysis.replay import PatientProducts, ReplayProducts
from gantools.batches import batch_size, each_batch, fingerprint, is_batch, map_tensors
from gantools.dependence import require_dependence
from gantools.errors import GantoolsError, NonFiniteFieldError
from gantools.game import Game, minimization
from gantools.registry import suggest

if TYPE_CHECKING:
    from gantools.trainers.optimizer import GameOptimizer

METHODS = ("auto", "reverse", "forward", "replay", "compiled")


class DifferentiatedOperator(LinearOperator):
    """The Jacobian of a function that autograd differentiates.

    Attributes:
        slices: where each named part lives in the vectors that the operator acts on.
        field_norm: of the field at the point, where it was evaluated as a whole: on one batch.
        method: how products with one vector are made: "reverse", "forward", "replay" or "compiled".
    """

    def __init__(
        self,
        products: engines.Products,
        method: str,
        slices: dict[str, slice],
        like: Tensor,
        field_norm: float | None = None,
        **kwargs: Any,
    ):
        transposed = products.product if kwargs.get("symmetric") else products.transposed
        super().__init__(
            products.product,
            like.numel(),
            dtype=like.dtype,
            device=like.device,
            rmatvec=transposed,
            matmat=products.product,
            rmatmat=transposed,
            **kwargs,
        )
        self.slices = slices
        self.method = method
        self.field_norm = field_norm


def jacobian(
    game: Game, batch: Any, *, size: Callable[[Any], float] = batch_size, method: str = "auto", check: bool = True
) -> DifferentiatedOperator:
    r"""Return the Jacobian $J = D\xi$ of a game's field at the present parameters; for one player, the Hessian.

    Args:
        game: the game.
        batch: one batch, or several in a list or DataLoader: their mean, weighted by size.
        size: the weight of a batch among several.
        method: "reverse" (kept graphs), "forward" (dual numbers), "replay" (recorded once), "compiled" (the same
            through torch.compile: up to a minute before the first product, and then the fastest), or "auto": reverse
            or forward, the faster here, and of one batch a recording once blocks have cost much. That is for a clock
            to say, and changes the rounding: with "reverse" and "forward" results repeat to the last bit.
            Of several batches these walk over them at every product and have one batch's activations in memory at a
            time. "replay" and "compiled" walk once and keep those of all: faster, where memory has the room.
        check: whether to probe, once, that the field is deterministic and that no loss detaches another player.

    Raises:
        GantoolsError: for active dropout, a field that differs between evaluations, a shuffled loader, a detached
            player, and a field that is not finite.
    """
    return _field_operator(game, batch, None, size, method, check)


def hessian(
    subject: Game | nn.Module,
    loss: Any = None,
    batch: Any = ...,
    *,
    player: str | None = None,
    size: Callable[[Any], float] = batch_size,
    method: str = "auto",
    check: bool = True,
) -> DifferentiatedOperator:
    """Return a Hessian: `hessian(model, loss, batch)`, or `hessian(game, batch, player=...)` for one player's block.

    Args:
        subject: any module, with `loss(model, batch)` a scalar; or a game, whose second argument is the batch.
        player: whose own block: the second derivative of its own loss by its own parameters. Needed when there are
            several players.
        loss, batch, size, method, check: see above and `jacobian`.
    """
    if isinstance(subject, Game):
        game, batch = subject, loss if batch is ... else batch
        if player is None and len(game.slices) > 1:
            raise GantoolsError(
                f"A game of {len(game.slices)} players has a Hessian for each: pass player= one of "
                f"{', '.join(map(repr, game.slices))} (jacobian(game, batch) is the whole)."
            )
    elif isinstance(subject, nn.Module) and callable(loss) and batch is not ...:
        game = minimization(subject, cast(Any, loss))
    else:
        raise GantoolsError(
            "Call hessian(model, loss, batch) with loss(model, batch) -> scalar, or hessian(game, batch)."
        )
    return _field_operator(game, batch, next(iter(game.slices)) if player is None else player, size, method, check)


def _field_operator(
    game: Game, batch: Any, player: str | None, size: Callable[[Any], float], method: str, check: bool
) -> DifferentiatedOperator:
    if method not in METHODS:
        raise suggest("method", method, list(METHODS))
    if player is None and len(game.slices) == 1:
        player = next(iter(game.slices))
    point, function_of = _snapshot(game, player)
    several = not is_batch(batch)
    batches = each_batch(batch) if several else (map_tensors(Tensor.clone, batch),)
    first = next(iter(batches), ...)
    if first is ...:
        raise GantoolsError("There are no batches: the iterable was empty.")
    function = function_of(first)
    make_reverse = partial(engines.ReverseProducts, symmetric=player is not None, batching={}, measure=method == "auto")
    reverse = make_reverse(function, point)
    if not reverse.value.isfinite().all():
        raise NonFiniteFieldError("The field is NaN or infinite at these parameters: there is no Jacobian to analyse.")
    if check:
        _require_deterministic(function, reverse)
        if player is None:
            require_dependence(game, first)
        else:
            _require_symmetric(reverse)
    if several:
        _require_same_order(batches)

    def over_all(make: Callable[..., engines.Products]) -> engines.Products:
        if several:
            return engines.MeanProducts(lambda: ((float(size(b)), function_of(b)) for b in batches), point, make)
        return reverse if make is make_reverse else make(function, point)

    symmetric = player is not None
    name = _choose(reverse, function, make_reverse if several else None) if method == "auto" else method

    def recorded(compiled: bool = False) -> ReplayProducts:
        there = None if symmetric else over_all(make_reverse).transposed
        if not several:
            return ReplayProducts([(1.0, function, lambda: reverse)], point, there, compiled)
        parts = ((float(size(b)), function_of(b)) for b in batches)
        return ReplayProducts(((w, f, partial(make_reverse, f, point)) for w, f in parts), point, there, compiled)

    if name in ("replay", "compiled"):
        products = recorded(name == "compiled")
    else:
        products = over_all(engines.ForwardProducts if name == "forward" else make_reverse)
    if method == "auto" and name == "forward":
        products = engines.MixedProducts(products, over_all(make_reverse))
    if method == "auto" and not several:
        products = PatientProducts(products, recorded)
    slices = dict(game.slices) if player is None else {player: slice(0, point.numel())}
    norm = None if several else float(reverse.value.norm())
    operator = DifferentiatedOperator(products, name, slices, point, field_norm=norm, symmetric=symmetric)
    operator.parameters = parameter_slices(game, player)
    return operator


def _snapshot(game: Game, player: str | None) -> tuple[Tensor, Callable[[Any], engines.Function]]:
    """Return the point, and what makes of a batch the field there as a function; of one player's part, or of all."""
    if player is not None:
        game.require_player(player)
    part = slice(0, game.num_parameters) if player is None else game.slices[player]
    w, buffers, modes = game.vector(), game.buffers(), game.modes()
    before, after = w[: part.start], w[part.stop :]
    players = None if player is None else (player,)

    def function_of(batch: Any) -> engines.Function:
        def function(own: Tensor) -> Tensor:
            with game.frozen(modes):
                return game.field_at(torch.cat([before, own, after]), buffers, batch, players).vector

        return function

    return w[part], function_of


def _choose(
    reverse: engines.ReverseProducts, function: engines.Function, make: Callable[..., engines.Products] | None
) -> str:
    rebuild = None if make is None else partial(make, function, reverse.point)
    try:
        return "forward" if engines.forward_pays(reverse, function, rebuild) else "reverse"
    except engines.DerivativesDisagreeError:
        raise GantoolsError(
            "Forward and reverse derivatives of the field disagree: a loss uses no_grad or .detach() on something "
            "that depends on parameters, or a custom autograd function has a wrong derivative."
        ) from None


def _require_deterministic(function: engines.Function, products: engines.ReverseProducts) -> None:
    again = function(products.point)
    # Parallel sums may differ in the last digits; a fresh random draw differs in the first.
    tolerance = torch.finfo(again.dtype).eps ** 0.75
    if (again - products.value).norm() > tolerance * products.value.norm():
        raise GantoolsError(
            "The field differs between two evaluations on the same batch: something draws random numbers inside the "
            "loss (functional dropout, noise, a penalty's mixing). Draw them once, into the batch."
        )


def _require_symmetric(products: engines.ReverseProducts) -> None:
    point, source = products.point, torch.Generator().manual_seed(1)
    u, v = (torch.randn(point.numel(), generator=source).to(point) for _ in range(2))
    hu, hv = products.transposed(u), products.transposed(v)
    # For normal u the rounding of u.(H v) has the size of that of H v.
    if (u.dot(hv) - v.dot(hu)).abs() > engines.rounding(point.dtype) * (hu.norm() + hv.norm()):
        raise GantoolsError(
            "The Hessian is not symmetric: a custom autograd function in this model has a wrong second derivative."
        )


def _require_same_order(batches: Any) -> None:
    if [fingerprint(one) for one in batches] != [fingerprint(one) for one in batches]:
        raise GantoolsError(
            "The batches differ from one pass to the next, but every product walks over all of them: build the "
            "DataLoader with shuffle=False and without random augmentation, or pass a list of batches."
        )


def update_operator(optimizer: "GameOptimizer", batch: Any, *more: Any) -> DifferentiatedOperator:
    r"""Return the Jacobian of one training step: of the map $(w, \mathrm{memory}) \mapsto (w', \mathrm{memory}')$.

    Its spectral radius says whether this very step, with its momentum and second moments, contracts. Counters, buffers
    and the batch are constants. `U.slices` names the parts: each player, then the memory as "player:name".

    Args:
        optimizer: a game optimizer; its present state is the point of linearisation.
        batch, more: the batches of one step; fewer are used in turn.
    """
    game, state = optimizer.game, optimizer.state
    batches, _ = optimizer.complete(tuple(map_tensors(Tensor.clone, one) for one in (batch, *more)))
    w, buffers, modes = game.vector(), game.buffers(), game.modes()
    counters = dict(state.counters)
    names, sizes = list(state.memory), [value.numel() for value in state.memory.values()]
    shapes = [value.shape for value in state.memory.values()]
    slices = dict(game.slices)
    offset = w.numel()
    for name, length in zip(names, sizes, strict=True):
        slices[name] = slice(offset, offset + length)
        offset += length

    def function(z: Tensor) -> Tensor:
        w, *pieces = z.split([game.num_parameters, *sizes])
        memory = {name: piece.view(shape) for name, piece, shape in zip(names, pieces, shapes, strict=True)}
        current = type(state)(memory, counters, buffers)
        with game.frozen(modes):
            for _ in range(optimizer.period):
                w, current = optimizer.update(w, current, *batches)
        return torch.cat([w, *(current.memory[name].reshape(-1) for name in names)])

    point = torch.cat([w, *(value.detach().reshape(-1).to(w) for value in state.memory.values())])
    products = engines.ReverseProducts(function, point)
    if not products.value.isfinite().all():
        raise NonFiniteFieldError("The step from these parameters is NaN or infinite: there is no map to linearise.")
    require_dependence(game, batches[0])
    _require_deterministic(function, products)
    operator = DifferentiatedOperator(products, "reverse", slices, point, kind="map")
    operator.parameters = parameter_slices(game)
    return operator
