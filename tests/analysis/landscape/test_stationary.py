"""Stationary points: saddles stay saddles, the step is the damped least-squares one, and flat regions are named."""

import numpy as np
import pytest
import torch
from torch import nn

import gantools as gt
from gantools.analysis import hessian, index, stationary_point
from gantools.analysis.krylov.least_squares import krylov_least_squares
from gantools.errors import GantoolsError, NonFiniteFieldError
from tests import cases, oracles

F64 = torch.float64


def function(f, start):
    """The game of one player, a vector, that minimises f."""
    return gt.minimization(cases.Point(torch.as_tensor(start, dtype=F64)), lambda model, batch: f(model.value))


def sine_net(seed=1, dtype=F64):
    """A 2-4-1 perceptron away from any stationary point, its loss, and a batch."""
    source = torch.Generator().manual_seed(3)
    x = torch.randn(60, 2, generator=source, dtype=F64)
    y = torch.sin(2 * x[:, :1]) * x[:, 1:]
    model = cases.mlp(2, 4, 1, seed=seed, dtype=dtype)
    return model, lambda model, b: (model(b[0]) - b[1]).square().mean(), (x.to(dtype), y.to(dtype))


def loss_of_vector(model, batch):
    """The loss of `sine_net` written out with matrices, as a function of the flat vector."""

    def f(w):
        A, a, B, b = (part.view(shape) for part, shape in zip(w.split([8, 4, 4, 1]), SHAPES, strict=True))
        return (torch.tanh(batch[0] @ A.T + a) @ B.T + b - batch[1]).square().mean()

    return f


SHAPES = [(4, 2), (4,), (1, 4), (1,)]


def solution(J, xi, damping):
    """The step that minimises |J step + xi|^2 + damping |step|^2, from the stacked matrix."""
    stacked = np.concatenate([J, np.sqrt(damping) * np.eye(len(J))])
    return np.linalg.lstsq(stacked, np.concatenate([-xi, np.zeros(len(J))]), rcond=None)[0]


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("damping", [1e-6, 1e-2, 30.0])
@pytest.mark.parametrize("deficient", [False, True])
def test_damped_least_squares_against_the_dense_solution(symmetric, damping, deficient):
    rng = np.random.default_rng(0)
    J = rng.standard_normal((30, 30))
    if symmetric:
        J = (J + J.T) / 2
    if deficient:
        columns = rng.standard_normal((30, 8))
        Q = np.linalg.qr(columns)[0]
        J = J - J @ Q @ Q.T
        J = J - Q @ (Q.T @ J) if symmetric else J
    xi = rng.standard_normal(30)
    expected = solution(J, xi, damping)
    J_operator = oracles.matrix_operator(torch.as_tensor(J), symmetric=symmetric)
    model = krylov_least_squares(J_operator, torch.as_tensor(xi), 30)
    step, residual = model.solve(damping, 1e-13)
    # The gradient is met to 1e-13 of its size; the step, to that over the least curvature, damping.
    assert np.linalg.norm(step.numpy() - expected) < 1e-7 * np.linalg.norm(expected)
    assert residual == pytest.approx(np.linalg.norm(J @ expected + xi), rel=1e-9)
    assert model.slope == pytest.approx(np.linalg.norm(J.T @ xi))
    assert J_operator.matvecs <= model.products <= (32 if symmetric else 61)
    # Another damping, from the same basis: no product.
    before = model.products
    again, _ = model.solve(100 * damping, 1e-9)
    other = solution(J, xi, 100 * damping)
    assert np.linalg.norm(again.numpy() - other) < 1e-7 * np.linalg.norm(other)
    assert model.products == before


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_remainder_is_the_gradient_of_the_damped_problem(symmetric):
    rng = np.random.default_rng(1)
    J = rng.standard_normal((40, 40))
    J = (J + J.T) / 2 if symmetric else J
    xi = rng.standard_normal(40)
    model = krylov_least_squares(
        oracles.matrix_operator(torch.as_tensor(J), symmetric=symmetric), torch.as_tensor(xi), 40
    )
    for _ in range(12):
        model.expand()
        y, residual, remainder = model.damped(0.3)
        step = model.lift(y).numpy()
        assert remainder == pytest.approx(np.linalg.norm(J.T @ (J @ step + xi) + 0.3 * step), rel=1e-8)
        assert residual == pytest.approx(np.linalg.norm(J @ step + xi), rel=1e-8)


