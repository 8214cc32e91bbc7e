"""The check of update operators, in short; and that it notices what is wrong."""

import dataclasses

import check_update_operators as check
import numpy as np
import pytest
import torch

from gantools.analysis import LinearOperator, Spectrum, eigenvalues, stability, update_operator
from gantools.trainers import BASES

SHORT = [
    check.Case("ring8", "simultaneous", "adam", 1, lr=1e-3, depth=1),
    check.Case("saddle", "alternating", "rmsprop", 30),
    check.Case("ridge", "simultaneous", "momentum", 30),
    check.Case("regression", "consensus", "rmsprop_tf1", 10),
]


def diagonal(*values: float) -> tuple[Spectrum, np.ndarray]:
    """Return the four leading eigenvalues of a map with these, and 40 small ones, and all of them."""
    truth = torch.tensor([*values, *torch.linspace(0.1, 0.5, 40)], dtype=torch.float64)
    return eigenvalues(LinearOperator(lambda u: truth * u, len(truth), kind="map"), 4), truth.numpy()


@pytest.mark.parametrize("case", SHORT, ids=lambda case: f"{case.game} {case.method} {case.base}")
def test_a_float32_run_has_the_spectrum_and_the_verdict_of_float64(case, capsys):
    wrong, out = check.check([case]), capsys.readouterr().out
    assert not wrong and "0 of 1 wrong" in out, out


def test_its_reference_is_the_derivative_by_central_differences():
    _, twin, batches = dataclasses.replace(SHORT[1], base="sgd").trained()
    matrix, w, h = check.dense(twin, check.widened(batches)), twin.game.vector(), 1e-6
    for i in range(0, len(w), 7):
        e = torch.zeros_like(w)
        e[i] = h
        ends = [twin.update(point, twin.state, *check.widened(batches))[0] for point in (w + e, w - e)]
        np.testing.assert_allclose(((ends[0] - ends[1]) / (2 * h)).numpy(), matrix[:, i], rtol=1e-6, atol=1e-8)


def test_it_notices_wrong_values_omissions_and_verdicts():
    s, truth = diagonal(0.95, 0.9, 0.8, 0.7)
    assert check.complaint(s, stability(s), truth, 0.0) == ""
    assert "off by" in check.complaint(s, stability(s), truth * 1.01, 0.0)
    assert "is missed by" in check.complaint(s, stability(s), np.append(truth, 1.2), 0.0)
    unsure = dataclasses.replace(s, doubt="One may be missing.")
    assert "called stable" in check.complaint(unsure, stability(s), np.append(truth, 1.2), 0.0)
    wrong = dataclasses.replace(stability(s), stable=False, repelling=1)
    assert "said to repel" in check.complaint(s, wrong, truth, 0.0)


def test_the_cases_are_different_and_go_over_every_base_rule_and_the_known_run():
    cases = check.cases(100)
    assert len(set(cases)) == 100 and {case.base for case in cases} == set(BASES)
    assert {(case.method, case.base) for case in cases} >= {(m, b) for m in check.METHODS for b in BASES}
    assert check.Case("ring8", "consensus", "rmsprop", 2500, seed=0, width=16, depth=4) in cases


def test_it_notices_second_moments_that_hide_a_spectrum(monkeypatch, capsys):
    """In float32, and in the coordinates of the memory as it is, rounding makes moduli of thousands."""

    def plain(optimizer, *batches):
        U = update_operator(optimizer, *batches, dtype=torch.float32)
        U.scales = None
        return U

    monkeypatch.setattr(check, "update_operator", plain)
    assert check.check([dataclasses.replace(SHORT[0], depth=2)]) == 1, capsys.readouterr().out
