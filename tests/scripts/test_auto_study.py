"""The study of `auto`: its cells are runs that can be configured, and its verdict compares with the grid's median."""

import dataclasses

import auto
import pytest

from gantools.cli.flags import parse_train


@pytest.mark.parametrize("form", [auto.STUDY, auto.DIGITS], ids=["ring8", "digits"])
def test_every_cell_is_a_run_that_can_be_configured(form, monkeypatch, tmp_path):
    seen = []

    class Run:
        def metrics(self):
            return []

    monkeypatch.setattr(auto.study, "train_gan", lambda args, folder: (seen.append(args) or Run(), {"auto/rate": 2.0}))
    for name in [*form.cells][::2]:
        assert auto.run(dict(form.cells[name]), 3, tmp_path) == {"rate": 2.0, "curves": {"step": []}}
    for args in seen:
        config = parse_train(list(args)).config
        assert config.seed == 3 and config.spectrum_every == 0 and config.data.name in ("ring8", "digits")
    first = parse_train(seen[0]).config.optimizer
    assert first.name == "auto" and first.settings["lr"] == 1e-4 and first.settings["gamma"] == 1.0


def test_the_grid_has_twenty_settings_by_hand():
    settings = {(c["--optimizer.lr"], c["--optimizer.gamma"]) for n, c in auto.DIGITS.cells.items() if n != "auto"}
    assert len(settings) == 20 and len(auto.DIGITS.cells) == 21


def result(form, values):
    form = dataclasses.replace(form, seeds=[0], cells={name: form.cells[name] for name in values})
    return auto.study.Results(form, {name: {0: value} for name, value in values.items()})


def test_the_verdict_compares_with_the_median_and_failed_runs_are_the_worst():
    names = list(auto.DIGITS.cells)[:4]
    rows = [(0.30, 0.05), (0.28, 0.06), (0.40, 0.02)]
    values = {n: {"coverage": c, "kernel_distance": k} for n, (c, k) in zip(names[:3], rows, strict=True)}
    values[names[3]] = {"failed": "NaN"}
    one, coverage, distance = auto.verdict(result(auto.DIGITS, values))
    assert "no claim follows" in one
    assert "0.3, is no worse than the median of the grid, 0.28; it is better than 2 of the 3" in coverage
    assert "best has 0.4." in coverage
    assert "0.05, is no worse than the median of the grid, 0.06; it is better than 2 of the 3" in distance
    values["auto"]["kernel_distance"] = 0.5
    assert "0.5, is worse than" in auto.verdict(result(auto.DIGITS, values))[2]
    ring, *_ = auto.verdict(result(auto.STUDY, {"auto": {"modes_covered": 8.0, "least modes": 7.0}}))
    assert "8 of 8 modes in 1 of 1 seeds" in ring and "second half of the steps in 0" in ring
