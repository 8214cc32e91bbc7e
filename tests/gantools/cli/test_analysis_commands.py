"""`gantools spectrum`, `index`, `density` and `path`: what they print, draw and keep."""

import dataclasses
import re
import time

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from gantools import analysis
from gantools.analysis import LinearOperator
from gantools.analysis.estimates.quadrature.plan import split_products
from gantools.analysis.estimates.quadrature.recurrence import ProbeRecurrence
from gantools.analysis.krylov.basis import KrylovBasis
from gantools.cli import main
from gantools.cli.analysed import tell_duration
from gantools.runs.store import progress
from tests.runs import fails, own_file, run_ok

pytestmark = pytest.mark.usefixtures("in_a_folder_of_its_own")


class TestSpectrum:
    def test_of_a_run(self, capsys, run):
        out = run_ok(capsys, "spectrum", run, "--k", "4", "--which", "LR")
        assert "run, step 4: 39 parameters" in out and "residual" in out and out.count("yes") >= 4
        assert "This holds among those computed" in out
        (name,) = {f.stem for f in (run / "analysis").glob("*.np?")}
        numbers = np.load(run / "analysis" / f"{name}.npz")
        shown = [complex(m.replace("i", "j")) for m in re.findall(r"^ *([+-]\S+i) ", out, re.M)]
        assert np.allclose(shown, numbers["values"], rtol=1e-5)
        assert (run / "analysis" / f"{name}.png").stat().st_size > 1000
        assert list((run / "analysis").glob("events.out.tfevents.*"))

    def test_all_of_them_at_every_checkpoint(self, capsys, run):
        out = run_ok(capsys, "spectrum", run, "--k", "0", "--checkpoint", "all", "--lr", "0.1")
        assert "step 2: " in out and "step 4: " in out
        for step in (2, 4):
            assert len(np.load(run / "analysis" / f"analysis-jacobian-all-step-{step:08d}.npz")["values"]) == 39

    def test_of_a_file_without_touching_a_run(self, capsys, tmp_path):
        own_file(tmp_path)
        first = run_ok(capsys, "spectrum", "own.py:batch_norm", "--k", "3", "--out", "here")
        assert (
            "hessian" in first and (tmp_path / "here" / "analysis-own.batch_norm-hessian-LM-step-00000000.png").exists()
        )
        # The weights are drawn from the global generator: seeded, the same each time.
        second = run_ok(capsys, "spectrum", "own.py:batch_norm", "--k", "3", "--out", "here")
        assert first == second

    def test_none_converged(self, capsys, run, monkeypatch):

        from gantools import analysis

        original = analysis.eigenvalues

        def unconverged(*args, **kwargs):
            result = original(*args, **kwargs)
            return dataclasses.replace(result, converged=torch.zeros_like(result.converged))

        monkeypatch.setattr(analysis, "eigenvalues", unconverged)
        assert "no verdict" in run_ok(capsys, "spectrum", run, "--k", "3")

    def test_of_a_part(self, capsys, run):
        out = run_ok(capsys, "spectrum", run, "--part", "discriminator.*weight")
        assert "12 parameters" in out and "analysis-hessian-discriminator.%2Aweight-all-" in out
        assert "Unknown part 'nobody'" in fails(capsys, "spectrum", run, "--part", "nobody")

    def test_options_reach_the_solver(self, capsys, run, monkeypatch):
        seen, original = [], analysis.eigenvalues
        monkeypatch.setattr(analysis, "eigenvalues", lambda *a, **kw: seen.append((a[1], kw)) or original(*a, **kw))
        words = ["--k", "3", "--which", "LR", "--basis", "21", "--block", "2", "--storage", "host", "--verify"]
        run_ok(capsys, "spectrum", run, *words)
        ((k, given),) = seen
        assert k == 3 and callable(given.pop("progress"))
        assert given.pop("tol") == 1e-6 and given.pop("store") is None
        assert given == {"which": "LR", "basis": 21, "block": 2, "storage": "host", "verify": True}
        assert "too small" in fails(capsys, "spectrum", run, "--k", "3", "--basis", "4")

    @pytest.mark.parametrize(
        ("store", "more", "sentence"),
        [
            ("no/basis.pt", [], "folder that exists"),
            (".", [], "must be a file"),
            ("run/config.json", [], "holds no basis"),
            ("run/checkpoints", [], "must be a file"),
            ("basis.pt", ["--checkpoint", "all"], "one point"),
            ("basis.pt", ["--k", "0"], "no basis to --store"),
        ],
    )
    def test_a_store_that_cannot_be(self, capsys, run, store, more, sentence):
        assert sentence in " ".join(fails(capsys, "spectrum", run, "--k", "3", "--store", store, *more).split())

    def test_an_interrupted_search_goes_on(self, capsys, run, tmp_path, monkeypatch):
        store, original, count = tmp_path / "basis.pt", KrylovBasis.expand, iter(range(100))

        def interrupted(basis):
            if next(count) == 9:
                raise KeyboardInterrupt
            original(basis)

        with monkeypatch.context() as patch:
            patch.setattr(KrylovBasis, "expand", interrupted)
            err = fails(capsys, "spectrum", run, "--k", "3", "--store", store, code=130)
        assert "the same command goes on from it" in " ".join(err.split()) and store.exists()
        out = run_ok(capsys, "spectrum", run, "--k", "3", "--store", store)
        assert "Converged" in out and not store.exists()

    def test_progress_is_told_where_it_takes_long(self, capsys, run, monkeypatch):
        monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
        assert main(["spectrum", str(run), "--k", "3"]) == 0
        lines = capsys.readouterr().err.splitlines()
        # Of 39 parameters: a basis of 26 vectors, 50 times as many products.
        found = [
            re.fullmatch(r"(\d+) of at most 1300 products, at most \d+ .*left, \d of 3 converged", s) for s in lines
        ]
        assert any(found) and [int(m[1]) for m in found if m] == sorted(int(m[1]) for m in found if m)


