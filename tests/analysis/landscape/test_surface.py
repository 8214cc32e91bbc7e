"""Losses and fields on lines and planes of games whose losses are known, and filter normalisation by its invariance."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import gantools as gt
from gantools.analysis import Point, eigenvalues, filter_normalized, hessian, jacobian, line, plane, random_direction
from gantools.errors import GantoolsError
from tests import cases

F64 = torch.float64


def source(seed=0):
    return torch.Generator().manual_seed(seed)


def bowl():
    """loss = w^T H w / 2 with H = diag(1, 4, 9)."""
    H = torch.tensor([1.0, 4.0, 9.0], dtype=F64)
    return gt.minimization(cases.Point([0.5, -1.0, 2.0]), lambda m, _: 0.5 * (H * m.value**2).sum()), H


def test_line():
    game, H = bowl()
    d = torch.tensor([1.0, 2.0, 0.0], dtype=F64)
    found = line(game, None, d, radius=2.0, points=9)
    w = game.vector() + torch.linspace(-2, 2, 9, dtype=F64)[:, None] * d
    np.testing.assert_allclose(found.losses["model"], 0.5 * (w**2 @ H))
    np.testing.assert_allclose(found.slope, (w * H) @ d / 5)
    np.testing.assert_allclose(found.norm, (w * H).norm(dim=1))
    assert found.positions[4] == 0 and found.length == pytest.approx(math.sqrt(5)) and found.n == 3
    np.testing.assert_allclose(np.gradient(found.losses["model"], found.positions)[1:-1], found.slope[1:-1] * 5)
    assert set(found.to_numpy()) == {"positions", "slope", "norm", "loss model"}


def test_along_an_eigenvector_the_curvature_is_the_eigenvalue():
    model, loss, batch = cases.classifier()
    game = gt.minimization(model, loss)
    s = eigenvalues(hessian(game, batch), k=1, which="LA")
    found = line(game, batch, s.vectors[:, 0], radius=1e-2, points=5)
    second = np.gradient(found.slope, found.positions)[2]
    assert second == pytest.approx(float(s.values[0]), rel=1e-3)


def test_plane():
    game, H = bowl()
    first, second = torch.tensor([1.0, 0.0, 0.0], dtype=F64), torch.tensor([1.0, 2.0, 0.0], dtype=F64)
    center = Point(torch.zeros(3, dtype=F64))
    found = plane(game, None, (first, second), center, radius=1.0, points=5)
    for i, b in enumerate(found.y):
        for j, a in enumerate(found.x):
            w = a * first + b * second
            assert found.losses["model"][i, j] == pytest.approx(float(0.5 * (H * w * w).sum()))
            assert found.norm[i, j] == pytest.approx(float((H * w).norm()))
            # In the plane of the first two axes the field has no part outside it.
            moved = found.field[i, j, 0] * first + found.field[i, j, 1] * second
            torch.testing.assert_close(moved, H * w)
    assert found.lengths == pytest.approx((1.0, math.sqrt(5)))
    assert torch.equal(game.vector(), torch.tensor([0.5, -1.0, 2.0], dtype=F64))
    assert set(found.to_numpy()) == {"x", "y", "field", "norm", "loss model"}


def test_the_field_turns_in_the_plane_of_a_rotating_pair():
    game = cases.bilinear([[2.0, 0.0], [0.0, 1.0]], [0.0, 0.0], [0.0, 0.0])
    s = eigenvalues(jacobian(game, None), k=2, which="LI")
    found = plane(game, None, s.vectors[:, 0], points=5)
    b, a = np.meshgrid(found.y, found.x, indexing="ij")
    # J (p + iq) = i mu (p + iq): J p = -mu q and J q = mu p.
    np.testing.assert_allclose(found.field, float(s.values[0].imag) * np.stack([b, -a], -1), atol=1e-9)


def test_of_a_gan_both_players_have_a_loss():
    game, batches = cases.tanh_gan(), [cases.gan_batch(8, seed=1), cases.gan_batch(4, seed=2)]
    directions = random_direction(game, source(0)), random_direction(game, source(1))
    found = plane(game, batches, directions, points=3)
    assert set(found.losses) == {"generator", "discriminator"} and found.field.shape == (3, 3, 2)
    field = (8 * game.field(batches[0]) + 4 * game.field(batches[1])) / 12
    assert found.norm[1, 1] == pytest.approx(float(field.norm()))
    basis = torch.stack(directions, 1)
    expected = torch.linalg.lstsq(basis, field[:, None]).solution[:, 0]
    np.testing.assert_allclose(found.field[1, 1], expected, rtol=1e-6)


# Filter normalisation ------------------------------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 3, 3, dtype=F64)
        self.up = nn.ConvTranspose2d(3, 4, 2, dtype=F64)
        self.norm = nn.BatchNorm2d(4, dtype=F64)
        self.dense = nn.Linear(4, 5, dtype=F64)

    def forward(self, x):
        return self.dense(self.norm(self.up(self.conv(x))).mean((2, 3)))


def test_each_filter_has_the_norm_of_the_weights():
    model = Net()
    game = gt.minimization(model, lambda m, b: m(b).square().mean())
    d = torch.randn(game.num_parameters, generator=source(), dtype=F64)
    scaled = game.unflatten(filter_normalized(game, d))
    original = game.unflatten(d)
    for (name, p), new, old in zip(model.named_parameters(), scaled, original, strict=True):
        if p.dim() < 2:
            assert not new.any(), name
            continue
        swap = (lambda t: t.transpose(0, 1)) if name == "up.weight" else (lambda t: t)
        for ours, theirs, weights in zip(swap(new), swap(old), swap(p.detach()), strict=True):
            assert float(ours.norm()) == pytest.approx(float(weights.norm()))
            torch.testing.assert_close(ours / ours.norm(), theirs / theirs.norm())
    generator = random_direction(game, source(0)), random_direction(game, source(0), normalized=False)
    torch.testing.assert_close(generator[0], filter_normalized(game, generator[1]))


def test_rescaled_weights_look_the_same():
    """ReLU nets with the first layer times 10 and the second over 10 are one function; its picture must be the same."""
    pictures = []
    x = torch.randn(16, 2, generator=source(), dtype=F64)
    y = torch.randn(16, 1, generator=source(1), dtype=F64)
    for scale in (1.0, 10.0):
        model = nn.Sequential(cases.mlp(2, 8, seed=1)[0], nn.ReLU(), cases.mlp(8, 1, seed=2)[0])
        model[0].bias.data.zero_()
        model[0].weight.data *= scale
        model[2].weight.data /= scale
        game = gt.minimization(model, lambda m, b: (m(b[0]) - b[1]).square().mean())
        pictures.append(line(game, (x, y), random_direction(game, source(5)), points=11).losses["model"])
    np.testing.assert_allclose(pictures[0], pictures[1], rtol=1e-10)


def test_buffers_stand_still_and_those_of_the_center_count():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3), nn.Linear(3, 1)).to(F64).eval()
    game = gt.minimization(model, lambda m, b: m(b).square().mean())
    x = torch.randn(8, 2, generator=source(), dtype=F64)
    d = random_direction(game, source(1))
    shifted = {name: b + 1 if b.is_floating_point() else b for name, b in game.buffers().items()}
    here, there = line(game, x, d, points=3), line(game, x, d, Point(game.vector(), shifted), points=3)
    assert abs(here.losses["model"] - there.losses["model"]).max() > 1e-3
    game.load_buffers(shifted)
    np.testing.assert_array_equal(line(game, x, d, points=3).losses["model"], there.losses["model"])


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda g, d: line(g, None, 0 * d), "zero, or not finite"),
        (lambda g, d: line(g, None, d[:2]), "3 parameters"),
        (lambda g, d: line(g, None, d * 1j), "real tensor"),
        (lambda g, d: line(g, None, d, points=1), "make no picture"),
        (lambda g, d: line(g, None, d, radius=-1.0), "make no picture"),
        (lambda g, d: plane(g, None, (d, 2 * d)), "parallel"),
        (lambda g, d: plane(g, None, d), "spans a line"),
        (lambda g, d: filter_normalized(g, d[:1]), "3 parameters"),
    ],
)
def test_mistakes_get_a_sentence(use, words):
    with pytest.raises(GantoolsError, match=words):
        use(bowl()[0], torch.tensor([1.0, 2.0, 0.0], dtype=F64))
