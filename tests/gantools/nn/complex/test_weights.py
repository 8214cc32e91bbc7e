"""Weights of complex layers: initial laws, unitary maps, spectral normalisation."""

import functools
import math

import pytest
import torch
from scipy import stats
from torch import nn

import gantools as gt
from gantools.errors import GantoolsError
from gantools.nn import (
    ComplexConv2d,
    ComplexConvTranspose2d,
    Complexify,
    ComplexLinear,
    Parts,
    UnitaryLinear,
    complex_glorot_,
    complex_he_,
    complex_spectral_norm,
)
from tests.draws import draw, seeded

C128 = torch.complex128
noise = functools.partial(draw, dtype=C128)


def native(stored):
    return torch.view_as_complex(stored.detach().clone().contiguous()).requires_grad_()


# Initial weights -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("independent", [False, True])
@pytest.mark.parametrize(
    ("shape", "is_transposed", "n_in", "n_out"),
    [((400, 300, 2), False, 300, 400), ((64, 96, 5, 5, 2), False, 2400, 1600), ((96, 64, 5, 5, 2), True, 2400, 1600)],
)
def test_initial_variances_are_those_of_he_and_glorot_to_one_percent(shape, is_transposed, n_in, n_out, independent):
    for fill, variance in ((complex_he_, 2 / n_in), (complex_glorot_, 2 / (n_in + n_out))):
        weight = fill(torch.empty(*shape), seeded(), is_transposed, independent)
        for part in weight.unbind(-1):
            assert part.double().square().mean().item() == pytest.approx(variance / 2, rel=0.01)
            assert abs(part.mean().item()) < 0.01 * math.sqrt(variance)
        assert abs((weight[..., 0] * weight[..., 1]).mean().item()) < 0.01 * variance


def test_default_weights_of_layers_have_hes_variance():
    for layer, n_in in ((ComplexLinear(500, 400, rng=seeded()), 500), (ComplexConv2d(100, 50, 3, rng=seeded()), 900)):
        assert layer.weight.detach().square().sum(-1).mean().item() == pytest.approx(2 / n_in, rel=0.01)
        assert not layer.bias.any()


def test_the_modulus_is_rayleigh_and_the_phase_uniform():
    weight = torch.view_as_complex(complex_he_(torch.empty(200, 250, 2, dtype=torch.float64), seeded()).contiguous())
    modulus, phase = weight.abs().flatten().numpy(), weight.angle().flatten().numpy()
    assert stats.kstest(modulus, stats.rayleigh(scale=1 / math.sqrt(250)).cdf).pvalue > 0.01
    assert stats.kstest(phase, stats.uniform(-math.pi, 2 * math.pi).cdf).pvalue > 0.01
    assert abs(stats.pearsonr(modulus, phase).statistic) < 0.02


def test_independent_kernels_are_orthogonal_but_for_the_scale():
    """Re and Im are rescaled apart, so the columns of the (out * in, k^2) matrix are orthogonal to a few percent."""
    weight = complex_he_(torch.empty(40, 30, 3, 3, 2, dtype=torch.float64), seeded(), independent=True)
    matrix = torch.view_as_complex(weight.contiguous()).reshape(1200, 9)
    gram = matrix.mH @ matrix
    off = gram - torch.diag(gram.diagonal())
    assert off.abs().max() / gram.diagonal().real.mean() < 0.02
    drawn = complex_he_(torch.empty(40, 30, 3, 3, 2, dtype=torch.float64), seeded())
    plain = torch.view_as_complex(drawn.contiguous()).reshape(1200, 9)
    rough = plain.mH @ plain
    assert (rough - torch.diag(rough.diagonal())).abs().max() / rough.diagonal().real.mean() > 0.04


# Unitary maps --------------------------------------------------------------------------------------------------------