class TestIndex:
    def test_of_a_run(self, capsys, run):
        out = run_ok(capsys, "index", run, "--checkpoint", "2")
        assert "run, step 2: 39 parameters" in out
        for words in ("Hessian of generator (22 parameters)", "Hessian of discriminator (17", "half planes"):
            assert words in out
        fractions = [float(x) for x in re.findall(r"^  (?:negative|zero|positive) +(\S+)", out, re.M)]
        assert np.allclose(np.reshape(fractions, (3, 3)).sum(1), 1, atol=2e-4)

    def test_of_a_file(self, capsys, tmp_path):
        own_file(tmp_path)
        out = run_ok(capsys, "index", "own.py:shuffled", "--method", "estimate", "--probes", "4")
        assert "Hessian of model (21 parameters)" in out and "95 % interval" in out and "half planes" not in out

    @pytest.mark.slow
    def test_the_curve_is_drawn_and_kept(self, capsys, run, tmp_path):
        out = " ".join(run_ok(capsys, "index", run, "--out", tmp_path / "here").split())
        for player in ("generator", "discriminator"):
            file = tmp_path / "here" / f"analysis-index-{player}-exact-step-00000004.png"
            assert file.exists() and str(file) in out
            curve = np.load(file.with_suffix(".npz"))
            assert (np.diff(curve["tolerance"]) > 0).all() and curve["negative"].shape == (len(curve["tolerance"]), 2)
        log = EventAccumulator(str(tmp_path / "here")).Reload()
        assert {"analysis/index-generator-exact", "analysis/index-discriminator-exact"} <= set(log.Tags()["images"])
        tags = [f"analysis/index-generator-exact/{name}" for name in ("negative", "zero", "positive")]
        assert sum(log.Scalars(tag)[-1].value for tag in tags) == pytest.approx(1)

    @pytest.mark.parametrize("given", [(), ("--probes", "3"), ("--lanczos-steps", "7")])
    @pytest.mark.slow
    def test_the_estimate_is_split_as_in_the_library(self, capsys, tmp_path, given):
        """Ten probes of few steps, a former default, gave intervals ten times as wide as one probe of many."""
        own_file(tmp_path)
        out = " ".join(run_ok(capsys, "index", "own.py:one_batch", "--method", "estimate", *given).split())
        asked = {"--probes": None, "--lanczos-steps": None} | dict(zip(given[::2], map(int, given[1::2]), strict=True))
        probes, steps = split_products(21, asked["--probes"], asked["--lanczos-steps"])
        made = re.search(rf"estimated from {probes} probes? of (\d+) steps", out)
        assert made and 0 < int(made[1]) <= min(steps, 21) and (steps > 21 or int(made[1]) == steps)

    @pytest.mark.slow
    def test_of_a_game_beyond_the_whole_matrix(self, capsys, run):
        out = " ".join(run_ok(capsys, "index", run, "--max-exact", "22").split())
        planes = out.partition("half planes")[2]
        assert out.count("95 % interval") == 0 and planes.count("between [") == 3
        assert "of 39 eigenvalues" in planes and "(Bendixson)" in planes and "not counted" not in out
        exact = run_ok(capsys, "index", run, "--max-exact", "22", "--method", "exact")
        assert "between [" not in exact

    @pytest.mark.slow
    def test_at_the_stationary_point(self, capsys, tmp_path):
        own_file(tmp_path)
        out = " ".join(run_ok(capsys, "index", "own.py:one_batch", "--stationary").split())
        before = float(re.search(r"norm of the field (\S+) The norm", out)[1])
        start, end = (float(x) for x in re.search(r"goes from (\S+) to (\S+) over a distance of", out).groups())
        there = float(re.search(r"The norm of the field here is (\S+)\. ", out)[1])
        assert start == pytest.approx(before) and end < 1e-2 * start
        assert there == pytest.approx(end, rel=1e-2)

    @pytest.mark.slow
    def test_steps_to_the_stationary_point(self, capsys, run):
        out = run_ok(capsys, "index", run, "--stationary", "--stationary-steps", "1", "--checkpoint", "all")
        assert out.count("within max_steps = 1") == 2 and out.count("half planes") == 2
        assert "allow no step" in fails(capsys, "index", run, "--stationary", "--stationary-steps", "-1")

    def test_no_other_function_method_or_selection_overwrites_it(self, capsys, tmp_path):
        own_file(tmp_path)
        for words in (["own.py:one_batch"], ["own.py:batch_norm"], ["own.py:one_batch", "--tol", "0.1"]):
            run_ok(capsys, "index", *words, "--out", "here")
        run_ok(capsys, "index", "own.py:one_batch", "--method", "estimate", "--probes", "2", "--out", "here")
        assert len(list((tmp_path / "here").glob("*.png"))) == 4
        images = EventAccumulator(str(tmp_path / "here")).Reload().Tags()["images"]
        assert len(images) == 4 and "analysis/own.batch_norm-index-model-exact" in images

    @pytest.mark.slow
    def test_interrupted_it_tells_what_the_steps_tell_and_goes_on(self, capsys, tmp_path, monkeypatch):
        own_file(tmp_path)
        original, count = ProbeRecurrence._step, iter(range(100))

        def interrupted(recurrence, out):
            if next(count) == 5:
                raise KeyboardInterrupt
            original(recurrence, out)

        words = ["index", "own.py:one_batch", "--method", "estimate", "--probes", "1", "--keep", "--out", "here"]
        monkeypatch.setattr(ProbeRecurrence, "_step", interrupted)
        assert main([*words, "--lanczos-steps", "15"]) == 130
        told = capsys.readouterr()
        assert "1 probe of 5 steps so far, interrupted" in " ".join(told.out.split())
        assert "The same command goes on from" in told.err and list(
            (tmp_path / "here").glob("own.one_batch-index-*.pt")
        )
        out = run_ok(capsys, *words, "--lanczos-steps", "15")
        assert "1 probe of 15 steps;" in " ".join(out.split()) and next(count) == 5 + 1 + 10

    def test_what_takes_minutes_is_said_beforehand(self, capsys):
        def slow(u):
            time.sleep(0.05)
            return u

        tell_duration(LinearOperator(slow, 50), 3000, "rest")
        assert re.search(r"3000 products, which take about \d+ min", " ".join(capsys.readouterr().err.split()))
        tell_duration(LinearOperator(lambda u: u, 50), 3000, "rest")
        tell_duration(LinearOperator(slow, 50), 50, "rest")
        assert capsys.readouterr().err == ""

    def test_checkpoint_of_a_file(self, capsys, tmp_path):
        own_file(tmp_path)
        assert "--checkpoint is for runs" in fails(capsys, "index", "own.py:gan", "--checkpoint", "all")

    def test_products_are_told_with_the_time_left(self, capsys, monkeypatch):
        monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
        shown = progress.ProductProgress()
        for made in (10, 60):
            shown(made, 110)
        shown.close()
        assert re.fullmatch(r"60 of 110 products, about 0\.0 min left\n", capsys.readouterr().err)


