"""Complex layers against PyTorch's native complex operations, in float64."""

import copy
import functools

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck
from torch.nn import functional as F

import gantools as gt
from gantools.errors import GantoolsError
from gantools.games.functional import load_forward_rules
from gantools.nn import (
    ComplexAvgPool2d,
    ComplexConv1d,
    ComplexConv2d,
    ComplexConvTranspose2d,
    ComplexDropout,
    ComplexDropout2d,
    Complexify,
    ComplexLinear,
    ComplexMaxPool1d,
    ComplexMaxPool2d,
    LearnedImaginary,
    Parts,
    UnitaryLinear,
)
from tests.draws import draw, seeded
from tests.quick import few

C128 = torch.complex128
noise = functools.partial(draw, dtype=C128)


def native(stored):
    return torch.view_as_complex(stored.detach().clone().contiguous()).requires_grad_()


def with_bias(layer):
    if layer.bias is not None:
        nn.init.normal_(layer.bias, generator=seeded(2))
    return layer


def conv1d(x, w, b, layer):
    return F.conv1d(x, w, b, layer.stride, layer.padding, layer.dilation, layer.groups)


def conv2d(x, w, b, layer):
    return F.conv2d(x, w, b, layer.stride, layer.padding, layer.dilation, layer.groups)


def transposed(x, w, b, layer):
    options = (layer.stride, layer.padding, layer.output_padding, layer.groups, layer.dilation)
    return F.conv_transpose2d(x, w, b, *options)


CASES = [
    (ComplexLinear, (5, 7), {}, (4, 5), lambda x, w, b, _: F.linear(x, w, b)),
    (ComplexLinear, (5, 7), {"bias": False}, (2, 3, 5), lambda x, w, b, _: F.linear(x, w, b)),
    (ComplexConv1d, (4, 6, 3), {"padding": 1, "stride": 2}, (2, 4, 9), conv1d),
    (ComplexConv1d, (4, 6, 3), {"groups": 2, "dilation": 2, "bias": False}, (4, 9), conv1d),
    (ComplexConv2d, (3, 5, 3), {"padding": "same"}, (2, 3, 6, 7), conv2d),
    (ComplexConv2d, (4, 6, (3, 2)), {"stride": (2, 1), "groups": 2, "dilation": (1, 2)}, (2, 4, 8, 9), conv2d),
    (ComplexConv2d, (3, 1, 1), {"bias": False}, (3, 6, 7), conv2d),
    (ComplexConv2d, (48, 32, 3), {"padding": 1}, (2, 48, 4, 5), conv2d),
    (ComplexConv2d, (96, 64, 3), {"padding": 1, "groups": 2, "bias": False}, (2, 96, 3, 3), conv2d),
    (ComplexConvTranspose2d, (3, 5, 4), {"stride": 2, "padding": 1}, (2, 3, 4, 5), transposed),
    (ComplexConvTranspose2d, (4, 6, 3), {"stride": 2, "groups": 2, "output_padding": 1}, (2, 4, 3, 3), transposed),
    (ComplexConvTranspose2d, (4, 1, 3), {"dilation": 2, "bias": False}, (4, 3, 3), transposed),
    (ComplexConvTranspose2d, (48, 32, 3), {"stride": 2, "padding": 1}, (2, 48, 3, 3), transposed),
]


