r"""Gauss-Newton and Fisher matrices of a model whose loss acts on its output: curvature that is never negative.

With the outputs $f(w)$ of a batch and their derivative $J_f$, all are $J_f^\top M J_f$: M is the Hessian of the
criterion by the outputs (Gauss-Newton; Schraudolph 2002), or outer products of the scores (Fisher). On their
differences see Kunstner, Balles and Hennig, arXiv:1905.12558: the empirical Fisher is not the Fisher.
"""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gantools.analysis.operators.differentiation import DifferentiatedOperator, Differentiation
from gantools.analysis.operators.likelihoods import LIKELIHOODS, Likelihood
from gantools.analysis.operators.snapshot import Snapshot, snapshot
from gantools.analysis.products.sandwich import ForwardSandwichProducts, Middle, Sandwich, SandwichProducts, pulled_back
from gantools.batches import batch_size, require_samples, walk
from gantools.errors import GantoolsError
from gantools.games.game import Game
from gantools.registry import suggest

Forward = Callable[[nn.Module, Any], Any]
KINDS = ("sampled", "exact", "empirical")


def predict(model: nn.Module, batch: Any) -> Any:
    """Return `model(x)` for a batch that is x itself, or a pair (x, y)."""
    if isinstance(batch, Mapping):
        raise GantoolsError(
            f"Which of {', '.join(map(repr, batch))} does the model take? Pass forward=lambda model, batch: "
            'model(batch["x"]).'
        )
    return model(batch[0] if isinstance(batch, (tuple, list)) else batch)


def gauss_newton(
    model: nn.Module,
    criterion: Callable[[Any, Any], Tensor],
    batch: Any,
    *,
    forward: Forward = predict,
    size: Callable[[Any], float] = batch_size,
    method: str = "auto",
    check: bool = True,
) -> DifferentiatedOperator:
    r"""Return the generalised Gauss-Newton matrix $G = J_f^\top\, \nabla^2_f c\; J_f$ at the present parameters.

    It is the Hessian of the loss with the network linearised: the Hessian without the curvature of the network itself,
    positive semidefinite where the criterion is convex in the outputs. Each product costs about 1.5 gradients on one
    batch; on several reverse and forward mode evaluate the network again each time, and recordings do not.

    Args:
        model: any module.
        criterion: `criterion(output, batch)` returns a scalar; `output` may be a tensor or a structure of them.
        batch: one batch, or several in a list or DataLoader: their mean, weighted by size.
        forward: `forward(model, batch)` returns the output; by default `model(batch[0])` of a pair.
        size: the weight of a batch among several.
        method: "reverse" (kept graphs), "forward" ($J_f u$ by dual numbers, and back through the graph of that
            evaluation: nothing is kept), "replay" and "compiled" (all of $u \mapsto J_f^\top M J_f u$ recorded), or
            "auto", as in `jacobian`.
        check: whether to probe that the outputs are the same at every evaluation.

    Raises:
        GantoolsError: for active dropout, outputs that differ between evaluations, a shuffled loader, a criterion that
            is no scalar, and outputs that are not finite.

    >>> data = torch.eye(2), torch.zeros(2, 1)  # inputs and targets
    >>> mse = lambda output, data: nn.functional.mse_loss(output, data[1])
    >>> gt.analysis.gauss_newton(nn.Linear(2, 1, bias=False), mse, data).dense()
    tensor([[1., 0.],
            [0., 1.]])
    """

    def middle_of(outputs: Tensor, rebuild: Callable[[Tensor], Any], one: Any, number: int) -> Middle:
        leaf = outputs.clone().requires_grad_()
        with torch.enable_grad():
            loss = criterion(rebuild(leaf), one)
            if not isinstance(loss, Tensor) or loss.numel() != 1:
                shape = f"shape {tuple(loss.shape)}" if isinstance(loss, Tensor) else type(loss).__name__
                raise GantoolsError(f"criterion(output, batch) must return a scalar, not {shape}: take its mean.")
            slope = torch.zeros_like(leaf)
            if loss.requires_grad:
                (slope,) = torch.autograd.grad(loss, leaf, create_graph=True, materialize_grads=True)
        return lambda rows: pulled_back(slope, leaf, rows)

    return _sandwich(model, batch, forward, middle_of, size, method, check)


