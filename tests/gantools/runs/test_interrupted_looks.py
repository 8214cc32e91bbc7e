"""Looks of a training run that are interrupted, or left out because they would take long."""

import os
import signal

import pytest

from gantools import analysis
from gantools.runs import looks, training_loop
from tests.gantools.runs.test_training_loop import assert_same_run, run
from tests.quick import few
from tests.runs import RING, cheapen_looks, records


@pytest.fixture(autouse=True)
def cheap_looks(monkeypatch):
    cheapen_looks(monkeypatch)


@pytest.mark.parametrize("step", few([0, 4, 8], 1))
def test_a_signal_interrupts_a_look_and_the_run_goes_on(tmp_path, monkeypatch, capsys, step):
    args = [*RING, "--log-every", "1", "--sample-every", "2", "--spectrum-every", "2", "--spectrum-k", "2"]
    run(tmp_path / "whole", *args, "--steps", "8")
    whole, original = looks.spectra, analysis.eigenvalues

    def interrupted(experiment, now, *more):
        def killed(*args, **kwargs):
            os.kill(os.getpid(), signal.SIGINT)
            return original(*args, **kwargs)

        with monkeypatch.context() as patch:
            if now == step:
                patch.setattr(analysis, "eigenvalues", killed)
            return whole(experiment, now, *more)

    with monkeypatch.context() as patch:
        patch.setattr(looks, "spectra", interrupted)
        capsys.readouterr()
        run(tmp_path / "cut", *args, "--steps", "8", expect=130)
    told = capsys.readouterr().out
    assert (
        f"Interrupted: the eigenvalues of step {step} are left out" in told
        and f"Stopped: {min(step + 1, 8)} steps" in told
    )
    run(tmp_path / "cut", "--resume")
    if step == 8:  # saved before it was looked at, so that the look is made again
        assert_same_run(tmp_path / "whole", tmp_path / "cut", 8)
    a, b = ([r for r in records(tmp_path / name) if not any("game/" in key for key in r)] for name in ("whole", "cut"))
    assert a == b  # losses and metrics of every step, once each


def test_a_signal_while_the_step_is_looked_at(tmp_path, monkeypatch, capsys):
    def killed(*_):
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(looks, "step_spectrum", killed)
    run(tmp_path / "a", *RING, "--spectrum-every", "2", "--spectrum-k", "2", "--steps", "2", expect=130)
    told = capsys.readouterr().out
    assert "Interrupted before the step itself was looked at." in told and "  spectrum " in told


def test_a_first_look_that_would_take_long_is_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(training_loop, "INITIAL_SECONDS", 0.0)
    run(tmp_path / "a", *RING, "--spectrum-every", "2", "--spectrum-k", "2", "--steps", "4")
    told = " ".join(capsys.readouterr().out.split())
    assert "No spectrum of step 0: it would take about" in told and "The next is due at step 2;" in told
    looked = {record["step"] for record in records(tmp_path / "a") if any("min_real" in name for name in record)}
    assert looked == {2, 4}