class TestDensity:
    def test_of_a_run(self, capsys, run, tmp_path):
        out = run_ok(capsys, "density", run, "--probes", "2", "--lanczos-steps", "5", "--out", tmp_path / "here")
        for words in ("Hessian of generator", "of 22 eigenvalues", "2 probes of 5 steps (12 products)", "Ritz values"):
            assert words in " ".join(out.split())
        found = np.load(tmp_path / "here" / "analysis-density-generator-step-00000004.npz")
        assert found["nodes"].shape == (2, 5) and (found["lower"] <= found["upper"]).all()
        assert np.load(tmp_path / "here" / "analysis-ritz-values-step-00000004.npz")["values"].shape == (4, 39)
        images = EventAccumulator(str(tmp_path / "here")).Reload().Tags()["images"]
        assert {"analysis/density-generator", "analysis/density-discriminator", "analysis/ritz-values"} == set(images)

    def test_of_a_model(self, capsys, tmp_path):
        own_file(tmp_path)
        out = run_ok(capsys, "density", "own.py:one_batch", "--out", tmp_path / "here")
        assert "Hessian of model" in out and "Ritz" not in out
        for flag in ("--probes", "--lanczos-steps", "--starts"):
            assert f"{flag} is 0" in fails(capsys, "density", "own.py:one_batch", flag, "0")
        (tmp_path / "file").write_text("")
        assert "cannot be written" in fails(capsys, "density", "own.py:one_batch", "--out", tmp_path / "file")


class TestPath:
    def test_between_two_checkpoints(self, capsys, run):
        out = run_ok(capsys, "path", run, "--points", "13")
        assert "run, from step 2 to step 4" in out and "in 39 dimensions, 13 points" in out
        first = np.load(run / "analysis" / "analysis-path-2-step-00000004.npz")
        assert (run / "analysis" / "analysis-path-2-step-00000004.png").exists()
        assert first["cosine"].shape == (13,) and np.isfinite(first["norm generator"]).all()
        run_ok(capsys, "path", run, "--from", "4", "--to", "2", "--points", "13")
        back = np.load(run / "analysis" / "analysis-path-4-step-00000002.npz")
        np.testing.assert_allclose(back["norm"], first["norm"][::-1], rtol=1e-4)
        np.testing.assert_allclose(back["cosine"], -first["cosine"][::-1], atol=1e-3)