@pytest.mark.parametrize("size", [1, 2, 3])
def test_tiny_operators(size):
    J = torch.diag(torch.tensor([2.0, -1.0, 0.5], dtype=F64)[:size])
    for symmetric in (True, False):
        model = krylov_least_squares(oracles.matrix_operator(J, symmetric=symmetric), torch.ones(size, dtype=F64), 100)
        step, residual = model.solve(1e-20, 1e-12)
        assert torch.allclose(step, -1 / J.diagonal(), rtol=1e-8)
        assert residual < 1e-8 and model.finished


def test_quadratic_saddle_of_a_singular_matrix_gives_the_nearest_point():
    """The zeros of H (w - a) form a plane; the nearest of them is the orthogonal projection."""
    values = np.concatenate([[-3.0, -0.5], np.zeros(4), np.linspace(0.1, 2, 10)])
    H = oracles.symmetric(values).dense()
    source = torch.Generator().manual_seed(0)
    a, start = (torch.randn(16, generator=source, dtype=F64) for _ in range(2))
    game = function(lambda w: 0.5 * (w - a) @ H @ (w - a), start)
    found = stationary_point(game, None)
    nearest = start - torch.linalg.pinv(H, rtol=1e-10) @ H @ (start - a)
    assert found.converged and found.norm < 1e-9
    assert torch.allclose(found.vector, nearest, atol=1e-8)
    assert found.distance == pytest.approx(float((nearest - start).norm()), rel=1e-6)
    assert torch.equal(game.vector(), start)
    assert index(hessian(game, None)).counts == {"negative": 2, "zero": 4, "positive": 10}


@pytest.mark.parametrize(
    ("f", "start", "steps"),
    [
        (lambda w: w[0] ** 3 - 3 * w[0] * w[1] ** 2, [0.7, 0.3], 30),
        (lambda w: (w[0] ** 2 - w[1] ** 2) / (1 + w @ w), [0.3, 0.2], 12),
    ],
    ids=["monkey saddle, where J vanishes as well", "rational saddle"],
)
def test_saddles_in_the_plane(f, start, steps):
    found = stationary_point(function(f, start), None)
    assert found.converged and found.steps <= steps
    assert float(found.vector.norm()) < 1e-5
    assert (np.diff(found.norms) < 0).all()


def test_bilinear_game():
    """x^T A y with a wide A: a line of zeros in x, of which the nearest is taken, and y = 0."""
    A = torch.tensor([[1.0, 2.0], [0.0, 1.0], [3.0, -1.0]], dtype=F64)
    x = torch.tensor([1.0, -0.5, 0.3], dtype=F64)
    game = cases.bilinear(A, x, [0.4, 0.2])
    found = stationary_point(game, None, apply=True)
    normal = torch.linalg.cross(A[:, 0], A[:, 1])
    expected = normal * (normal @ x) / (normal @ normal)
    assert found.converged
    assert torch.allclose(found.vector, torch.cat([expected, torch.zeros(2, dtype=F64)]), atol=1e-9)
    assert torch.equal(game.vector(), found.vector)


def test_gan_and_several_batches():
    game = cases.tanh_gan()
    batches = [cases.gan_batch(8, seed=0), cases.gan_batch(4, seed=1)]
    joined = {name: torch.cat([batch[name] for batch in batches]) for name in batches[0]}
    one, several = stationary_point(game, joined), stationary_point(game, batches)
    assert one.converged and several.converged
    assert torch.allclose(one.vector, several.vector, atol=1e-7)
    game.load_vector(several.vector)
    assert float(game.field(joined).norm()) < 1e-9


