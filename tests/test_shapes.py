"""Public functions return the shapes that they promise (tests/shapes.py); `--shapes` asks in every other test too."""

import pytest
import torch
from jaxtyping import TypeCheckError
from torch import nn

import gantools as gt
from gantools import analysis
from gantools.games.analytic import bilinear, dirac
from gantools.losses import LOSSES
from gantools.metrics import mode_coverage
from gantools.trainers import OPTIMIZERS
from tests import shapes
from tests.quick import few


@pytest.fixture(autouse=True)
def held():
    end = shapes.hold()
    yield
    end()


@pytest.mark.parametrize("name", few(OPTIMIZERS, 6))
def test_every_method(name):
    game, batch = dirac("nonsaturating", [gt.regularizers.R1(1.0)])
    gt.trainers.make(name, game, lr=0.01).step(batch)
    assert game.field(batch).shape == game.vector().shape == (2,)


def test_operators_and_their_results():
    game, batch = bilinear()
    J = analysis.jacobian(game, batch)
    s = analysis.spectrum(J, vectors=True)
    analysis.conditions(J, s)
    analysis.ritz_cloud(J, 2, 2)
    analysis.pseudospectrum(J, points=5)
    analysis.field_of_values(J, 8)
    assert (J @ torch.eye(4, 3, dtype=torch.float64)).shape == (4, 3) and J.dense().shape == (4, 4)
    A = analysis.LinearOperator(lambda u: u * torch.arange(1.0, 31.0, dtype=u.dtype), 30, symmetric=True)
    assert analysis.eigenvalues(A, 2, basis=10).vectors.shape == (30, 2)
    analysis.spectral_density(A, probes=2, steps=10)
    analysis.diagonal(A, 5)


def test_landscapes():
    game, batch = bilinear()
    w, direction = game.vector(), torch.arange(1.0, 5.0, dtype=torch.float64)
    analysis.path_angle(game, w, w + 1, batch, points=5)
    analysis.line(game, batch, direction, points=5)
    analysis.plane(game, batch, (direction, direction.flip(0)), points=4)


def test_layers_and_measures(generator):
    z = torch.complex(*torch.randn(2, 3, 4, generator=generator))
    layers = nn.Sequential(
        gt.nn.ComplexLinear(4, 6), gt.nn.ComplexBatchNorm(6), gt.nn.ModReLU(6), gt.nn.ComplexLayerNorm(6)
    )
    assert layers(z).shape == (3, 6)
    assert gt.nn.UnitaryLinear(3).matrix().shape == (3, 3)
    assert mode_coverage(torch.randn(8, 2, generator=generator), torch.zeros(3, 2)).counts.shape == (3,)


@pytest.mark.parametrize("name", LOSSES)
def test_losses_are_scalars(name):
    for loss in LOSSES[name](torch.zeros(4, 1), torch.ones(4, 1)):
        assert loss.shape == ()


def test_another_shape_is_refused():
    """The check itself: a field of one number for each player, products of another length, residuals for no value."""
    game, batch = bilinear()
    A = analysis.LinearOperator(lambda u: u, 3, symmetric=True)
    s = analysis.spectrum(A)
    with pytest.raises(TypeCheckError, match="values"):
        analysis.RitzCloud(s.values, s.residuals[:2], 1.0, 1, 0)
    A._product = lambda u: u[:2]
    with pytest.raises(TypeCheckError, match="result"):
        A @ torch.ones(3, dtype=torch.float64)
    game.layout.vector = lambda: torch.zeros(3, dtype=torch.float64)
    with pytest.raises(TypeCheckError, match="result"):
        game.vector()
