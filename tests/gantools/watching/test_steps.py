"""The Jacobian of a loop's own step, as it is by central differences of the step itself in float64."""

import pytest
import torch
from torch import nn

from gantools.watching.differences import StepOperator
from tests.game_oracles import finite_jacobian, relative


def leading(values, k=4):
    values = torch.as_tensor(values)
    return values[values.abs().argsort(descending=True)][:k]


def oracle(step, tensors, put_back=(), h=1e-4):
    """The eigenvalues of the step as a map of these tensors (`tensors()`), in their order; all is put back."""
    start, others = [x.detach().clone() for x in tensors()], [(x, x.detach().clone()) for x in put_back]

    def moved(z):
        with torch.no_grad():
            for x, value in others:
                x.copy_(value)
            for x, piece in zip(tensors(), z.split([x.numel() for x in start]), strict=True):
                x.copy_(piece.view_as(x))
        step()
        return torch.cat([x.detach().reshape(-1) for x in tensors()])

    z = torch.cat([x.reshape(-1) for x in start])
    size = z.abs().clamp(min=1e-6)
    J = finite_jacobian(moved, z, h * size)
    moved(z)
    with torch.no_grad():
        for x, value in [*zip(tensors(), start, strict=True), *others]:
            x.copy_(value)
    return leading(torch.linalg.eigvals(J * size / size[:, None]), len(z))


def eigenvalues(step, optimizer, k=4):
    U = StepOperator.of(step, {"o": optimizer}, ())
    return U, leading(torch.linalg.eigvals(U.dense()), k)


def memory(optimizer, names):
    return [state[name] for state in optimizer.state.values() for name in names if name in state]


class Scaled(nn.Module):
    def __init__(self, shape):
        super().__init__()
        self.gamma = nn.Parameter(torch.full(shape, 0.5))
        self.linear = nn.Linear(2, 1)

    def forward(self, x):
        return self.gamma + self.linear(x)


def fitting(model, optimizer, x, y, steps=20, extra=None):
    def step():
        def closure():
            optimizer.zero_grad()
            loss = (model(x) - y).square().mean()
            loss = loss if extra is None else loss + extra()
            loss.backward()
            return loss

        optimizer.step(closure)

    for _ in range(steps):
        step()
    return step


RULES = {
    "rmsprop": (torch.optim.RMSprop, {"lr": 1e-3, "eps": 1.0}, ["square_avg"]),
    "adam": (torch.optim.Adam, {"lr": 1e-2, "eps": 0.1}, ["exp_avg", "exp_avg_sq"]),
    "nadam": (torch.optim.NAdam, {"lr": 1e-2, "eps": 0.1}, ["exp_avg", "exp_avg_sq"]),
    "asgd": (torch.optim.ASGD, {"lr": 1e-2, "t0": 0}, ["ax"]),
}


class TestMemory:
    @pytest.mark.parametrize("rule", RULES)
    @pytest.mark.parametrize("shape", [(), (1,)])
    def test_of_a_single_number_has_no_count_of_steps(self, rule, shape):
        torch.manual_seed(0)
        make, settings, names = RULES[rule]
        model, x, y = Scaled(shape).double(), torch.randn(20, 2).double(), torch.randn(20, 1).double()
        optimizer = make(model.parameters(), **settings)
        step = fitting(model, optimizer, x, y)
        U, values = eigenvalues(step, optimizer)
        clocks = [x for state in optimizer.state.values() for key, x in state.items() if key not in names]
        expected = oracle(step, lambda: [*model.parameters(), *memory(optimizer, names)], clocks)
        assert U.n == len(expected) and relative(values.abs(), expected[:4].abs()) < 1e-6
