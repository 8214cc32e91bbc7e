"""The budget of time for looks."""

import pytest

import gantools as gt
from gantools.board.live.logs import open_logs
from gantools.errors import GantoolsError, GantoolsWarning
from gantools.watching.clock import Clock
from gantools.watching.look import Effort
from tests.gantools.watching.loops import Loop


class Time:
    now = 0.0

    def __call__(self):
        return self.now


def run(budget, step, look_fixed, product, every=10, steps=4000):
    """Simulate a loop with steps of some seconds and looks of some seconds and some a product; return its clock."""
    time = Time()
    clock, efforts = Clock(budget, time), []
    for i in range(steps):
        time.now += step
        if i % every == 0 and (effort := clock.effort(Effort(k=6, products=200))) is not None:
            efforts.append(effort.products)
            made = 3 * effort.products
            time.now += look_fixed + product * made
            clock.took(look_fixed + product * made, made)
    return clock, efforts


@pytest.mark.parametrize("look_fixed", [0.0, 2.0, 20.0])
@pytest.mark.parametrize("product", [1e-3, 0.1])
def test_looks_take_no_more_than_their_share_of_a_long_run(look_fixed, product):
    clock, efforts = run(0.05, 0.2, look_fixed, product)
    assert clock.share <= 0.055 and clock.looks >= (1 if look_fixed == 20 else 2)
    assert all(18 <= products <= 200 for products in efforts)


def test_cheap_looks_are_all_taken_at_full_effort_after_the_first():
    clock, efforts = run(0.05, 1.0, 0.01, 1e-5)
    assert clock.looks == 400 and clock.skipped == 0
    assert efforts[0] == 36 and set(efforts[2:]) == {200}


def test_dear_looks_wait():
    clock, _ = run(0.05, 0.01, 1.0, 0.01)
    assert clock.skipped > clock.looks >= 1


def test_without_a_budget_every_look_is_taken_as_wanted():
    clock, efforts = run(None, 0.001, 10.0, 1.0, steps=50)
    assert clock.looks == 5 and clock.skipped == 0 and set(efforts) == {200}


@pytest.mark.parametrize("budget", [0.0, -1.0, 1.5])
def test_a_share_is_within_0_and_1(budget):
    with pytest.raises(GantoolsError, match="no share"):
        Clock(budget)


def test_a_look_that_is_left_out_is_told_once_and_counted(tmp_path):
    """The first look takes 100 s of a run of 1 s a step; when 10 000 s have passed there is time for another."""
    loop, time = Loop(), Time()

    def metrics(players):
        time.now += 100
        return {"quality": 1.0}

    watch = gt.watch(
        loop.players, loop.losses, optimizers=loop.optimizers, log=tmp_path, every=2, budget=0.05, metrics=metrics
    )
    watch.clock = Clock(0.05, time)
    assert watch(0, loop.batch()).left_out == 0
    words = r"look due at step 2 was left out: .* 5% of the run's time, and have taken 100 s of 102 s"
    with pytest.warns(GantoolsWarning, match=words) as told:
        for step in range(1, 8):
            time.now += 1
            assert watch(step, loop.batch()) is None
    assert len(told) == 1 and watch.clock.skipped == 3
    time.now += 10_000
    look = watch(8, loop.batch())
    assert look.left_out == 3 and "3 looks before it did not fit the budget" in str(look)
    logs = open_logs(tmp_path)
    assert logs.scalars(".", "watch/left_out").tolist() == [[0, 0], [2, 1], [4, 2], [6, 3], [8, 3]]
    assert [step for step, _ in logs.texts(".", "note")] == [2]