def test_unitary_matrices_are_unitary_everywhere_and_cover_the_group():
    layer = UnitaryLinear(4, bias=False, dtype=torch.float64, rng=seeded())
    eye = torch.eye(4, dtype=C128)
    for scale in (0.0, 1.0, 30.0):
        nn.init.normal_(layer.weight, std=scale, generator=seeded()) if scale else nn.init.zeros_(layer.weight)
        u = layer.matrix()
        assert (u @ u.mH - eye).abs().max() < 1e-12
        z = noise(3, 4)
        torch.testing.assert_close(layer(z).norm(dim=1), z.norm(dim=1))
    nn.init.normal_(layer.weight, std=0.3, generator=seeded())

    def real(weight):
        return torch.view_as_real(torch.func.functional_call(layer, {"weight": weight}, (eye,))).flatten()

    jacobian = torch.func.jacrev(real)(layer.weight.detach()).reshape(32, 16)
    assert torch.linalg.matrix_rank(jacobian) == 16  # n^2 parameters, none of them idle


def test_the_first_unitary_matrix_is_haar_distributed():
    """E|tr U|^2 = 1 for Haar measure (Diaconis and Shahshahani); without the phases of R it is not."""
    traces = [UnitaryLinear(5, rng=seeded(seed)).matrix().trace().abs().item() ** 2 for seed in range(600)]
    assert sum(traces) / len(traces) == pytest.approx(1.0, abs=0.15)


# Spectral normalization ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("layer", "matrix"),
    [
        (ComplexLinear(6, 4, dtype=C128, rng=seeded()), lambda w: w),
        (ComplexConv2d(3, 5, 2, dtype=C128, rng=seeded()), lambda w: w.flatten(1)),
        (ComplexConvTranspose2d(3, 5, 2, dtype=C128, rng=seeded()), lambda w: w.transpose(0, 1).flatten(1)),
    ],
    ids=["linear", "conv", "transposed"],
)
def test_spectral_norm_divides_by_the_complex_singular_value(layer, matrix):
    weight = native(layer.weight).detach()
    sigma = torch.linalg.svdvals(matrix(weight))[0]
    before = torch.get_rng_state()
    complex_spectral_norm(layer, n_power_iterations=300, rng=seeded(5))
    assert torch.equal(torch.get_rng_state(), before)
    torch.testing.assert_close(native(layer.weight).detach(), weight / sigma, rtol=1e-9, atol=1e-12)
    layer.eval()
    vectors = [b.clone() for b in layer.buffers()]
    _ = layer.weight
    assert all(torch.equal(a, b) for a, b in zip(vectors, layer.buffers(), strict=True))


def test_the_gradient_through_spectral_norm_is_that_of_the_quotient():
    layer = complex_spectral_norm(ComplexLinear(3, 3, dtype=C128, rng=seeded()), n_power_iterations=2000, rng=seeded(1))
    direction = torch.randn(3, 3, 2, generator=seeded(2), dtype=torch.float64)
    original = layer.parametrizations.weight.original
    got = torch.autograd.grad((layer.weight * direction).sum(), original)[0]
    leaf = native(original)
    expected = torch.autograd.grad((torch.view_as_real(leaf / torch.linalg.svdvals(leaf)[0]) * direction).sum(), leaf)[
        0
    ]
    torch.testing.assert_close(got, torch.view_as_real(expected), rtol=1e-6, atol=1e-9)


def test_spectral_norm_stands_still_in_analysis_and_refuses_real_layers():
    model = nn.Sequential(
        Complexify(), complex_spectral_norm(ComplexLinear(2, 3, dtype=C128, rng=seeded()), rng=seeded()), Parts(),
        nn.Linear(6, 1).double(),
    )  # fmt: skip
    game = gt.minimization(model, lambda model, x: model(x).square().mean())
    x = torch.randn(5, 2, generator=seeded(), dtype=torch.float64)
    hessian = gt.analysis.hessian(game, x).dense()
    torch.testing.assert_close(hessian, hessian.T)
    with pytest.raises(GantoolsError, match="no complex 'weight': for real layers"):
        complex_spectral_norm(nn.Linear(2, 3))
