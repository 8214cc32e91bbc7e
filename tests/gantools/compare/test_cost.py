"""What methods say that a step costs is what a step evaluates."""

import re

import pytest
import torch

import gantools as gt
from gantools.cli import main
from gantools.compare.cost import Cost, counting, measured
from gantools.trainers import OPTIMIZERS, make
from tests import cases


def stated(text: str) -> Cost | None:
    """Return the cost that "1 gradient + 2 products" states; None for a text that states no fixed numbers."""
    found = re.fullmatch(r"([\d.]+) gradients?(?: \+ ([\d.]+) products?)?", text)
    return found and Cost(float(found[1]), float(found[2] or 0))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_stated_cost_is_the_counted_one(name):
    cls = OPTIMIZERS[name]
    optimizer = make(name, cases.tanh_gan(), lr=0.03)
    for step in range(2):
        optimizer.step(*cases.step_batches(optimizer, step))
    w, cost = optimizer.game.vector(), measured(optimizer, *cases.step_batches(optimizer, 2))
    assert torch.equal(optimizer.game.vector(), w)
    assert cost.gradients >= 0.5 and cost.evaluations >= 1
    assert (cost.products > 0) <= cls.second_order
    if stated(cls.cost) is None:
        assert {"gradient", "product"} & set(cls.cost.replace("s", "").split()), cls.cost
        print(f"{name}: {cls.cost}; here {cost}")
    else:
        assert cost == stated(cls.cost)
        assert str(cost) == cls.cost


def test_settings_that_change_the_cost():
    def of(name, **settings):
        optimizer = make(name, cases.tanh_gan(), lr=0.03, **settings)
        return measured(optimizer, *cases.step_batches(optimizer))

    assert of("alternating", n_d=5, n_g=2) == Cost(3.5, 0)
    assert of("lookahead", inner="extragradient", k=3) == Cost(2, 0)
    assert of("heun", penalty=0.1) == Cost(2, 1)


def test_what_a_product_is():
    """Counted by hand: gradients and backward passes of a plain consensus step, and of J u by the kept map."""
    game, batch = cases.tanh_gan(), cases.gan_batch()
    with counting(game) as counter:
        leaves = game.leaves(game.vector())
        field = game.field_of(leaves, game.buffers(), batch, create_graph=True).vector
        assert counter.cost() == Cost(1, 0)
        torch.autograd.grad(0.5 * field.dot(field), leaves, retain_graph=True)
        assert counter.cost() == Cost(1, 1)
        v = torch.zeros_like(field).requires_grad_()
        pulled = game.flatten(torch.autograd.grad(field, leaves, v, create_graph=True))
        assert counter.cost() == Cost(1, 2)
        for number in (3, 4):
            torch.autograd.grad(pulled, v, torch.ones_like(field), retain_graph=True)
            assert counter.cost() == Cost(1, number)
    assert counter.cost(2) == Cost(0.5, 2)
    game.field(batch)
    assert counter.cost() == Cost(1, 4)


def test_a_backward_pass_through_an_unroll_counts_each_field_by_its_share():
    game, batch = cases.tanh_gan(), cases.gan_batch()
    start = w = game.vector().requires_grad_()
    part = game.slices["discriminator"]
    with counting(game) as counter:
        for _ in range(3):
            own = game.field_at(w, game.buffers(), batch, players=("discriminator",)).vector
            w = torch.cat([w[: part.start], w[part] - 0.1 * own])
        torch.autograd.grad(w.square().sum(), start)
    assert counter.cost() == Cost(1.5, 1.5)


def test_a_penalty_belongs_to_the_gradient():
    game = cases.tanh_gan(regularizers=[gt.regularizers.R1(1.0)])
    optimizer = make("consensus", game, lr=0.01)
    assert measured(optimizer, cases.gan_batch()) == Cost(1, 1)


def test_counting_leaves_nothing_behind():
    game, grad, x = cases.tanh_gan(), torch.autograd.grad, torch.ones(2, requires_grad=True)
    with pytest.raises(ZeroDivisionError), counting(game) as outer, counting(game) as inner:
        assert torch.autograd.grad is grad  # everybody's: it is observed, never replaced
        grad(x.sum(), x)
        assert outer.cost() == inner.cost() == Cost(0, 1)
        1 / 0  # noqa: B018
    grad(x.sum(), x)
    assert outer.cost() == inner.cost() == Cost(0, 1) and "field_of" not in vars(game)


def test_the_list_shows_costs(capsys):
    assert main(["list", "optimizers"]) == 0
    lines = dict(zip(OPTIMIZERS, capsys.readouterr().out.splitlines(), strict=True))
    assert all(OPTIMIZERS[name].cost in line for name, line in lines.items())


def test_words():
    assert stated("1 gradient + 2.5 products") == Cost(1, 2.5)
    assert stated("2 gradients") == Cost(2, 0) and stated("1 gradient + 2 products a Newton step") is None
    assert str(Cost(1, 1)) == "1 gradient + 1 product" and str(Cost(3.5, 0)) == "3.5 gradients"