def fisher(
    model: nn.Module,
    likelihood: str | Likelihood | Callable[[Any, Any], Tensor],
    batch: Any,
    *,
    kind: str = "sampled",
    generator: torch.Generator | None = None,
    draws: int = 1,
    forward: Forward = predict,
    size: Callable[[Any], float] = batch_size,
    method: str = "auto",
    check: bool = True,
) -> DifferentiatedOperator:
    r"""Return a Fisher matrix $\frac1N \sum_i \mathbb{E}_y\, s_i(y) s_i(y)^\top$, $s_i = \nabla_w \log p(y \mid x_i)$.

    Args:
        model: any module.
        likelihood: the distribution that the outputs parametrise: "categorical" (logits, classes along dimension 1),
            "bernoulli" (logits), "gaussian" (means, variance 1), or a `Likelihood`. For "empirical" also a function
            `criterion(output, batch)` that returns a loss for each sample, (N,).
        kind: "sampled": y drawn from the model's own prediction, `draws` for each sample, once, at construction; an
            unbiased estimate of the Fisher. "exact": the expectation in closed form, which for these likelihoods
            is the Gauss-Newton matrix. "empirical": y is the target `batch[1]`.
        batch: see `gauss_newton`.
        generator: of the draws; needed for "sampled".
        draws: how many for each sample.
        forward: see `gauss_newton`.
        size: see `gauss_newton`.
        method: see `gauss_newton`.
        check: see `gauss_newton`.

    Raises:
        GantoolsError: as `gauss_newton`, and for an unknown kind or likelihood, or "sampled" without a generator.
    """
    if kind not in KINDS:
        raise suggest("kind of Fisher matrix", kind, list(KINDS))
    if callable(likelihood) and not isinstance(likelihood, Likelihood):
        if kind != "empirical":
            raise GantoolsError(f"kind={kind!r} draws from the model's prediction: name it, {', '.join(LIKELIHOODS)}.")
        return _of_losses(model, likelihood, batch, forward, size, method, check)
    if isinstance(likelihood, str):
        if likelihood not in LIKELIHOODS:
            raise suggest("likelihood", likelihood, list(LIKELIHOODS))
        likelihood = LIKELIHOODS[likelihood]()
    if kind == "sampled" and (generator is None or draws < 1):
        raise GantoolsError("Draws need generator=torch.Generator() and draws=1 or more: pass them to fisher.")
    count = sum(1 for _ in walk(batch))
    # One seed for each batch, so that every product sees the same draws without keeping those of all batches.
    seeds = torch.randint(2**62, (count,), generator=generator).tolist() if generator is not None else [0] * count

    def middle_of(outputs: Tensor, rebuild: Callable[[Tensor], Any], one: Any, number: int) -> Middle:
        output = rebuild(outputs)
        if not isinstance(output, Tensor):
            raise GantoolsError("A likelihood takes one tensor of outputs: pick it in forward=.")
        if kind == "exact":
            return likelihood.expected(output)
        if kind == "empirical":
            return likelihood.outer(output, [_target(one)])
        source = torch.Generator().manual_seed(seeds[number])
        return likelihood.outer(output, [likelihood.draw(output, source) for _ in range(draws)])

    return _sandwich(model, batch, forward, middle_of, size, method, check)


def _target(batch: Any) -> Tensor:
    if isinstance(batch, (tuple, list)) and len(batch) > 1 and isinstance(batch[1], Tensor):
        return batch[1]
    raise GantoolsError(
        "The empirical Fisher takes its targets from a batch (x, y) whose second part is a tensor: pass one, or in the "
        "place of the likelihood's name a function criterion(output, batch) that returns a loss for each sample, (N,)."
    )


def _of_losses(
    model: nn.Module,
    criterion: Callable[[Any, Any], Tensor],
    batch: Any,
    forward: Forward,
    size: Callable[[Any], float],
    method: str,
    check: bool,
) -> DifferentiatedOperator:
    """Return the empirical Fisher matrix of a loss for each sample: the outputs are the losses themselves."""

    def losses(model: nn.Module, batch: Any) -> Tensor:
        values = criterion(forward(model, batch), batch)
        if not isinstance(values, Tensor) or values.dim() != 1 or len(values) != batch_size(batch):
            raise GantoolsError(
                f"criterion(output, batch) must return a loss for each of the {batch_size(batch)} samples: "
                "use reduction='none'."
            )
        return values

    def middle_of(outputs: Tensor, rebuild: Callable[[Tensor], Any], one: Any, number: int) -> Middle:
        return lambda rows: rows / rows.shape[1]

    return _sandwich(model, batch, losses, middle_of, size, method, check)


MiddleOf = Callable[[Tensor, Callable[[Tensor], Any], Any, int], Middle]


def _sandwich(
    model: nn.Module,
    batch: Any,
    forward: Forward,
    middle_of: MiddleOf,
    size: Callable[[Any], float],
    method: str,
    check: bool,
) -> DifferentiatedOperator:
    if method == "difference":
        raise GantoolsError(
            "Gauss-Newton and Fisher matrices need first derivatives only, and have no differences: use method='auto'."
        )
    if not isinstance(model, nn.Module):
        raise GantoolsError(f"The model is a {type(model).__name__}: pass a torch.nn.Module.")
    game = Game({"model": model}, lambda players, one: forward(players["model"], one))

    def function_of(there: Snapshot, one: Any, number: int) -> Sandwich:
        require_samples(one)
        return Sandwich(there.outputs(one), there.point, lambda flat, rebuild: middle_of(flat, rebuild, one, number))

    engine = {"make_reverse": SandwichProducts, "make_forward": ForwardSandwichProducts, "always_symmetric": True}
    what = "Gauss-Newton or Fisher matrix"
    whole = Differentiation.over(snapshot(game), batch, size, method, function_of, what=what, **engine)
    if check:
        _require_same(whole)
    return _operator(whole)


def _operator(derivative: Differentiation) -> DifferentiatedOperator:
    function = derivative.function(derivative.first)
    operator = derivative.operator(function, derivative.reversed(function))
    operator.restricted = lambda where: _operator(derivative.restricted_to(where))
    return operator


def _require_same(derivative: Differentiation) -> None:
    outputs = derivative.snapshot.outputs(derivative.first)
    first, second = (Sandwich.flat(outputs(derivative.snapshot.point)).detach() for _ in range(2))
    if (second - first).norm() > torch.finfo(first.dtype).eps ** 0.75 * first.norm():
        raise GantoolsError(
            "The outputs differ between two evaluations on the same batch: something draws random numbers in the "
            "forward pass. Draw them once, into the batch."
        )
    derivative.require_same_order()