@pytest.mark.parametrize(("kind", "sizes", "options", "shape", "oracle"), CASES)
def test_values_and_gradients_are_those_of_native_complex_operations(kind, sizes, options, shape, oracle):
    layer = with_bias(kind(*sizes, **options, dtype=C128, rng=seeded()))
    assert all(p.dtype == torch.float64 and p.shape[-1] == 2 for p in layer.parameters())
    z = noise(*shape).requires_grad_()
    weight, bias = native(layer.weight), None if layer.bias is None else native(layer.bias)
    out, expected = layer(z), oracle(z, weight, bias, layer)
    scale = expected.abs().max()
    assert out.dtype == C128
    assert (out - expected).abs().max() / scale < 1e-12
    direction = noise(*expected.shape, seed=3)
    leaves = [z, *layer.parameters()]
    wanted = [z, weight] + ([] if bias is None else [bias])
    got = torch.autograd.grad(out, leaves, direction)
    want = torch.autograd.grad(expected, wanted, direction)
    for g, w in zip(got, want, strict=True):
        w = w if g.is_complex() else torch.view_as_real(w)
        assert (g - w).abs().max() / w.abs().max() < 1e-12


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_padding_modes_pad_both_parts(mode):
    layer = ComplexConv2d(2, 3, 3, padding=(1, 2), padding_mode=mode, dtype=C128, rng=seeded())
    z = noise(2, 2, 5, 6)
    padded = torch.complex(*(F.pad(part, (2, 2, 1, 1), mode=mode) for part in (z.real, z.imag)))
    expected = F.conv2d(padded, native(layer.weight), native(layer.bias))
    torch.testing.assert_close(layer(z), expected, rtol=1e-12, atol=1e-12)


def test_a_transposed_convolution_grows_to_the_size_asked_for():
    layer = ComplexConvTranspose2d(2, 3, 3, stride=2, padding=1, rng=seeded())
    z = torch.randn(1, 2, 4, 4, dtype=torch.complex64, generator=seeded())
    assert layer(z).shape[2:] == (7, 7)
    assert layer(z, output_size=[8, 8]).shape[2:] == (8, 8)


@pytest.mark.parametrize("layout", ["channels last", "slice", "conjugate", "expanded", "offset"])
def test_the_layout_of_the_input_does_not_matter(layout):
    z = noise(3, 4, 6, 6)
    z = {
        "channels last": lambda: z.to(memory_format=torch.channels_last),
        "slice": lambda: z[:, ::2].repeat(1, 2, 1, 1)[:, :, ::2],
        "conjugate": lambda: z.conj(),
        "expanded": lambda: z[:1].expand(3, -1, -1, -1),
        "offset": lambda: z.flatten()[1:385].reshape(4, 4, 4, 6),
    }[layout]()
    layer = ComplexConv2d(4, 5, 3, dtype=C128, rng=seeded())
    expected = F.conv2d(z.resolve_conj().contiguous(), native(layer.weight))
    torch.testing.assert_close(layer(z), expected, rtol=1e-12, atol=1e-12)
    relu = gt.nn.CReLU()(z)
    assert torch.equal(relu.real, z.real.clamp(min=0)) and torch.equal(relu.imag, z.imag.clamp(min=0))


@pytest.mark.parametrize(
    ("layer", "shape"),
    few(
        [
            (ComplexLinear(2, 3, dtype=C128, rng=seeded()), (2, 2)),
            (ComplexConv2d(2, 2, 2, dtype=C128, rng=seeded()), (1, 2, 3, 3)),
            (ComplexConvTranspose2d(2, 1, 2, dtype=C128, rng=seeded()), (1, 2, 2, 2)),
            (UnitaryLinear(2, dtype=C128, rng=seeded()), (2, 2)),
        ],
        2,
    ),
)
def test_both_orders_of_derivatives_match_finite_differences(layer, shape):
    z = noise(*shape).requires_grad_()
    if isinstance(layer, UnitaryLinear):
        nn.init.normal_(layer.weight, generator=seeded())
    parameters = {name: p.detach().clone().requires_grad_() for name, p in layer.named_parameters()}

    load_forward_rules()  # torch's own, with a deprecation warning of its own

    def function(z, *values):
        return torch.func.functional_call(layer, dict(zip(parameters, values, strict=True)), (z,))

    assert gradcheck(function, (z, *parameters.values()), check_forward_ad=True)
    assert gradgradcheck(function, (z, *parameters.values()))


