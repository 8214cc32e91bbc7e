"""What a step moves and reads again though no optimizer holds it is in its Jacobian, or the verdict says so."""

import collections
import copy

import numpy as np
import pytest
import torch
from torch import nn

import gantools as gt
from gantools.watching.differences import StepOperator
from tests.game_oracles import relative
from tests.gantools.watching.test_steps import eigenvalues, fitting, leading, oracle

# w and 2 w of Tsitsiklis and Van Roy: temporal differences off the policy diverge
SLOW, DISCOUNT, RATE = 0.1, 0.95, 0.1
MOVED = torch.tensor([[1 - 2 * RATE, 4 * DISCOUNT * RATE]])
TARGET = torch.cat([MOVED, SLOW * MOVED + torch.tensor([[0.0, 1 - SLOW]])])


VARIABLE = 0.3


class Shadow:
    """An average that is bound anew in a dictionary at each step."""

    def __init__(self, model):
        self.shadow = {name: p.detach().clone() for name, p in model.named_parameters()}

    def update(self, model):
        for name, p in model.named_parameters():
            self.shadow[name] = (1 - SLOW) * self.shadow[name] + SLOW * p.detach()


def variable():
    return VARIABLE


def temporal_differences(kind):
    torch.manual_seed(0)
    q = nn.Linear(1, 1, bias=False)
    optimizer = torch.optim.SGD(q.parameters(), lr=RATE)
    state, after = torch.ones(4, 1), 2 * torch.ones(4, 1)
    target, shadow, number = copy.deepcopy(q), Shadow(q), float(q.weight.detach())
    unread, array = copy.deepcopy(q), np.array([number])

    def step():
        nonlocal number
        global VARIABLE
        values = {"module": target.weight, "shadow": shadow.shadow["weight"], "number": number}
        value = (values | {"variable": VARIABLE, "array": float(array[0])})[kind]
        loss = (q(state) - DISCOUNT * (after * value).detach()).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            target.weight.mul_(1 - SLOW).add_(q.weight, alpha=SLOW)
            unread.weight.mul_(0.9999).add_(q.weight, alpha=0.0001)
        shadow.update(q)
        number = (1 - SLOW) * number + SLOW * float(q.weight.detach())
        VARIABLE = (1 - SLOW) * variable() + SLOW * float(q.weight.detach())
        array[:] = (1 - SLOW) * array + SLOW * float(q.weight.detach())

    return q, optimizer, step


@pytest.mark.parametrize("kind", ["module", "shadow", "number", "variable", "array"])
def test_a_target_that_follows_is_a_coordinate_and_an_average_that_nobody_reads_is_not(kind):
    q, optimizer, step = temporal_differences(kind)
    seen = gt.watch({"q": q}, update=step, optimizers=optimizer, budget=None, tol=1e-8).look(0)
    expected = leading(torch.linalg.eigvals(TARGET.double()))
    assert seen.spectra["game/update"].n == 2 and seen.caveat is None
    assert seen.spectral_radius == pytest.approx(float(expected[0].abs()), rel=1e-6)
    assert "nstable" in seen.verdict


def test_gradients_that_pile_up_are_coordinates():
    torch.manual_seed(0)
    model, x = nn.Linear(2, 1, bias=False).double(), torch.randn(20, 2).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step():  # momentum 1, by forgetting zero_grad
        model(x).square().mean().backward()
        optimizer.step()

    step()
    H = 2 * x.T @ x / 20
    one = torch.eye(2).double()
    expected = torch.linalg.eigvals(torch.cat([torch.cat([one - 0.1 * H, -0.1 * one], 1), torch.cat([H, one], 1)]))
    U, values = eigenvalues(step, optimizer)
    assert U.n == 4 and relative(values.abs(), leading(expected).abs()) < 1e-7


def test_vectors_of_spectral_norm_are_coordinates_and_statistics_of_batches_are_not():
    torch.manual_seed(0)
    layer = nn.utils.parametrizations.spectral_norm(nn.Linear(2, 3))
    model = nn.Sequential(layer, nn.BatchNorm1d(3), nn.Tanh(), nn.Linear(3, 1)).double()
    x, y = torch.randn(20, 2).double(), torch.randn(20, 1).double()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    step = fitting(model, optimizer, x, y)
    U, values = eigenvalues(step, optimizer)
    norm = layer.parametrizations.weight[0]
    expected = oracle(step, lambda: [*model.parameters(), norm._u, norm._v])
    assert U.n in (len(expected), len(expected) - 3)  # u is read by nobody before it is made anew
    assert relative(values.abs(), expected[:4].abs()) < 1e-6


class TestWhatCannotBeACoordinate:
    def test_is_in_each_verdict(self):
        torch.manual_seed(0)
        model, x = nn.Linear(2, 1), torch.randn(20, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        earlier = {0.5}

        def step():
            optimizer.zero_grad()
            (model(x).mean() - 3 * sum(earlier)).square().backward()
            optimizer.step()
            earlier.clear()
            earlier.add(float(model(x).mean().detach()))

        watch = gt.watch({"model": model}, update=step, optimizers=optimizer, budget=None)
        with pytest.warns(UserWarning, match="reads") as warned:
            assert all("may not be" in watch.look(step).verdict for step in (0, 1))
        assert len(warned) == 1

    def test_nor_is_what_is_read_two_steps_later_unsaid(self):
        torch.manual_seed(0)
        model, x = nn.Linear(2, 1), torch.randn(20, 2)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        earlier = collections.deque([0.5, 0.5], maxlen=2)

        def step():
            optimizer.zero_grad()
            (model(x).mean() - 3 * earlier[0]).square().backward()
            optimizer.step()
            earlier.append(float(model(x).mean().detach()))

        assert "reads" in StepOperator.of(step, {"o": optimizer}, ()).function.unread

    def test_nor_is_a_count_or_a_record(self):
        torch.manual_seed(0)
        model, x = nn.Linear(2, 1), torch.randn(20, 2)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
        losses, count = [0.1], [0]

        def step():
            optimizer.zero_grad()
            loss = model(x).square().mean() * (1 + 0.5 * (count[0] % 3))
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
            count[0] += 1

        step()
        U = StepOperator.of(step, {"o": optimizer}, ())
        assert U.n == 9 and U.function.unread is None
