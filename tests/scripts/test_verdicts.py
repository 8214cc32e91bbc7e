"""What verdicts of studies say of numbers that are given: seen, not seen, or open."""

import dataclasses

import integrators
import logic_gates
import numpy as np
import pytest
import unitary_memory
from curvature import index_along_training
from harness.intervals import Estimate
from harness.study_results import Results
from theory import r3gan

SEEDS = range(5)
NOISE = np.array([0.01, -0.02, 0.0, 0.02, -0.01])


def results(form, numbers):
    """Return results of five seeds: a column's value of every cell, with a little noise where it is no tuple."""
    by_cell = {
        cell: {s: {c: v + NOISE[s] if np.isscalar(v) else v[s] for c, v in columns.items()} for s in SEEDS}
        for cell, columns in numbers.items()
    }
    return Results(dataclasses.replace(form, cells={cell: form.cells[cell] for cell in numbers}, seeds=SEEDS), by_cell)


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (0.1, 0.3, "which it beats"),
        (0.2, 1.4, "and whether it beats that is open"),
        (1.01, 1.2, "which it does not beat"),
    ],
)
def test_a_loss_is_below_the_memoryless_one_or_not_or_that_is_open(low, high, said):
    assert unitary_memory.beaten(Estimate((low + high) / 2, low, high)) == said


def test_nets_are_told_from_guesses_after_adjustment_alone():
    cells = [name for name in logic_gates.STATES if name.endswith("4 of 8")]
    numbers = {name: {"unseen": 0.45} for name in cells}
    numbers["first, shallow, 4 of 8"]["unseen"] = 0.8
    numbers["parity, shallow, 4 of 8"]["unseen"] = 0.1
    numbers["majority, deep, 4 of 8"]["unseen"] = (0.5, 0.6, 0.52, 0.55, 0.58)  # p = 0.04 alone
    against = logic_gates.against_guesses(results(logic_gates.STUDY, numbers))
    assert len(against) == 2 * len(cells)
    assert against["first, shallow, 4 of 8", "coin"] == 1 and against["parity, shallow, 4 of 8", "frequent"] == -1
    assert against["majority, deep, 4 of 8", "coin"] == 0


def test_ends_of_intervals_that_face_each_other_are_compared_and_overlaps_are_not():
    def alpha(low, high):
        return {"alpha from": (low,) * 5, "alpha to": tuple(high + NOISE / 10)}

    numbers = {"mnist, tanh": alpha(0.5, 0.6), "mnist, relu": alpha(0.1, 0.2), "mnist, esp": alpha(0.15, 0.3)}
    found = results(index_along_training.STUDY, numbers)
    apart = index_along_training.gap(found, "mnist, tanh", "mnist, relu")
    assert apart.mean == pytest.approx(0.3) and apart.p < 1e-4
    assert index_along_training.gap(found, "mnist, relu", "mnist, tanh").mean == pytest.approx(-0.3)
    assert index_along_training.gap(found, "mnist, esp", "mnist, relu").p == 1.0


def test_a_task_that_tells_no_scheme_from_another_is_said_to():
    nets = {"wave, ResNet": {"test": (0.999,) * 5}, "wave, ResNet, half the blocks": {"test": (0.998,) * 5}}
    (said,) = integrators.untold(results(integrators.STUDY, nets), "wave")
    assert "half of a ResNet is as accurate" in said
    nets["wave, ResNet, half the blocks"]["test"] = (0.8,) * 5
    assert integrators.untold(results(integrators.STUDY, nets), "wave") == []
    chance = {name.replace("wave", "spirals"): {"test": 0.5} for name in nets}
    (said,) = integrators.untold(results(integrators.STUDY, chance), "spirals")
    assert "no net is right on more than 0.50" in said


def test_one_penalty_is_said_to_do_only_where_every_run_with_one_has_all_modes():
    ring = {f"relativistic, {penalty}": {"modes": (8.0,) * 5} for penalty in ("R1", "R2")}
    ring["relativistic, none"] = {"modes": (5.0,) * 5}
    (said,) = r3gan.with_one(results(r3gan.STUDY, ring))
    assert "all 5 runs end with 8 modes" in said
    ring["relativistic, R2"] = {"modes": (8.0, 8.0, 7.0, 8.0, 8.0)}
    assert r3gan.with_one(results(r3gan.STUDY, ring)) == []
