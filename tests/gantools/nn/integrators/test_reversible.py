"""Reversible chains: undone to rounding, with the derivatives of stored activations and constant memory."""

import pytest
import torch
from harness.live_memory import LiveMemory
from torch import nn

from gantools.errors import GantoolsError
from gantools.nn.integrators.reversible import RevBlock, RevSequence
from tests.draws import draw
from tests.gantools.nn.integrators.blocks import F64, chain


def test_a_chain_is_undone_to_rounding_and_drifts_in_float32_with_its_depth():
    u = draw(5, 8)
    deep = chain(20)
    assert (deep.inverse(deep(u)) - u).abs().max() < 1e-13
    assert deep.drift(u) < 1e-14
    drifts = [chain(depth, dtype=torch.float32).drift(u.float()) for depth in (2, 20, 200)]
    assert 1e-9 < drifts[0] < 1e-6
    assert drifts[0] < drifts[2] < 1e-3


def derivatives(module, u, order):
    """Gradients by input and parameters of the squared norm of gradients, and so on."""
    inputs = [u.clone().requires_grad_(), *module.parameters()]
    value = module(inputs[0]).pow(3).sum()
    for k in range(order):
        gradient = torch.autograd.grad(value, inputs, create_graph=k + 1 < order)
        value = sum(g.square().sum() for g in gradient)
    return gradient


@pytest.mark.parametrize("order", [1, 2, 3])
def test_recomputed_derivatives_of_every_order_are_those_of_stored_activations(order):
    u = draw(3, 8)
    for got, expected in zip(
        derivatives(chain(3), u, order), derivatives(chain(3, recompute=False), u, order), strict=True
    ):
        assert torch.allclose(got, expected, rtol=1e-11, atol=1e-11)


def test_second_derivatives_match_finite_differences():
    u = draw(2, 4).requires_grad_()
    assert torch.autograd.gradcheck(chain(2, half=2), (u,))
    assert torch.autograd.gradgradcheck(chain(2, half=2), (u,))


def test_a_graph_may_be_walked_again_and_in_parts():
    module, u = chain(4), draw(3, 8).requires_grad_()
    value = module(u).pow(3).sum()
    first = torch.autograd.grad(value, u, retain_graph=True)[0]
    parameters = list(module.parameters())
    last = torch.autograd.grad(value, parameters[-1], retain_graph=True)[0]
    again = torch.autograd.grad(value, [u, *parameters])
    torch.testing.assert_close(again[0], first, rtol=1e-12, atol=1e-12)
    torch.testing.assert_close(again[-1], last, rtol=1e-12, atol=1e-12)


def memory_of_training(depth, recompute):
    module, u = chain(depth, recompute, half=8), draw(256, 16)
    with LiveMemory() as memory:
        loss = module(u).square().sum()
        kept = memory.live
        torch.autograd.grad(loss, list(module.parameters()))
    return kept, memory.peak


def test_memory_is_constant_in_depth():
    """Bytes alive after the forward pass, and at the worst moment of both."""
    state = 256 * 16 * 8
    shallow, deep = memory_of_training(4, True), memory_of_training(32, True)
    assert deep[0] - shallow[0] < state  # a block keeps ten states and more where they are stored
    assert deep[1] - shallow[1] < 2 * state
    stored, more = memory_of_training(4, False), memory_of_training(32, False)
    assert more[0] - stored[0] > 28 * state
    assert deep[1] < more[1] / 5


class Recorder(nn.Module):
    """A batch norm, whose running mean tells how often it ran."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4, dtype=F64)

    def forward(self, x):
        return torch.tanh(self.norm(x))


def test_running_statistics_move_once_a_step_and_modes_are_those_of_the_forward_pass():
    torch.manual_seed(0)
    stored, again = (RevSequence(RevBlock(Recorder(), Recorder()), recompute=flag) for flag in (False, True))
    u = draw(6, 8)
    gradients = []
    for module in (stored, again):
        value = module(u).square().sum()
        module.eval()
        gradients.append(torch.autograd.grad(value, list(module.parameters())))
    for a, b in zip(*gradients, strict=True):
        assert torch.allclose(a, b, rtol=1e-12, atol=1e-12)
    for a, b in zip(stored.buffers(), again.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    assert all(n == 1 for name, n in again.named_buffers() if name.endswith("num_batches_tracked"))


def test_an_output_changed_in_place_is_refused():
    module, u = chain(2), draw(3, 8)
    out = module(u)
    out.detach().mul_(2)
    with pytest.raises(GantoolsError, match="changed in place"):
        out.sum().backward()
