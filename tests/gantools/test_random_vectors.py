"""Normal vectors drawn from a counter."""

import pytest
import torch
from scipy.stats import kstest

from gantools.random_vectors import _AT_ONCE, normal_columns, normal_entries, normal_vector, random_key


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_entries_are_standard_normal_and_uncorrelated(dtype):
    x, y = (normal_entries(key, 0, 400_000, dtype, "cpu").double() for key in (0, 1))
    assert kstest(x.numpy(), "norm").pvalue > 1e-3
    # Five standard errors: the moments 0, 1, 0, 3 have errors of sqrt(1, 2, 15, 96) / sqrt(n).
    for power, truth, spread in ((1, 0, 1), (2, 1, 2), (3, 0, 15), (4, 3, 96)):
        assert abs(float((x**power).mean()) - truth) < 5 * (spread / len(x)) ** 0.5
    for a, b in ((x[1:], x[:-1]), (x[2:], x[:-2]), (x[::2], x[1::2]), (x, y)):
        assert abs(float((a * b).mean())) < 5 / len(a) ** 0.5


@pytest.mark.parametrize(("start", "stop"), [(0, 7), (3, 8), (4, 4), (101, 1000)])
def test_a_slice_drawn_alone_is_the_slice_of_the_whole(start, stop):
    whole = normal_entries(11, 0, 1000, torch.float64, "cpu")
    torch.testing.assert_close(normal_entries(11, start, stop, torch.float64, "cpu"), whole[start:stop])


def test_parts_drawn_one_after_the_other_join(monkeypatch):
    whole = normal_entries(5, 3, 5001, torch.float32, "cpu")
    monkeypatch.setattr("gantools.random_vectors._AT_ONCE", 100)
    torch.testing.assert_close(normal_entries(5, 3, 5001, torch.float32, "cpu"), whole)
    assert _AT_ONCE > 100


def test_a_generator_gives_new_keys_and_repeats():
    first, again = (torch.Generator().manual_seed(3) for _ in range(2))
    keys = [random_key(first) for _ in range(5)]
    assert len(set(keys)) == 5 and keys == [random_key(again) for _ in range(5)]
    columns = normal_columns(50, 2, torch.float32, "cpu", first)
    expected = [normal_vector(50, torch.float32, "cpu", again) for _ in range(2)]
    torch.testing.assert_close(columns, torch.stack(expected, dim=1))


def test_float32_is_float64_to_rounding():
    single, double = (normal_entries(9, 0, 10_000, dtype, "cpu") for dtype in (torch.float32, torch.float64))
    torch.testing.assert_close(single.double(), double, rtol=1e-5, atol=1e-5)


@pytest.mark.gpu
def test_the_gpu_draws_the_same_vector():
    here, there = (normal_entries(9, 0, 100_000, torch.float32, device).cpu() for device in ("cpu", "cuda"))
    torch.testing.assert_close(here, there, rtol=1e-5, atol=1e-5)
