"""The holographic memory: exact laws of binding, and the law of its noise."""

import pytest
import torch

from gantools.nn.recurrent.holographic import (
    bind,
    noise_variance,
    random_keys,
    random_permutations,
    rearranged,
    recall,
    store,
    superpose,
    unbind,
)
from tests.draws import seeded


def complex_normal(*shape, seed):
    """Circular complex normal numbers with E|x|^2 = 1."""
    return torch.view_as_complex(torch.randn(*shape, 2, generator=seeded(seed), dtype=torch.float64)) / 2**0.5


def test_one_item_is_recalled_exactly_and_binding_multiplies_moduli_and_adds_phases():
    keys, values = random_keys(5, 16, rng=seeded(), dtype=torch.complex128), complex_normal(5, 16, seed=1)
    assert torch.allclose(keys.abs(), torch.ones(5, 16, dtype=torch.float64), rtol=0, atol=1e-15)
    assert torch.allclose(unbind(keys, bind(keys, values)), values, rtol=0, atol=1e-15)
    polar = torch.polar(values.abs() * keys.abs(), values.angle() + keys.angle())
    assert torch.allclose(bind(keys, values), polar, rtol=0, atol=1e-14)


def test_a_trace_is_the_sum_of_the_pairs_and_a_copy_permutes_the_keys_alone():
    keys, values = random_keys(3, 6, rng=seeded(), dtype=torch.complex128), complex_normal(3, 6, seed=1)
    orders = random_permutations(4, 6, seeded(2))
    assert all(sorted(order) == list(range(6)) for order in orders.tolist())
    traces = store(keys, values, orders)
    for trace, order, turned in zip(traces, orders, rearranged(keys, orders), strict=True):
        assert torch.equal(turned, keys[:, order])
        expected = sum(keys[k][order] * values[k] for k in range(3))
        assert torch.allclose(trace, expected, rtol=0, atol=1e-15)
        assert torch.allclose(superpose(bind(turned, values)), expected, rtol=0, atol=1e-15)


def test_batches_in_front_are_kept_apart():
    keys, values = random_keys(3, 2, 6, rng=seeded(), dtype=torch.complex128), complex_normal(3, 2, 6, seed=1)
    orders = random_permutations(2, 6, seeded(2))
    both = recall(store(keys, values, orders), keys[1], orders)
    for b in range(2):
        alone = recall(store(keys[:, b], values[:, b], orders), keys[1, b], orders)
        assert torch.allclose(both[b], alone, rtol=0, atol=1e-15)


@pytest.mark.parametrize(("items", "copies"), [(20, 1), (20, 4), (20, 20), (5, 3)])
def test_the_noise_has_the_variance_of_the_law(items, copies):
    """(N - 1) E|x|^2 / S, within five percent, over 2000 units and ten memories; its mean is zero."""
    units, power, memories = 2000, 2.0, 10
    noise = []
    for seed in range(memories):
        keys = random_keys(items, units, rng=seeded(seed), dtype=torch.complex128)
        values = power**0.5 * complex_normal(items, units, seed=100 + seed)
        orders = random_permutations(copies, units, seeded(200 + seed))
        noise.append(recall(store(keys, values, orders), keys[0], orders) - values[0])
    noise = torch.stack(noise)
    law = noise_variance(items, power, copies)
    assert noise.abs().square().mean().item() == pytest.approx(law, rel=0.05)
    assert noise.mean().abs().item() < 4 * (law / noise.numel()) ** 0.5