@pytest.mark.parametrize("size", [(3, 4), (48, 48)])
def test_second_derivatives_of_both_kernels_agree_with_native_ones(size):
    """Gradient penalties and consensus differentiate the gradient: of |dL/dz|^2, by the weights."""
    layer = ComplexConv2d(*size, 3, padding=1, bias=False, dtype=C128, rng=seeded())
    z = noise(1, size[0], 3, 3).requires_grad_()
    weight = native(layer.weight)

    def penalty(out, leaf):
        (slope,) = torch.autograd.grad((out.abs() ** 4).sum(), z, create_graph=True)
        return torch.autograd.grad((slope.abs() ** 2).sum(), leaf)[0]

    got = penalty(layer(z), layer.weight)
    expected = torch.view_as_real(penalty(F.conv2d(z, weight, padding=1), weight))
    assert (got - expected).abs().max() / expected.abs().max() < 1e-11


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (ComplexLinear(3, 2, rng=seeded()), (2, 3)),
        (ComplexConv1d(2, 3, 2, rng=seeded()), (2, 2, 5)),
        (ComplexConv2d(2, 3, 3, padding=1, rng=seeded()), (2, 2, 5, 5)),
        (ComplexConv2d(32, 32, 1, rng=seeded()), (1, 32, 2, 2)),
        (ComplexConvTranspose2d(2, 3, 4, 2, 1, rng=seeded()), (2, 2, 3, 3)),
        (UnitaryLinear(3, rng=seeded()), (2, 3)),
        (gt.nn.ModReLU(3), (2, 3)),
        (ComplexMaxPool2d(2), (2, 3, 4, 4)),
        (gt.nn.ComplexLayerNorm(3), (2, 3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_vmap_runs_over_inputs_and_over_weights(layer, shape):
    """Batched products with a Jacobian map over weights; from the second layer on, inputs are mapped over too."""
    z = torch.randn(3, *shape, dtype=torch.complex64, generator=seeded())
    weights = {name: torch.stack([p.detach() + 0.1 * i for i in range(3)]) for name, p in layer.named_parameters()}

    def call(weights, z):
        return torch.func.functional_call(layer, weights, (z,))

    expected = torch.stack([call({name: w[i] for name, w in weights.items()}, z[i]) for i in range(3)])
    torch.testing.assert_close(torch.func.vmap(call)(weights, z), expected, rtol=1e-4, atol=1e-4)


def test_construction_is_that_of_torch():
    torch.manual_seed(0)
    layer = ComplexConv2d(4, 6, kernel_size=3, stride=2, padding=1, bias=False, padding_mode="circular")
    assert (layer.weight.shape, layer.weight.dtype, layer.bias) == ((6, 4, 3, 3, 2), torch.float32, None)
    assert repr(layer) == repr(nn.Conv2d(4, 6, 3, 2, 1, bias=False, padding_mode="circular")).replace(
        "Conv", "ComplexConv"
    )
    assert ComplexLinear(2, 3, dtype=torch.float64).weight.dtype == torch.float64
    assert ComplexLinear(2, 3, device="meta").weight.is_meta
    assert layer.double()(noise(1, 4, 5, 5)).dtype == C128
    twin = copy.deepcopy(layer)
    twin.load_state_dict(layer.state_dict())
    assert torch.equal(twin.weight, layer.weight)


@pytest.mark.parametrize("kind", [ComplexLinear, ComplexConv2d, UnitaryLinear])
def test_weights_come_from_the_generator_alone(kind):
    sizes = {"ComplexLinear": (3, 4), "ComplexConv2d": (3, 4, 2), "UnitaryLinear": (4,)}[kind.__name__]
    before = torch.get_rng_state()
    one, two, other = (list(kind(*sizes, rng=seeded(seed)).state_dict().values()) for seed in (3, 3, 4))
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))
    assert not all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(
    "layer",
    [ComplexLinear(3, 3), ComplexConv1d(3, 3, 1), ComplexConv2d(3, 3, 1), ComplexConvTranspose2d(3, 3, 1),
     UnitaryLinear(3), ComplexDropout(), ComplexMaxPool2d(1), ComplexAvgPool2d(1)],
    ids=lambda layer: type(layer).__name__,
)  # fmt: skip
def test_real_inputs_are_refused_with_a_sentence(layer):
    with pytest.raises(GantoolsError, match="takes complex numbers, and its input is torch.float32"):
        layer(torch.ones(3, 3, 3, 3))


