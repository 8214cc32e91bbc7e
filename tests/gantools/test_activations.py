"""Activations: values, second derivatives, the specification string, and its errors."""

import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from gantools.errors import GantoolsError
from gantools.nn import ACTIVATIONS, ESP, activation

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
}


def points():
    """Away from 0, where three of them have a kink."""
    return torch.tensor([-2.3, -0.7, 0.4, 1.9], dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_values_are_those_of_the_formula(name):
    x = points()
    expected = [FORMULAS[name](value) for value in x.tolist()]
    assert activation(name).double()(x).tolist() == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_first_and_second_derivatives_match_finite_differences(name):
    module, x = activation(name).double(), points()
    assert gradcheck(module, (x,))
    assert gradgradcheck(module, (x,))


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_the_input_is_left_as_it_was(name):
    x = torch.linspace(-2, 2, 9)
    before = x.clone()
    activation(name)(x)
    assert torch.equal(x, before)


def test_esp_with_fixed_beta_has_no_parameter_and_with_learned_beta_one():
    x = torch.linspace(-3, 3, 7)
    fixed, learned = activation("esp(beta=2.0)"), activation("esp(2.0, learned=True)")
    assert isinstance(fixed, ESP)
    assert list(fixed.parameters()) == []
    assert [p.shape for p in learned.parameters()] == [()]
    assert torch.equal(fixed(x), x * torch.sigmoid(2 * x))
    assert torch.equal(fixed(x), learned(x))


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
        ("esp(gamma=1.0)", r"do not fit esp\(beta=1.0, learned=False\)"),
        ("leaky_relu('a')", "negative_slope must be like its default 0.2"),
        ("leaky_relu(True)", "negative_slope must be"),
        ("esp(1e999)", "beta must be"),
        ("esp(1.0, 1)", "learned must be like its default False"),
        ("softplus(0.0)", "must be positive"),
        ("gelu('fast')", "approximate must be"),
        (None, "write a name"),
    ],
)
def test_a_wrong_specification_is_one_sentence(spec, message):
    with pytest.raises(GantoolsError, match=message):
        activation(spec)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_every_activation_has_a_one_line_description(name):
    assert ACTIVATIONS.describe(name).endswith(".")
