"""Products that are replaced by a recording once that pays."""

import pytest
import torch

from gantools.analysis import jacobian
from gantools.analysis.products import patient
from gantools.analysis.products.patient import PatientProducts
from tests import cases


class Slow:
    def product(self, u):
        return 2 * u

    transposed = product


def timed_by(monkeypatch, ours, theirs=1.0):
    """Give every product of a recording `ours` seconds, and every other one `theirs`; return the recordings made."""
    made = []

    def timed(work, device):
        before = len(calls)
        result = work()
        return result, ours if len(calls) > before else theirs

    calls = []

    class Recorded(Slow):
        def product(self, u):
            calls.append(u)
            return super().product(u)

    monkeypatch.setattr(patient, "timed", timed)
    return made, lambda: made.append(Recorded()) or made[-1]


@pytest.mark.parametrize("shape", [(3,), (3, 4)])
@pytest.mark.parametrize("faster", [True, False])
def test_what_has_cost_much_tries_a_recording(shape, faster, monkeypatch):
    made, make = timed_by(monkeypatch, 0.5 if faster else 3.0)
    products, u = PatientProducts(Slow(), make), torch.ones(shape)
    for count in range(1, 10):
        assert torch.equal(products.product(u), 2 * u)
        # A column of a block of four takes a quarter of a second: both are tried after more than five seconds.
        assert bool(made) == (count > 5)
    assert len(made) == 1 and (products._replay is made[0]) == faster


@pytest.mark.parametrize(("announced", "after"), [(1000, 2), (8, 2), (3, 6)])
def test_products_that_were_announced_count_beforehand(announced, after, monkeypatch):
    made, make = timed_by(monkeypatch, 0.5)
    products, u = PatientProducts(Slow(), make), torch.ones(3)
    products.prepare(announced)
    for count in range(1, 10):
        products.product(u)
        assert bool(made) == (count >= after)


def test_a_recording_that_cannot_be_made_is_done_without(monkeypatch):
    timed_by(monkeypatch, 0.5, 100.0)
    products, u = PatientProducts(Slow(), lambda: (_ for _ in ()).throw(RuntimeError())), torch.ones(3)
    for _ in range(4):
        assert torch.equal(products.product(u), 2 * u)


@pytest.mark.slow
def test_auto_records_when_it_pays(monkeypatch):
    monkeypatch.setattr(patient, "PATIENCE", 0.0)
    game, batch = cases.tanh_gan(), cases.gan_batch()
    A, kept = (jacobian(game, batch, method=method) for method in ("auto", "reverse"))
    for width in (30, 5, 70):
        u = torch.randn(30, width, dtype=torch.float64)
        torch.testing.assert_close(A @ u, kept @ u)
