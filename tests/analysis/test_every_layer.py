"""Hessian products of every loss and layer of torch.nn by every method, against differences of plain gradients."""

import inspect
import re
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gantools.analysis import hessian
from gantools.errors import GantoolsWarning
from gantools.games.game import minimization
from tests.analysis.layer_cases import CASES, NO_CASES, Case
from tests.draws import draw
from tests.quick import few

COLUMNS = 8
ACCURATE = 1e-6


def differences(case: Case, U: Tensor, h: float = 1e-4) -> Tensor:
    """Return H U (n, k) by central differences of fourth order of plain gradients of the module."""
    model = case.make()
    parameters = list(model.parameters())
    w = nn.utils.parameters_to_vector(parameters).detach()

    def gradient(at: Tensor) -> Tensor:
        nn.utils.vector_to_parameters(at, parameters)
        pieces = torch.autograd.grad(case.loss(model, case.batch), parameters, allow_unused=True)
        pieces = [torch.zeros_like(p) if g is None else g for g, p in zip(pieces, parameters, strict=True)]
        return nn.utils.parameters_to_vector(pieces)

    def along(u: Tensor) -> Tensor:
        near, far = (gradient(w + step * u) - gradient(w - step * u) for step in (h, 2 * h))
        return (8 * near - far) / (12 * h)

    return torch.stack([along(u) for u in U.T], dim=1)


def check(name: str, methods: tuple[str, ...]) -> None:
    """Products of a block and of one column are right by each method, or end in the error of the table."""
    case, expected = CASES[name], None
    game = minimization(case.make(), case.loss)
    for method in methods:
        refusal = case.refuses.get(method, case.refuses.get("all"))
        if refusal is not None:
            with pytest.raises(refusal[0], match=refusal[1]):
                H = hessian(game, case.batch, method=method)
                H @ draw(H.n)
            continue
        differenced = method == "auto" and "reverse" in case.refuses
        with pytest.warns(GantoolsWarning, match="central differences") if differenced else nullcontext():
            H = hessian(game, case.batch, method=method)
        U = draw(H.n, COLUMNS, seed=7) / H.n**0.5
        expected = differences(case, U) if expected is None else expected
        size = expected.norm().clamp_min(1e-3)  # some are zero
        for found, truth in ((H @ U, expected), (H @ U[:, 0], expected[:, 0])):
            assert (found - truth).norm() <= ACCURATE * size, method


# What differs from another case in its dimension alone.
ALIKE = re.compile(r"(Pad|Pool|Norm)[13]d|Unpool|3d")
QUICK = few([pytest.param(n, marks=pytest.mark.slow) if ALIKE.search(n) else n for n in CASES], 18)


@pytest.mark.parametrize("name", QUICK)
def test_products_are_right_or_refused(name):
    check(name, ("reverse", "forward", "auto", "difference"))


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_recorded_products_are_right_or_refused(name):
    check(name, ("replay",))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["huber_loss", "cosine_embedding_loss", "Conv2d circular", "BatchNorm1d"])
def test_compiled_products_are_right_or_refused(name):
    check(name, ("compiled",))


def test_nothing_of_torch_is_forgotten():
    """A new layer or loss of PyTorch gets a case, or a reason why it has none."""
    names = {name.split()[0] for name in CASES}
    layers = {
        name
        for name, c in vars(nn).items()
        if inspect.isclass(c) and issubclass(c, nn.Module) and name not in nn.modules.loss.__all__
    }
    assert {n for n in layers if not n.startswith("Lazy")} - names == NO_CASES
    losses = {name for name in vars(F) if name.endswith("_loss")}
    assert losses <= names