def test_perceptron_reaches_a_saddle_whose_index_is_that_of_the_dense_hessian():
    model, loss, batch = sine_net()
    f = loss_of_vector(model, batch)
    start = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    found = stationary_point(model, loss, batch)
    assert found.converged and found.norm < 1e-8 < 0.5 < found.start_norm
    assert torch.equal(torch.cat([p.detach().reshape(-1) for p in model.parameters()]), start)
    assert float(torch.autograd.functional.jacobian(f, found.vector).norm()) == pytest.approx(found.norm, abs=1e-10)
    game = gt.minimization(model, loss)
    for where, negative in ((start, 7), (found.vector, 4)):
        game.load_vector(where)
        values = np.linalg.eigvalsh(np.asarray(torch.autograd.functional.hessian(f, where)))
        counts = index(hessian(model, loss, batch)).counts
        assert counts["negative"] == int((values < -1e-6).sum()) == negative
        assert counts["positive"] == int((values > 1e-6).sum())


def test_single_precision_stops_at_its_rounding():
    model, loss, batch = sine_net(dtype=torch.float32)
    found = stationary_point(model, loss, batch)
    assert found.converged and found.norm < 1e-3
    further = stationary_point(model, loss, batch, tol=0.0)
    assert not further.converged and not further.gradient_flat
    assert "no further step" in further.message and further.norm < 1e-5


@pytest.mark.parametrize("start", [[0.0], [1.0], [1e-3]])
def test_gradient_flat_point_is_no_stationary_point(start):
    """f = x^3 / 3 + x has the gradient x^2 + 1, least at 0, where J = 2x vanishes."""
    found = stationary_point(function(lambda w: (w**3 / 3 + w).sum(), start), None)
    assert not found.converged and found.gradient_flat
    assert found.norm == pytest.approx(1.0) and float(found.vector.abs()) < 1e-6
    assert "gradient-flat" in str(found) and found.flatness < 1e-4


def test_a_field_that_fades_is_called_far():
    game = function(lambda w: (w[0] ** 2 - w[1] ** 2) / (1 + w @ w), [1.5, 1.4])
    found = stationary_point(game, None, tol=1e-7)
    assert found.converged and found.distance > 100 * 2.1
    assert "fade out" in found.message


def test_limits_and_what_was_reached():
    model, loss, batch = sine_net()
    found = stationary_point(model, loss, batch, max_steps=3)
    assert not found.converged and found.steps == 3
    assert "within max_steps = 3" in str(found) and len(found.norms) == 4 and found.norm < found.start_norm
    short = stationary_point(model, loss, batch, basis=5, max_steps=8)
    assert short.products <= 9 * 7 and (np.diff(short.norms) < 0).all()


def test_a_point_that_is_stationary_already():
    game = function(lambda w: (w[0] - 1) ** 2 - (w[1] + 2) ** 2, [3.0, 1.0])
    stationary_point(game, None, apply=True)
    again = stationary_point(game, None)
    assert again.converged and again.steps == 0 and again.distance == 0
    assert "already" in again.message


class Root(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value, dtype=F64))


def test_steps_out_of_the_domain_are_refused():
    """x - 2 sqrt(x) has the gradient 1 - 1 / sqrt(x), zero at 1; Newton's first step from 4 leads to -4."""
    model = Root(4.0)
    found = stationary_point(model, lambda m, b: m.value - 2 * m.value.sqrt(), None)
    assert found.converged and float(found.vector) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("use", "kind", "words"),
    [
        (lambda: stationary_point(Root(1.0), None), GantoolsError, "Call stationary_point"),
        (lambda: stationary_point(function(torch.sum, [1.0]), None, tol=-1.0), GantoolsError, "is no norm"),
        (lambda: stationary_point(function(torch.sum, [1.0]), None, basis=0), GantoolsError, "allow no step"),
        (lambda: stationary_point(Root(-1.0), lambda m, b: m.value.log().sqrt(), None), NonFiniteFieldError, "NaN"),
        (lambda: stationary_point(Root(0.0), lambda m, b: m.value.abs() ** 1.5, None, tol=0.0), GantoolsError, None),
    ],
)
def test_mistakes_get_a_sentence(use, kind, words):
    if words is None:  # exactly zero at the start: nothing is differentiated twice there
        assert use().converged
        return
    with pytest.raises(kind, match=words):
        use()


def test_infinite_second_derivatives_get_a_sentence():
    """|x|^1.5 + x has a gradient of 1 at 0, and no second derivative."""
    with pytest.raises(GantoolsError, match="second derivatives"):
        stationary_point(Root(0.0), lambda m, b: m.value.abs() ** 1.5 + m.value, None, check=False)
