"""Complex normalization: whitening against an eigendecomposition, statistics, and derivatives up to the third."""

import math

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

import gantools as gt
from gantools.errors import GantoolsError
from gantools.nn import ComplexBatchNorm, Complexify, ComplexLayerNorm, ComplexLinear, Parts
from tests.draws import seeded

C128, F64 = torch.complex128, torch.float64


def correlated(*shape, seed=0):
    """Complex numbers with mean (1, -2), unequal variances and correlated parts."""
    x, y = torch.randn(2, *shape, dtype=F64, generator=seeded(seed))
    return torch.complex(1 + 2 * x, -2 + 0.5 * y + 0.8 * x)


def columns(z):
    """Return the numbers of each channel as a matrix (C, N, 2)."""
    return torch.view_as_real(z.movedim(1, 0).flatten(1).resolve_conj())


def covariances(z):
    x = columns(z)
    x = x - x.mean(1, keepdim=True)
    return x.mT @ x / x.shape[1]


def by_eigenvectors(z, eps):
    """Whiten as no formula of ours does: V^{-1/2} from the eigendecomposition of each channel's covariance."""
    x = columns(z)
    values, vectors = torch.linalg.eigh(covariances(z) + eps * torch.eye(2, dtype=F64))
    root = vectors @ torch.diag_embed(values.rsqrt()) @ vectors.mT
    white = (x - x.mean(1, keepdim=True)) @ root
    return torch.complex(white[..., 0], white[..., 1]).reshape(z.movedim(1, 0).shape).movedim(0, 1)


@pytest.mark.parametrize("shape", [(50, 3), (10, 3, 7), (6, 3, 4, 5)])
def test_batch_norm_whitens_every_channel(shape):
    z = correlated(*shape)
    norm = ComplexBatchNorm(3, dtype=C128)
    torch.testing.assert_close(norm(z), by_eigenvectors(z, 1e-4) / math.sqrt(2), rtol=1e-12, atol=1e-12)


def test_the_output_is_circular_with_unit_second_moment():
    """The paper's statement: covariance I/2, so that E|z|^2 = 1 and E z^2 = 0."""
    out = ComplexBatchNorm(3, eps=0.0, dtype=C128)(correlated(20, 3, 6, 6))
    torch.testing.assert_close(covariances(out), 0.5 * torch.eye(2, dtype=F64).expand(3, 2, 2), rtol=1e-12, atol=1e-12)
    assert out.mean((0, 2, 3)).abs().max() < 1e-12
    assert out.square().mean((0, 2, 3)).abs().max() < 1e-12


def test_gamma_is_a_symmetric_matrix_and_beta_complex():
    norm, z = ComplexBatchNorm(2, dtype=C128), correlated(30, 2)
    assert [tuple(p.shape) for p in norm.parameters()] == [(2, 3), (2, 2)]
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([[2.0, 0.5, 1.0], [1.0, -0.3, 0.2]], dtype=F64))
        norm.bias.copy_(torch.tensor([[1.0, -1.0], [0.0, 3.0]]))
    white = columns(by_eigenvectors(z, 1e-4))
    gamma = torch.tensor([[[2.0, 0.5], [0.5, 1.0]], [[1.0, -0.3], [-0.3, 0.2]]], dtype=F64)
    expected = white @ gamma + norm.bias[:, None]
    torch.testing.assert_close(columns(norm(z)), expected.detach(), rtol=1e-10, atol=1e-12, check_dtype=False)


@pytest.mark.parametrize("momentum", [0.1, None])
def test_running_statistics_are_those_of_torch_and_serve_in_evaluation(momentum):
    """A real batch norm of real and imaginary part tracks the same means and variances; the covariance by hand."""
    norm = ComplexBatchNorm(3, momentum=momentum, dtype=C128)
    real, imaginary = nn.BatchNorm2d(3, momentum=momentum).double(), nn.BatchNorm2d(3, momentum=momentum).double()
    real.running_var.fill_(1 / math.sqrt(2))
    imaginary.running_var.fill_(1 / math.sqrt(2))
    cross = torch.zeros(3, dtype=F64)
    for step in range(1, 4):
        z = correlated(4, 3, 5, 5, seed=step)
        norm(z), real(z.real), imaginary(z.imag)
        share = momentum or 1 / step
        cross = (1 - share) * cross + share * covariances(z)[:, 0, 1] * 100 / 99
    torch.testing.assert_close(norm.running_mean, torch.stack([real.running_mean, imaginary.running_mean], -1))
    expected = torch.stack([real.running_var, cross, imaginary.running_var], -1)
    torch.testing.assert_close(norm.running_covariance, expected)
    norm.eval()
    z = correlated(4, 3, 5, 5, seed=9)
    centred = columns(z) - norm.running_mean[:, None]
    rr, ri, ii = expected.unbind(-1)
    v = torch.stack([torch.stack([rr, ri], -1), torch.stack([ri, ii], -1)], -2) + 1e-4 * torch.eye(2, dtype=F64)
    values, vectors = torch.linalg.eigh(v)
    white = centred @ (vectors @ torch.diag_embed(values.rsqrt()) @ vectors.mT) / math.sqrt(2)
    torch.testing.assert_close(columns(norm(z)), white)
    before = [b.clone() for b in norm.buffers()]
    norm(z)
    assert all(torch.equal(a, b) for a, b in zip(before, norm.buffers(), strict=True))


