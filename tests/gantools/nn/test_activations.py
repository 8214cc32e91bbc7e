"""Activations: values, second derivatives, the specification string, and its errors."""

import cmath
import math

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

from gantools.errors import GantoolsError
from gantools.networks import NETWORKS
from gantools.nn import ACTIVATIONS, ESP, Cardioid, CReLU, ZReLU, activation
from gantools.nn.activations import accepts
from tests.quick import few

FORMULAS = {
    "relu": lambda x: max(x, 0.0),
    "leaky_relu": lambda x: x if x > 0 else 0.2 * x,
    "elu": lambda x: x if x > 0 else math.exp(x) - 1,
    "gelu": lambda x: x * 0.5 * (1 + math.erf(x / math.sqrt(2))),
    "silu": lambda x: x / (1 + math.exp(-x)),
    "softplus": lambda x: math.log(1 + math.exp(x)),
    "tanh": math.tanh,
    "sigmoid": lambda x: 1 / (1 + math.exp(-x)),
    "sin": math.sin,
    "esp": lambda x: x / (1 + math.exp(-x)),
    "modrelu": lambda x: x,
}
REAL = [name for name in ACTIVATIONS if "real" in accepts(name)]


def moved(z, b):
    return max(abs(z) + b, 0.0) * z / abs(z)


COMPLEX_FORMULAS = {
    "crelu": lambda z: complex(max(z.real, 0.0), max(z.imag, 0.0)),
    "zrelu": lambda z: z if 0 <= cmath.phase(z) <= math.pi / 2 else 0j,
    "modrelu(-0.5)": lambda z: moved(z, -0.5),
    "modrelu(0.25)": lambda z: moved(z, 0.25),
    "cardioid": lambda z: 0.5 * (1 + math.cos(cmath.phase(z))) * z,
}


def points():
    """Away from 0, where three of them have a kink."""
    return torch.tensor([-2.3, -0.7, 0.4, 1.9], dtype=torch.float64, requires_grad=True)


def complex_points():
    """Away from the axes and from |z| = 0.5."""
    values = [1.2 + 0.7j, -0.4 + 0.9j, -1.1 - 0.2j, 0.3 - 2.0j, 0.15 + 0.1j]
    return torch.tensor(values, dtype=torch.complex128, requires_grad=True)


@pytest.mark.parametrize("name", REAL)
def test_values_are_those_of_the_formula(name):
    x = points()
    expected = [FORMULAS[name](value) for value in x.tolist()]
    assert activation(name).double()(x).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", REAL)
def test_first_and_second_derivatives_match_finite_differences(name):
    module, x = activation(name).double(), points()
    assert gradcheck(module, (x,))
    assert gradgradcheck(module, (x,))


