"""Orthogonal maps: orthogonal everywhere, of no idle number, a rotation in closed form, uniform at the start."""

import math

import pytest
import torch
from torch import nn

from gantools.nn import OrthogonalLinear
from gantools.nn.orthogonal import haar_orthogonal


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_orthogonal_matrices_are_orthogonal_everywhere_and_cover_their_component():
    layer = OrthogonalLinear(5, bias=False, dtype=torch.float64, rng=seeded())
    eye, sign = torch.eye(5, dtype=torch.float64), torch.linalg.det(layer.matrix()).item()
    for scale in (1.0, 30.0):
        nn.init.normal_(layer.weight, std=scale, generator=seeded())
        q = layer.matrix()
        assert (q @ q.T - eye).abs().max() < 1e-12
        assert torch.linalg.det(q).item() == pytest.approx(sign)
    nn.init.normal_(layer.weight, std=0.3, generator=seeded())

    def matrix(weight):
        return torch.func.functional_call(layer, {"weight": weight}, (eye,))

    jacobian = torch.func.jacrev(matrix)(layer.weight.detach()).reshape(25, 10)
    assert torch.linalg.matrix_rank(jacobian) == 10  # n (n - 1) / 2 parameters, none of them idle


def test_in_the_plane_it_is_a_rotation_by_its_weight_and_the_bias_is_added():
    layer = OrthogonalLinear(2, dtype=torch.float64, rng=seeded())
    first = layer.matrix()
    with torch.no_grad():
        layer.weight.fill_(0.7)
        layer.bias.copy_(torch.tensor([1.0, -2.0]))
    turn = torch.tensor([[math.cos(0.7), -math.sin(0.7)], [math.sin(0.7), math.cos(0.7)]], dtype=torch.float64)
    torch.testing.assert_close(layer.matrix(), turn @ first)
    x = torch.randn(3, 2, generator=seeded(), dtype=torch.float64)
    torch.testing.assert_close(layer(x), x @ (turn @ first).T + layer.bias)


def test_the_first_orthogonal_matrix_is_haar_distributed():
    """E (tr Q)^2 = 1 for Haar measure (Diaconis and Shahshahani); without the signs of R it is not."""
    traces = [haar_orthogonal(5, seeded(seed)).trace().item() for seed in range(600)]
    assert sum(trace**2 for trace in traces) / len(traces) == pytest.approx(1.0, abs=0.25)
    assert abs(sum(traces) / len(traces)) < 0.15
    assert 200 < sum(torch.linalg.det(haar_orthogonal(4, seeded(seed))).item() > 0 for seed in range(600)) < 400


def test_in_double_precision_and_under_vmap_it_is_the_same_map():
    layers = [OrthogonalLinear(4, rng=seeded(seed)).double() for seed in range(3)]
    for layer in layers:
        nn.init.normal_(layer.weight, std=0.5, generator=seeded())
    parameters, buffers = torch.func.stack_module_state(layers)
    x = torch.randn(2, 4, generator=seeded(), dtype=torch.float64)

    def one(parameters, buffers):
        return torch.func.functional_call(layers[0], (parameters, buffers), (x,))

    together = torch.func.vmap(one)(parameters, buffers)
    torch.testing.assert_close(together, torch.stack([layer(x) for layer in layers]))