def test_without_running_statistics_the_batch_serves_in_evaluation_too():
    norm, z = ComplexBatchNorm(3, affine=False, track_running_stats=False).double(), correlated(8, 3)
    assert not list(norm.parameters()) and not list(norm.buffers())
    assert torch.equal(norm(z), norm.eval()(z))


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e4])
def test_proportional_parts_in_single_precision_give_finite_values_and_gradients(scale):
    """The covariance is singular: det V is all rounding, and its square root was NaN."""
    x = scale * torch.randn(200, 4, generator=seeded())
    z = torch.complex(x, 3 * x).requires_grad_()
    out = ComplexBatchNorm(4)(z)
    (gradient,) = torch.autograd.grad(out.abs().square().mean() + out.real.sum(), z)
    assert torch.isfinite(torch.view_as_real(out)).all()
    assert torch.isfinite(torch.view_as_real(gradient)).all()
    constant = torch.full((5, 4), 2 + 1j, dtype=torch.complex64, requires_grad=True)
    out = ComplexBatchNorm(4)(constant)
    assert out.abs().max() < 1e-3
    assert torch.isfinite(torch.view_as_real(torch.autograd.grad(out.real.sum(), constant)[0])).all()


@pytest.mark.parametrize("shape", [(4,), (3, 5)])
def test_layer_norm_whitens_every_sample_by_itself(shape):
    z = correlated(6, 2, *shape)
    norm = ComplexLayerNorm(shape, dtype=C128)
    flat = z.reshape(12, -1).T.unsqueeze(0).transpose(1, 2)  # one batch whose channels are the samples
    expected = by_eigenvectors(flat.reshape(1, 12, -1), 1e-4).reshape(z.shape) / math.sqrt(2)
    torch.testing.assert_close(norm(z), expected, rtol=1e-12, atol=1e-12)
    other = z.clone()
    other[1:] = 0
    assert torch.equal(norm(other)[0], norm(z)[0])
    assert [tuple(p.shape) for p in norm.parameters()] == [(*shape, 3), (*shape, 2)]
    assert [tuple(p.shape) for p in ComplexLayerNorm(3, bias=False).parameters()] == [(3, 3)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("norm", "shape"), [(ComplexBatchNorm(2, dtype=C128), (4, 2)), (ComplexLayerNorm(3, dtype=C128), (2, 3))]
)
def test_derivatives_match_finite_differences_up_to_the_third(norm, shape):
    z = correlated(*shape).requires_grad_()
    values = [p.detach() + 0.1 * torch.randn(p.shape, generator=seeded(), dtype=F64) for p in norm.parameters()]
    weight, bias = (v.requires_grad_() for v in values)

    def function(z, weight, bias):
        return torch.func.functional_call(norm, {"weight": weight, "bias": bias}, (z,))

    assert gradcheck(function, (z, weight, bias))
    assert gradgradcheck(function, (z, weight, bias))

    def slope(z):
        out = function(z, weight, bias)
        value = (out.real**3 + out.real * out.imag**2).sum()
        return torch.autograd.grad(value, z, create_graph=True)[0]

    assert gradgradcheck(slope, (z,))


@pytest.mark.slow
def test_consensus_of_a_game_with_complex_batch_norm_is_linearised_right():
    """The update operator of consensus is a third derivative; a fused norm has it wrong without an error."""
    model = nn.Sequential(
        Complexify(), ComplexLinear(2, 3, dtype=C128, rng=seeded()), ComplexBatchNorm(3, dtype=C128),
        gt.nn.Cardioid(), Parts(), nn.Linear(6, 1).double(),
    )  # fmt: skip
    nn.init.normal_(model[-1].weight, generator=seeded())
    game = gt.minimization(model, lambda model, x: model(x).square().mean() + model(x).sin().mean())
    x = torch.randn(7, 2, generator=seeded(1), dtype=F64)
    optimizer = gt.trainers.make("consensus", game, lr=0.01, gamma=0.5, base="sgd")
    operator = gt.analysis.update_operator(optimizer, x).dense()
    w, buffers, step = game.vector(), game.buffers(), 2e-6

    def moved(point):
        game.load_vector(point)
        game.load_buffers(buffers)
        optimizer.step(x)
        return game.vector()

    columns = [(moved(w + step * e) - moved(w - step * e)) / (2 * step) for e in torch.eye(len(w), dtype=F64)]
    difference = torch.stack(columns, 1) - operator[: len(w), : len(w)]
    assert difference.abs().max() < 1e-7
    assert (operator[: len(w), : len(w)] - torch.eye(len(w), dtype=F64)).abs().max() > 1e-3


def test_wrong_inputs_are_sentences():
    with pytest.raises(GantoolsError, match="takes complex numbers"):
        ComplexBatchNorm(3)(torch.ones(2, 3))
    with pytest.raises(GantoolsError, match=r"was given shape \(2, 4\): pass \(batch, 3, ...\)"):
        ComplexBatchNorm(3)(torch.ones(2, 4, dtype=torch.complex64))
    with pytest.raises(GantoolsError, match="one value a channel.*pass a larger batch"):
        ComplexBatchNorm(3)(torch.ones(1, 3, dtype=torch.complex64))
    with pytest.raises(GantoolsError, match=r"its last axes must be \(3, 2\)"):
        ComplexLayerNorm((3, 2))(torch.ones(5, 2, 3, dtype=torch.complex64))
    with pytest.raises(GantoolsError, match="takes complex numbers"):
        ComplexLayerNorm(3)(torch.ones(2, 3))