# Dropout, pooling, inputs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [ComplexDropout, ComplexDropout2d])
def test_dropout_keeps_or_drops_whole_numbers(kind):
    torch.manual_seed(0)
    z = noise(20, 30, 6, 6)
    layer = kind(0.25)
    ratio = layer(z) / z
    kept = ratio.abs() > 0
    torch.testing.assert_close(ratio[kept], torch.full_like(ratio[kept], 4 / 3))
    assert kept.double().mean().item() == pytest.approx(0.75, abs=0.05)
    whole = kept.flatten(2).double().mean(2)
    assert ((whole == 0) | (whole == 1)).all().item() == (kind is ComplexDropout2d)
    assert torch.equal(layer.eval()(z), z)
    game = gt.minimization(
        nn.Sequential(Complexify(), ComplexLinear(2, 2), kind(0.5), Parts()), lambda m, x: m(x).mean()
    )
    with pytest.raises(GantoolsError, match="Dropout is active"):
        gt.analysis.hessian(game, torch.ones(3, 2))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (ComplexMaxPool2d(2), (2, 3, 6, 6)),
        (ComplexMaxPool2d(3, stride=2, padding=1), (2, 3, 7, 5)),
        (ComplexMaxPool2d((2, 3), stride=1, dilation=2), (2, 3, 7, 7)),
        (ComplexMaxPool1d(3, 2), (2, 3, 9)),
    ],
)
def test_max_pooling_takes_the_number_of_largest_modulus(layer, shape):
    z = noise(*shape)
    real = nn.MaxPool1d if len(shape) == 3 else nn.MaxPool2d
    like = real(layer.kernel_size, layer.stride, layer.padding, layer.dilation)
    out = layer(z)
    torch.testing.assert_close(out.abs(), like(z.abs()))
    assert torch.isin(torch.view_as_real(out), torch.view_as_real(z)).all()
    small = noise(1, *shape[1:])[:, :1].requires_grad_()
    assert gradcheck(layer, (small,)) and gradgradcheck(layer, (small,))


def test_average_pooling_is_linear():
    z = noise(2, 3, 6, 6)
    out = ComplexAvgPool2d(3, stride=1)(z)
    expected = F.conv2d(z, torch.full((3, 1, 3, 3), 1 / 9, dtype=C128), groups=3)
    torch.testing.assert_close(out, expected)


@pytest.mark.parametrize("shape", [(7, 3), (7, 3, 5), (7, 3, 4, 5)])
def test_the_learned_imaginary_part_is_a_network_of_the_real_one(shape):
    x = torch.randn(*shape, generator=seeded())
    for norm in (False, True):
        layer = LearnedImaginary(3, norm, seeded())
        z = layer(x)
        assert torch.equal(z.real, x)
        columns = x.movedim(1, -1).reshape(-1, 3)
        layers = list(layer.layers)
        value = columns
        for module in layers:
            value = module(value.unsqueeze(-1)).squeeze(-1)
        torch.testing.assert_close(z.imag.movedim(1, -1).reshape(-1, 3), value, rtol=1e-4, atol=1e-5)
        assert sum(isinstance(m, nn.BatchNorm1d) for m in layers) == 2 * norm


def test_parts_stand_side_by_side():
    z = noise(2, 3, 4)
    assert torch.equal(Parts()(z), torch.cat([z.real, z.imag], 1))
    assert torch.equal(Complexify()(z.real), torch.complex(z.real, torch.zeros(2, 3, 4, dtype=torch.float64)))