@pytest.mark.parametrize("name", REAL)
def test_the_input_is_left_as_it_was(name):
    x = torch.linspace(-2, 2, 9)
    before = x.clone()
    activation(name)(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", COMPLEX_FORMULAS)
def test_complex_values_are_those_of_the_formula(name):
    z = complex_points().detach()
    expected = [COMPLEX_FORMULAS[name](value) for value in z.tolist()]
    assert activation(name).double()(z).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", COMPLEX_FORMULAS)
def test_complex_derivatives_match_finite_differences(name):
    module, z = activation(name).double(), complex_points()
    assert gradcheck(module, (z,))
    assert gradgradcheck(module, (z,))


@pytest.mark.parametrize("name", ["crelu", "zrelu", "cardioid", "modrelu", "modrelu(0.3)", "modrelu(-0.3)"])
def test_derivatives_of_all_orders_are_finite_at_zero(name):
    """Where z/|z| has none: three backward passes through 0, 0 beside other numbers, and numbers on the axes."""
    module = activation(name)
    z = torch.tensor([0j, 0j, 1 + 0j, -1j, 1e-30 + 0j], requires_grad=True)
    first = module(z)
    assert torch.isfinite(torch.view_as_real(first)).all()
    leaves = [z, *module.parameters()]
    for _ in range(3):
        total = torch.view_as_real(first).square().sum()
        if not total.requires_grad:
            break
        first, *rest = torch.autograd.grad(total, leaves, create_graph=True, allow_unused=True, materialize_grads=True)
        for gradient in (first, *rest):
            parts = torch.view_as_real(gradient) if gradient.is_complex() else gradient
            assert torch.isfinite(parts).all()
    assert activation(name)(torch.zeros(3, dtype=torch.complex64)).abs().max() == 0


def test_modrelu_has_one_bias_for_each_channel_and_moves_its_modulus():
    module = activation("modrelu(0.5)", units=3).double()
    assert [p.shape for p in module.parameters()] == [(3,)]
    with torch.no_grad():
        module.bias.copy_(torch.tensor([-10.0, 0.0, 1.0]))
    z = torch.randn(2, 3, 4, 5, dtype=torch.complex128, generator=torch.Generator().manual_seed(0))
    out = module(z)
    assert torch.equal(out[:, 0], torch.zeros_like(out[:, 0]))
    torch.testing.assert_close(out[:, 1], z[:, 1])
    torch.testing.assert_close(out[:, 2].abs(), z[:, 2].abs() + 1)
    torch.testing.assert_close(out[:, 2].angle(), z[:, 2].angle())
    real = z[0, :, 0, 0].real
    _, second, third = real.tolist()
    assert module(real[None])[0].tolist() == pytest.approx([0.0, second, third + math.copysign(1, third)])


def test_on_the_real_axis_all_but_modrelu_are_relu():
    x = torch.linspace(-2, 2, 8)
    for module in (CReLU(), ZReLU(), Cardioid()):
        torch.testing.assert_close(module(torch.complex(x, torch.zeros(8))).real, torch.relu(x))


@pytest.mark.parametrize("module", [CReLU(), ZReLU(), Cardioid()])
def test_complex_activations_refuse_real_numbers_at_the_call(module):
    with pytest.raises(GantoolsError, match=r"takes complex numbers, .* torch.float32: pass torch.complex"):
        module(torch.ones(3))


@pytest.mark.parametrize("name", [name for name in REAL if "complex" not in accepts(name)])
def test_real_activations_refuse_complex_numbers_at_the_call(name):
    with pytest.raises(GantoolsError, match=r"takes real numbers, .* torch.complex64: .* among.*crelu"):
        activation(name)(torch.ones(3, dtype=torch.complex64))


@pytest.mark.parametrize("network", few(NETWORKS, 3))
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_network_refuses_activations_of_other_numbers_when_it_is_built(network, name):
    domain = "complex" if network.startswith(("complex", "unitary")) else "real"
    if domain in accepts(name):
        generator, discriminator = NETWORKS[network](width=2).build((1, 4, 4), name, 3)
        assert torch.isfinite(discriminator(generator(torch.randn(2, 3)))).all()
    else:
        with pytest.raises(GantoolsError, match=f"{name!r} takes .*this layer's are {domain}: choose among"):
            NETWORKS[network](width=2).build((1, 4, 4), name, 3)


def test_every_activation_declares_its_numbers():
    assert {name for name in ACTIVATIONS if "complex" in accepts(name)} == {"crelu", "zrelu", "modrelu", "cardioid"}
    assert set(ACTIVATIONS) - set(REAL) == {"crelu", "zrelu", "cardioid"}


def test_esp_with_fixed_beta_has_no_parameter_and_with_learned_beta_one():
    x = torch.linspace(-3, 3, 7)
    fixed, learned = activation("esp(beta=2.0)"), activation("esp(2.0, learned=True)")
    assert isinstance(fixed, ESP)
    assert list(fixed.parameters()) == []
    assert [p.shape for p in learned.parameters()] == [()]
    torch.testing.assert_close(fixed(x), x * torch.sigmoid(2 * x), rtol=1e-6, atol=0)
    torch.testing.assert_close(fixed(x), learned(x), rtol=1e-6, atol=0)


def test_the_gradient_of_a_learned_beta_is_the_closed_form():
    r"""$\partial/\partial\beta = x^2 \sigma(\beta x) \sigma(-\beta x)$ (complex.md, section 6)."""
    x, module = points().detach(), ESP(1.5, learned=True).double()
    (gradient,) = torch.autograd.grad(module(x).sum(), list(module.parameters()))
    assert gradient.item() == pytest.approx((x**2 * torch.sigmoid(1.5 * x) * torch.sigmoid(-1.5 * x)).sum().item())


@pytest.mark.parametrize(
    ("spec", "at_minus_one"),
    [
        ("leaky_relu(0.1)", -0.1),
        (" leaky_relu(negative_slope=1) ", -1.0),
        ("sin(frequency=-2)", math.sin(2)),
        ("elu(2.0)", 2 * (math.exp(-1) - 1)),
        ('gelu(approximate="tanh")', -0.158808),
        ("relu()", 0.0),
    ],
)
def test_arguments_are_read_from_the_specification(spec, at_minus_one):
    assert activation(spec)(torch.tensor(-1.0)).item() == pytest.approx(at_minus_one, rel=1e-5)


def test_learned_betas_are_one_for_each_unit_and_drawn_as_in_the_paper():
    rng = torch.Generator().manual_seed(0)
    module = activation("esp(beta=0.0, learned=True, std=0.004)", units=4000, rng=rng).double()
    assert isinstance(module, ESP)
    assert module.beta.shape == (4000,)
    assert module.beta.std().item() == pytest.approx(0.004, rel=0.05)
    x = torch.randn(3, 4000, 2, generator=rng, dtype=torch.float64)
    expected = x * torch.sigmoid(module.beta[None, :, None] * x)
    torch.testing.assert_close(module(x), expected, rtol=1e-14, atol=0)
    again = activation("esp(beta=0.0, learned=True, std=0.004)", units=4000, rng=torch.Generator().manual_seed(0))
    assert torch.equal(again.beta.double(), module.beta)


def test_networks_learn_one_beta_for_each_unit():
    generator, _ = NETWORKS["mlp"](depth=2, width=5).build((2,), "esp(learned=True)")
    assert [m.beta.shape for m in generator.modules() if isinstance(m, ESP)] == [(5,), (5,)]
    generator, _ = NETWORKS["dcgan"](width=3).build((1, 8, 8), "esp(learned=True)")
    assert sorted(m.beta.numel() for m in generator.modules() if isinstance(m, ESP)) == [3, 6]
    plain, _ = NETWORKS["mlp"](depth=2, width=5).build((2,), "esp")
    assert sum(p.numel() for m in plain.modules() if isinstance(m, (ESP, nn.SiLU)) for p in m.parameters()) == 0


def test_every_call_gives_a_new_module():
    assert activation("esp(learned=True)") is not activation("esp(learned=True)")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("rleu", "Did you mean 'relu'"),
        ("", "write a name"),
        ("relu(", "write a name"),
        ("torch.relu", "write a name"),
        ("esp(beta=__import__('os'))", "write a name"),
        ("esp(**{'beta': 2.0})", "write a name"),
        ("esp(beta=1.0)(2)", "write a name"),
        ("relu(0.1)", r"do not fit relu\(\)"),
        ("esp(gamma=1.0)", r"do not fit esp\(beta=1.0, learned=False, std=0.0\)"),
        ("esp(units=3)", "do not fit esp"),
        ("esp(std=0.1)", "with learned=True"),
        ("modrelu('a')", "bias must be like its default 0.0"),
        ("leaky_relu('a')", "negative_slope must be like its default 0.2"),
        ("leaky_relu(True)", "negative_slope must be"),
        ("esp(1e999)", "beta must be"),
        ("esp(1.0, 1)", "learned must be like its default False"),
        ("softplus(0.0)", "must be positive"),
        ("gelu('fast')", "approximate must be"),
        (None, "spec must be text"),
    ],
)
def test_a_wrong_specification_is_one_sentence(spec, message):
    with pytest.raises(GantoolsError, match=message):
        activation(spec)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_has_a_one_line_description(name):
    assert ACTIVATIONS.describe(name).endswith(".")
