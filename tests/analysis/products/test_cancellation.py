"""Products whose digits are lost in float32 are told; those of healthy games are not, and a game is judged once."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

import gantools as gt
from gantools import analysis
from gantools.analysis.products import cancellation
from gantools.errors import GantoolsWarning
from gantools.games.analytic import bilinear


def sure(margin, others=0):
    """A classifier that favours the right class by a margin, and samples; some others it knows nothing of."""
    model = nn.Linear(3, 3)
    with torch.no_grad():
        model.weight.copy_(margin * torch.eye(3))
        model.bias.zero_()
    y = torch.arange(12 + others) % 3
    x = torch.eye(3)[y] + 0.01 * torch.randn(len(y), 3, generator=torch.Generator().manual_seed(0))
    x[12:] = 0
    return model, (x, y)


def loss(model, batch):
    return cross_entropy(model(batch[0]), batch[1])


def test_a_softmax_that_is_sure_of_all_samples_is_told_and_its_product_is_off_by_so_much():
    model, batch = sure(18.0)  # 1 - p = 2 exp(-18) = 3e-8, a quarter of float32's step below 1
    with pytest.warns(GantoolsWarning, match=r"In float32 a product with this Jacobian is off by \d+%"):
        H = analysis.hessian(model, loss, batch)
    u = torch.ones(12)
    model.double()
    exact = analysis.hessian(model, loss, (batch[0].double(), batch[1])).dense()
    # The trace by hand: the mean of (|x|^2 + 1) sum p (1 - p).
    p = (batch[0].double() @ (18.0 * torch.eye(3, dtype=torch.float64))).softmax(1)
    by_hand = ((batch[0].double().square().sum(1) + 1) * (p * (1 - p)).sum(1)).mean()
    assert exact.trace() == pytest.approx(float(by_hand), rel=1e-6)
    assert ((H @ u).double() - exact @ u.double()).norm() > 0.02 * (exact @ u.double()).norm()


@pytest.mark.parametrize("others", [1, 12])
def test_samples_that_are_sure_beside_one_that_is_open_do_not_matter(others):
    model, batch = sure(18.0, others)
    analysis.hessian(model, loss, batch)  # a warning would fail the test


def test_a_game_without_curvature_loses_nothing():
    model = nn.Linear(3, 1)
    analysis.hessian(model, lambda m, x: m(x).mean(), torch.randn(5, 3))
    game, batch = bilinear()
    analysis.jacobian(game, batch)


def test_a_game_is_judged_again_where_its_field_has_shrunk(monkeypatch):
    errors = []
    monkeypatch.setattr(cancellation, "_error", lambda *_: errors.append(0) or 0.0)
    model, batch = sure(0.0)
    game = gt.minimization(model, loss)
    for _ in range(3):
        analysis.jacobian(game, batch)
    assert len(errors) == 1
    with torch.no_grad():
        model.weight.copy_(9.0 * torch.eye(3))
    analysis.jacobian(game, batch)
    assert len(errors) == 2
