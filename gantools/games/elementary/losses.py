"""Losses of `torch.nn.functional` from elementary operations."""

import torch
from torch import Tensor
from torch.nn import _reduction as _Reduction
from torch.nn import functional as F


def _reduced(loss: Tensor, size_average: bool | None, reduce: bool | None, reduction: str) -> Tensor:
    if size_average is not None or reduce is not None:
        reduction = _Reduction.legacy_get_string(size_average, reduce, emit_warning=False)
    match reduction:
        case "none":
            return loss
        case "mean":
            return loss.mean()
        case "sum":
            return loss.sum()
        case _:
            raise ValueError(f"{reduction} is not a valid value for reduction")


def mse_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Tensor | None = None,
) -> Tensor:
    """Do what `torch.nn.functional.mse_loss` does."""
    loss = (input - target).square()
    if weight is None:
        return _reduced(loss, size_average, reduce, reduction)
    loss = loss * weight
    if size_average is None and reduce is None and reduction == "mean":
        return loss.sum() / weight.expand_as(loss).sum()
    return _reduced(loss, size_average, reduce, reduction)


def huber_loss(
    input: Tensor, target: Tensor, reduction: str = "mean", delta: float = 1.0, weight: Tensor | None = None
) -> Tensor:
    """Do what `torch.nn.functional.huber_loss` does."""
    error = input - target
    loss = torch.where(error.abs() <= delta, 0.5 * error.square(), delta * (error.abs() - 0.5 * delta))
    if weight is None:
        return _reduced(loss, None, None, reduction)
    loss = loss * weight
    return loss.sum() / weight.expand_as(loss).sum() if reduction == "mean" else _reduced(loss, None, None, reduction)


def soft_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Do what `torch.nn.functional.soft_margin_loss` does."""
    return _reduced(F.softplus(-target * input), size_average, reduce, reduction)


def multi_margin_loss(
    input: Tensor,
    target: Tensor,
    p: int = 1,
    margin: float = 1.0,
    weight: Tensor | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Do what `torch.nn.functional.multi_margin_loss` does."""
    rows, classes = torch.atleast_2d(input), torch.atleast_1d(target)
    violation = (margin - rows.gather(1, classes[:, None]) + rows).clamp_min(0) ** p
    if weight is not None:
        violation = violation * weight[classes, None]
    loss = violation.scatter(1, classes[:, None], 0.0).sum(1) / rows.shape[1]
    return _reduced(loss if input.dim() == 2 else loss[0], size_average, reduce, reduction)


def multilabel_margin_loss(
    input: Tensor,
    target: Tensor,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Tensor:
    """Do what `torch.nn.functional.multilabel_margin_loss` does: in each row targets end at the first -1."""
    rows, classes = torch.atleast_2d(input), torch.atleast_2d(target)
    listed = (classes >= 0).cumprod(1).bool()
    safe = classes.clamp_min(0)
    is_target = torch.zeros_like(rows, dtype=torch.long).scatter_add(1, safe, listed.long()) > 0
    violation = (1 - rows.gather(1, safe)[:, :, None] + rows[:, None, :]).clamp_min(0)
    loss = (violation * (listed[:, :, None] & ~is_target[:, None, :])).sum((1, 2)) / rows.shape[1]
    return _reduced(loss if input.dim() == 2 else loss[0], size_average, reduce, reduction)
