"""The study of the index along training: its counts against planted eigenvalues, its looks, its data."""

import pytest
import torch
from cells import index_cells
from curvature import index_along_training
from torch import nn

import gantools as gt


class Weights(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.w = nn.Parameter(torch.ones(n, dtype=torch.float64))


def planted(values):
    """Return a game of one player whose Hessian is diagonal with these values."""
    values = torch.tensor(values, dtype=torch.float64)
    return gt.minimization(Weights(len(values)), lambda model, batch: (values * model.w.square()).sum() / 2)


def test_signs_are_counted_relative_to_the_largest_eigenvalue():
    game = planted([-2.0, -1e-3, -1e-5, 0.0, 1e-5, 1.0, 3.0, 10.0])  # the tolerance is 1e-3
    assert index_cells.counted(game, torch.zeros(1)) == {"alpha": 1 / 8, "gamma": 4 / 8}


def test_a_training_is_looked_at_after_the_steps_that_were_asked_for():
    game, seen = planted([1.0, 2.0]), {}
    for step in index_cells._along(game, torch.zeros(1), 20, (0, 1, 20)):
        seen[step] = game.vector().clone()
    assert list(seen) == [0, 1, 20]
    assert seen[0].tolist() == [1.0, 1.0]
    assert seen[1].tolist() == pytest.approx([0.99, 0.99], abs=1e-6)  # Adam's first step has the size of the rate
    assert (seen[20] < 0.85).all()


def test_digits_for_training_and_for_testing_are_apart_and_in_the_unit_interval():
    (x, y), (x_test, y_test) = index_cells.digits(200, seed=1)
    assert x.shape == (200, 784) and x_test.shape == (100, 784) and len(y) == 200 and len(y_test) == 100
    assert x.min() >= 0 and x.max() == 1
    assert not (x[:, None] == x_test[None]).all(2).any()
    assert torch.equal(x, index_cells.digits(200, seed=1)[0][0])


@pytest.mark.parametrize("kind", index_cells.KINDS)
def test_the_nets_are_the_papers(kind):
    learned = 25 + 10 if kind == "esp" else 0  # a slope for each unit and for each output
    assert sum(p.numel() for p in index_cells.net(kind, 25, 0).parameters()) == 784 * 25 + 25 + 250 + 10 + learned


def test_every_column_that_is_compared_is_shown():
    for section in index_along_training.PAGE.sections:
        assert set(section.compared) <= section.columns.keys() <= index_along_training.STUDY.columns.keys()
        assert {cell for pair in section.pairs for cell in pair} <= index_along_training.STUDY.cells.keys()
