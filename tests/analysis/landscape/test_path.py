"""Path-angle against its closed form on linear fields, and what happens to buffers on the way."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.parametrizations import spectral_norm

import gantools as gt
from gantools.analysis import Point, path_angle, point
from gantools.errors import GantoolsError
from tests import cases
from tests.quick import few

F64 = torch.float64


def swirl(a, b, n=2):
    """The game with the field (a I + b R) w, R the rotation by a right angle: players x and y of n/2 dimensions."""
    eye, zero = torch.eye(n // 2, dtype=F64), torch.zeros(n // 2, n // 2, dtype=F64)
    rotation = torch.cat([torch.cat([zero, -eye], 1), torch.cat([eye, zero], 1)])
    J = a * torch.eye(n, dtype=F64) + b * rotation
    return cases.quadratic(J, (n // 2, n // 2), torch.zeros(n, dtype=F64)), rotation


def closed_form(a, b, distance, delta, alpha):
    s = (1 - alpha) * distance
    return (a * s + b * delta) / (math.hypot(a, b) * np.hypot(s, delta))


@pytest.mark.parametrize(
    ("a", "b"), few([(1.0, 0.0), (0.0, 1.0), (0.0, -2.0), (1.0, 0.5), (-1.0, 3.0), (0.3, -0.4)], 2)
)
@pytest.mark.parametrize("delta", [0.0, 0.02, 0.5])
def test_of_an_attracting_and_rotating_field(a, b, delta):
    n = 6
    game, rotation = swirl(a, b, n)
    way = torch.randn(n, generator=torch.Generator().manual_seed(0), dtype=F64)
    way /= way.norm()
    # Beside the equilibrium 0 by delta, at right angles to the path; R turns the path's direction there.
    end = delta * (rotation.T @ way)
    start = end + 3.0 * way
    p = path_angle(game, start, end, None)
    somewhere = p.norm > 0
    expected = np.zeros(len(p.alpha))
    expected[somewhere] = closed_form(a, b, 3.0, delta, p.alpha[somewhere])
    assert somewhere.sum() >= len(p.alpha) - 1
    np.testing.assert_allclose(p.cosine[somewhere], expected[somewhere], atol=1e-12)
    assert np.isnan(p.cosine[~somewhere]).all()
    np.testing.assert_allclose(p.norm, math.hypot(a, b) * np.hypot((1 - p.alpha) * 3.0, delta), atol=1e-12)
    assert p.distance == pytest.approx(3.0) and p.n == n


def read(a, b, delta):
    game, rotation = swirl(a, b)
    way = torch.tensor([1.0, 0.0], dtype=F64)
    end = delta * (rotation.T @ way)
    return path_angle(game, end + 3 * way, end, None)


@pytest.mark.slow
def test_what_the_picture_says():
    attracts = read(1.0, 0.0, 0.0)
    assert attracts.cosine[0] == pytest.approx(1) and attracts.cosine[-1] == pytest.approx(-1)
    assert "changes sign, so the end attracts." in str(attracts) and attracts.attraction == pytest.approx(1)
    rotates = read(0.0, 1.0, 0.01)
    assert rotates.at(1.0) == pytest.approx(1) and "a bump, which is rotation" in str(rotates)
    assert "changes sign" not in str(rotates) and read(0.0, -1.0, 0.01).rotation < -0.9
    both = read(1.0, 1.0, 0.01)
    assert "attracts, and it has a bump" in str(both)
    assert both.attraction == pytest.approx(math.sqrt(0.5), abs=0.02)
    assert both.rotation == pytest.approx(math.sqrt(0.5), abs=0.05)
    assert "repels" in str(read(-1.0, 0.0, 0.0))
    assert "neither" in str(read(0.0, 1.0, 0.0))


def test_the_end_is_a_point_and_the_span_can_be_chosen():
    p = read(1.0, 0.0, 0.1)
    assert 0.0 in np.round(p.alpha, 12) and 1.0 in p.alpha and len(p.alpha) == 121
    game, _ = swirl(1.0, 0.0)
    q = path_angle(game, torch.ones(2, dtype=F64), torch.zeros(2, dtype=F64), None, points=3, span=(0.0, 0.5))
    assert q.alpha.tolist() == [0.0, 0.25, 0.5] and np.isnan(q.attraction)
    assert str(q).startswith("Path of length 1.414 in 2 dimensions, 3 points.")


def test_how_far_it_is_is_told_before_each_point():
    game, _ = swirl(1.0, 0.5)
    told = []
    path_angle(game, torch.ones(2, dtype=F64), torch.zeros(2, dtype=F64), None, 3, progress=lambda *x: told.append(x))
    assert told == [(0, 3), (1, 3), (2, 3)]


def test_of_a_gan_on_several_batches():
    """The field, its norms and the losses by player; the game stands still."""
    game, batches = cases.tanh_gan(), [cases.gan_batch(8, seed=1), cases.gan_batch(4, seed=2)]
    start, end = game.vector(), game.vector() + torch.randn(30, generator=torch.Generator().manual_seed(1), dtype=F64)
    p = path_angle(game, start, end, batches, points=5, span=(0, 1))
    assert torch.equal(game.vector(), start)
    for i, alpha in enumerate(p.alpha):
        game.load_vector((1 - alpha) * start + alpha * end)
        field = (8 * game.field(batches[0]) + 4 * game.field(batches[1])) / 12
        assert p.cosine[i] == pytest.approx(float(field @ (start - end) / (field.norm() * (start - end).norm())))
        assert p.norms["generator"][i] == pytest.approx(float(field[:17].norm()))
        assert p.norms["discriminator"][i] == pytest.approx(float(field[17:].norm()))
        losses = [game.losses(game.players, b) for b in batches]
        expected = (8 * losses[0]["generator"] + 4 * losses[1]["generator"]) / 12
        assert p.losses["generator"][i] == pytest.approx(expected.item())
    arrays = p.to_numpy()
    assert set(arrays) == {
        "alpha", "cosine", "norm", "distance", "norm generator", "norm discriminator", "loss generator",
        "loss discriminator",
    }  # fmt: skip


# Buffers -------------------------------------------------------------------------------------------------------------


def normalised(training):
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Tanh(), nn.Linear(3, 1)).to(F64)
    model.train(training)
    x = torch.randn(16, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    return gt.minimization(model, lambda m, b: m(b).square().mean()), x


def two_points(game):
    source = torch.Generator().manual_seed(3)
    ends = []
    for _ in range(2):
        buffers = {
            name: b + torch.rand(b.shape, generator=source) if b.is_floating_point() else b
            for name, b in game.buffers().items()
        }
        ends.append(Point(torch.randn(game.num_parameters, generator=source, dtype=F64), buffers))
    return ends


def test_running_statistics_are_interpolated_in_eval_mode():
    game, x = normalised(training=False)
    start, end = two_points(game)
    before = game.buffers()
    p = path_angle(game, start, end, x, points=5, span=(0, 1))
    assert all(torch.equal(b, before[name]) for name, b in game.buffers().items())
    assert "interpolated between the ends'" in p.message
    for i, alpha in enumerate(p.alpha):
        game.load_vector((1 - alpha) * start.vector + alpha * end.vector)
        game.load_buffers({k: (b * (1 - alpha) + alpha * end.buffers[k]).to(b) for k, b in start.buffers.items()})
        assert p.norm[i] == pytest.approx(float(game.field(x).norm()))
    bare = path_angle(game, start.vector, end, x, points=3)
    assert "the game's own at every point" in bare.message


def test_batch_statistics_are_recomputed_in_training_mode():
    game, x = normalised(training=True)
    start, end = two_points(game)
    before = game.buffers()
    with_buffers = path_angle(game, start, end, x, points=5)
    without = path_angle(game, start.vector, end.vector, x, points=5)
    np.testing.assert_array_equal(with_buffers.cosine, without.cosine)
    assert "statistics from the batch at every point" in without.message
    assert all(torch.equal(b, before[name]) for name, b in game.buffers().items())


def test_singular_vectors_keep_their_length_and_their_sign_does_not_matter():
    model = nn.Sequential(spectral_norm(nn.Linear(2, 3)), nn.Tanh(), nn.Linear(3, 1)).to(F64)
    game = gt.minimization(model, lambda m, b: m(b).square().mean())
    x = torch.randn(8, 2, generator=torch.Generator().manual_seed(0), dtype=F64)
    start = point(game)
    end = Point(start.vector + 0.5, {name: -b for name, b in start.buffers.items()})
    same = Point(start.vector + 0.5, start.buffers)
    p, q = path_angle(game, start, end, x, points=7), path_angle(game, start, same, x, points=7)
    np.testing.assert_allclose(p.cosine, q.cosine, atol=1e-12)
    np.testing.assert_allclose(p.losses["model"], q.losses["model"], atol=1e-12)
    assert np.isfinite(p.cosine).all()


@pytest.mark.parametrize(
    ("start", "end", "options", "words"),
    [
        (torch.zeros(2), torch.zeros(2), {}, "no length"),
        (torch.zeros(3), torch.zeros(2), {}, "2 parameters"),
        ([0.0, 1.0], torch.zeros(2), {}, "not a list"),
        (torch.zeros(2), torch.ones(2), {"points": 1}, "make no path"),
        (torch.zeros(2), torch.ones(2), {"span": (1.0, 0.0)}, "make no path"),
    ],
)
def test_mistakes_get_a_sentence(start, end, options, words):
    with pytest.raises(GantoolsError, match=words):
        path_angle(swirl(1.0, 0.0)[0], start, end, None, **options)
