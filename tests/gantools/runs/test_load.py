"""The run folder: what is written is whole, what is cut is cut everywhere, and `gt.load` opens it."""

import json
import os

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import gantools as gt
from gantools.cli import main
from gantools.data.random_state import random_state
from gantools.runs.record import write_record
from gantools.runs.store.atomic import write_atomically
from gantools.runs.store.folder import RunFolder
from gantools.runs.store.metrics import checked_line
from tests.game_oracles import finite_product, period_map, relative, state_vector
from tests.quick import few
from tests.runs import QUIET, RING, cheapen_looks, checkpoint, events, identical, own_file


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Steps 0..6, looked at and saved at every second one."""
    path = tmp_path_factory.mktemp("trained") / "run"
    args = [*RING, "--steps", "6", "--log-every", "1", "--spectrum-k", "2"]
    for flag in ("--sample-every", "--spectrum-every", "--checkpoint-every"):
        args += [flag, "2"]
    with pytest.MonkeyPatch.context() as patch:
        cheapen_looks(patch)
        assert main(["train", "--out", str(path), *args]) == 0
    return path


@pytest.fixture
def run(trained, tmp_path):
    import shutil

    return shutil.copytree(trained, tmp_path / "run")


class TestWhatARunHolds:
    def test_events(self, trained):
        scalars, images = events(trained)
        for tag in ("loss/generator", "loss/discriminator", "field_norm/generator", "field_norm/discriminator"):
            assert scalars[tag] == [0, 1, 2, 3, 4, 5]
        assert "step_seconds" in EventAccumulator(str(trained)).Reload().Tags()["scalars"]
        for tag in ("metrics/modes_covered", "game/jacobian/LM/spectral_radius", "game/jacobian/SR/min_real"):
            assert scalars[tag] == [0, 2, 4, 6]
        ends = {"game/jacobian/LR": [6], "game/update": [6]}
        assert images == dict.fromkeys(("samples", "game/jacobian/LM", "game/jacobian/SR"), [0, 2, 4, 6]) | ends
        assert scalars["game/jacobian/LR/max_real"] == scalars["game/update/spectral_radius"] == [6]
        # What a search does not answer is not logged.
        assert not {"game/jacobian/LM/min_real", "game/jacobian/SR/spectral_radius"} & set(scalars)

    def test_metrics_are_those_of_the_events(self, trained):
        seen = EventAccumulator(str(trained))
        seen.Reload()
        logged = [r["field_norm/generator"] for r in RunFolder(trained).metrics() if "field_norm/generator" in r]
        assert np.allclose([e.value for e in seen.Scalars("field_norm/generator")], logged, rtol=1e-6)

    @pytest.mark.slow
    def test_pictures(self, tmp_path, monkeypatch):
        monkeypatch.setattr("gantools.runs.training_loop.METRIC_SAMPLES", 64)
        assert main(["train", "--out", str(tmp_path / "run"), *RING, "--steps", "1", "--spectrum-k", "2"]) == 0
        pictures = [*(tmp_path / "run").glob("samples/*.png"), *(tmp_path / "run").glob("spectra/*.png")]
        assert len(pictures) >= 4
        for picture in pictures:
            with Image.open(picture) as image:
                assert min(image.size) > 200 and len(image.convert("L").getcolors()) > 10

    def test_words(self, trained):
        words = repr(gt.load(trained))
        assert "at step 6" in words and "ring8" in words and words.count("\n") < 6

    def test_numbers(self, trained):
        values = np.load(trained / "spectra" / "game-jacobian-LM-step-00000006.npz")["values"]
        assert 2 <= len(values) <= 3 and values.dtype == complex

    def test_checkpoints_are_plain(self, trained):
        saved = checkpoint(trained, 6)
        assert saved["step"] == 6
        assert all(isinstance(t, torch.Tensor) for part in ("parameters", "buffers") for t in saved[part].values())
        assert not list(trained.rglob(".part*"))

    def test_others_may_read_it(self, trained):
        """As the umask says: a temporary file's own permissions would shut out the rest of a group."""
        mask = os.umask(0)
        os.umask(mask)
        for file in (trained / "config.json", trained / "checkpoints" / "step-00000006.pt"):
            assert file.stat().st_mode & 0o777 == 0o666 & ~mask


class TestCut:
    def test_everything_at_and_after_the_step(self, run):
        folder = RunFolder(run)
        folder.cut_after(4)
        assert {r["step"] for r in folder.metrics()} == {0, 1, 2, 3}
        scalars, images = events(run)
        assert scalars["loss/generator"] == [0, 1, 2, 3] and scalars["metrics/recall"] == [0, 2]
        assert images == dict.fromkeys(("samples", "game/jacobian/LM", "game/jacobian/SR"), [0, 2])
        assert folder.steps() == [2, 4]
        for kind in ("samples", "spectra"):
            assert {f.name[-12:-4] for f in (run / kind).iterdir()} == {"00000000", "00000002"}

    def test_at_zero_nothing_is_left(self, run):
        folder = RunFolder(run)
        folder.cut_after(0)
        assert folder.metrics() == [] and folder.steps() == [] and events(run) == ({}, {})
        assert not [*(run / "samples").iterdir(), *(run / "spectra").iterdir()]

    def test_twice_is_once(self, run):
        RunFolder(run).cut_after(3)
        before = {f: f.read_bytes() for f in run.rglob("*") if f.is_file()}
        RunFolder(run).cut_after(3)
        assert before == {f: f.read_bytes() for f in run.rglob("*") if f.is_file()}

    @pytest.mark.parametrize(
        "end", [b'{"step": 5, "loss', b'{"step": 5}', b"\0\0\0\n", b"\xff\xfe\n", b"[3]\n", b"7\n"]
    )
    def test_a_half_written_line(self, run, end):
        folder = RunFolder(run)
        whole = folder.metrics()
        with folder.metrics_path.open("ab") as file:
            file.write(end)
        assert folder.metrics() == whole
        folder.cut_after(7)
        assert folder.metrics() == whole and folder.metrics_path.read_bytes().endswith(b"}\n")
        with folder.metrics_path.open("ab") as file:
            file.write(checked_line(folder.lines, {"step": 7}))
        assert folder.metrics() == [*whole, {"step": 7}]

    @pytest.mark.slow
    @pytest.mark.parametrize("damage", ["half a record", "a few bytes", "zeros"])
    def test_a_half_written_event(self, run, damage):
        (path,) = run.glob("events.out.tfevents.*")
        data, before = path.read_bytes(), events(run)
        half = data[len(data) // 2 : len(data) // 2 + 99]
        path.write_bytes(data + {"half a record": data[:30], "a few bytes": half[:7], "zeros": b"\0" * 64}[damage])
        RunFolder(run).cut_after(7)
        assert events(run) == before
        (aside,) = run.glob("set-aside/*/events.out.events-set-aside.*")
        assert aside.read_bytes().startswith(data)

    def test_resuming_shows_each_step_once(self, run, monkeypatch):
        cheapen_looks(monkeypatch)
        before = events(run)
        (run / "checkpoints" / "step-00000006.pt").unlink()
        assert main(["train", "--resume", "--out", str(run)]) == 0
        assert len(list(run.glob("events.out.tfevents.*"))) == 2
        assert events(run) == before


class TestAtomicWrites:
    @pytest.mark.parametrize("broken", ["os.fsync", "os.replace", "os.open"])
    def test_the_old_file_stays(self, tmp_path, monkeypatch, broken):
        path = tmp_path / "x"
        write_atomically(path, b"old")

        def fail(*args, **kwargs):
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(f"gantools.runs.store.atomic.{broken}", fail)
        with pytest.raises(OSError, match="No space"):
            write_atomically(path, b"new")
        monkeypatch.undo()
        assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]

    def test_nobody_sees_half_of_it(self, tmp_path, monkeypatch):
        path, seen = tmp_path / "x", []
        write_atomically(path, b"old")
        monkeypatch.setattr("gantools.runs.store.atomic.os.fsync", lambda number: seen.append(path.read_bytes()))
        write_atomically(path, b"new")
        assert seen[0] == b"old" and path.read_bytes() == b"new"


class TestLoad:
    def test_what_a_run_gives(self, trained):
        run = gt.load(trained)
        assert (run.step, run.steps) == (6, [2, 4, 6])
        assert run.game.num_parameters == 39 and isinstance(run.optimizer, gt.trainers.Consensus)
        saved = checkpoint(trained, 6)
        named = {name: p.detach() for name, p in run.game.named_parameters().items()}
        assert identical(named, saved["parameters"])
        assert identical(run.optimizer.state_dict(), saved["optimizer"])
        assert run.batches[3]["real"].shape == (8, 2) and len(list(run.batches)) == len(run.batches) == 10
        assert run.game.field(run.batches).shape == (39,)

    def test_going_on_by_hand_is_what_training_did(self, trained):
        run = gt.load(trained, step=4)
        for index in (4, 5):
            run.optimizer.step(run.batches[index])
        assert gt.load(trained).game.vector().equal(run.game.vector())

    def test_another_checkpoint(self, trained):
        run = gt.load(trained)
        at = run.at(2)
        assert at.step == 2 and not at.game.vector().equal(gt.load(trained).game.vector())
        assert at.game.vector().equal(gt.load(trained, step=2).game.vector())
        assert run.at(6).game.vector().equal(gt.load(trained).game.vector())
        with pytest.raises(gt.GantoolsError, match="no checkpoint of step 3: it has 2, 4, 6"):
            run.at(3)
        with pytest.raises(gt.GantoolsError, match="no checkpoint of step 99"):
            gt.load(trained, step=99)

    def test_the_optimizer_is_built_where_it_is_asked_for(self, trained):
        run = gt.load(trained)
        assert "optimizer" not in vars(run.experiment)
        for step in (2, 6):
            run = run.at(step)
            assert identical(run.optimizer.state_dict(), checkpoint(trained, step)["optimizer"])

    def test_samples(self, trained):
        run = gt.load(trained)
        assert run.sample(5).shape == (5, 2) and run.sample(5).equal(run.sample(5))
        assert not run.sample(5, seed=1).equal(run.sample(5))
        # The latents are the same; a product of 700 rows may round otherwise than one of 5.
        torch.testing.assert_close(run.sample(700)[:5], run.sample(5))

    def test_leaves_the_global_random_state_and_the_files_alone(self, trained):
        before = random_state()
        files = {f: f.stat().st_mtime_ns for f in trained.rglob("*")}
        run = gt.load(trained)
        run.at(2).sample(3), run.at(4), list(run.batches)
        assert identical(random_state(), before)
        assert files == {f: f.stat().st_mtime_ns for f in trained.rglob("*")}

    @pytest.mark.parametrize("function", few(["augmented", "own_generator", "batch_norm", "gan", "one_batch"], 2))
    def test_a_users_own_game(self, tmp_path, function):
        args = [f"{own_file(tmp_path)}:{function}", *QUIET, "--optimizer", "simultaneous", "--checkpoint-every", "2"]
        assert main(["train", *args, "--steps", "5", "--out", str(tmp_path / "a")]) == 0
        before = random_state()
        run = gt.load(tmp_path / "a")
        assert run.steps == [2, 4, 5] and run.at(4).step == 4
        spectrum = gt.analysis.eigenvalues(gt.analysis.jacobian(run.game, run.batches), k=2)
        assert len(spectrum) >= 2
        assert identical(random_state(), before)
        again = gt.load(tmp_path / "a", step=4)
        assert again.game.field(again.batches).equal(run.game.field(run.batches))

    def test_the_same_analysis_batch_whenever_it_is_opened(self, tmp_path):
        args = [f"{own_file(tmp_path)}:augmented", *QUIET, "--optimizer", "simultaneous", "--steps", "3"]
        assert main(["train", *args, "--out", str(tmp_path / "a")]) == 0
        batches = [gt.load(tmp_path / "a").experiment.analysis_batch() for _ in range(2)]
        assert identical(*batches)

    def test_no_checkpoint_yet(self, tmp_path):
        assert main(["train", *RING, *QUIET, "--steps", "0", "--out", str(tmp_path / "a")]) == 0
        (tmp_path / "a" / "checkpoints" / "step-00000000.pt").unlink()
        with pytest.raises(gt.GantoolsError, match="holds no checkpoint yet"):
            gt.load(tmp_path / "a")

    def test_a_device_that_is_not_there(self, run):
        content = json.loads((run / "config.json").read_text())
        content["config"]["device"] = "cuda:99"
        write_record(run / "config.json", content)
        with pytest.raises(gt.GantoolsError, match="try cpu"):
            gt.load(run)
        assert gt.load(run, device="cpu").step == 6


@pytest.fixture(scope="module")
def adam(tmp_path_factory):
    path = tmp_path_factory.mktemp("adam") / "run"
    args = [*RING, *QUIET, "--steps", "6", "--checkpoint-every", "3", "--average", "ema"]
    args += ["--optimizer", "alternating", "--optimizer.base", "adam"]
    assert main(["train", "--out", str(path), *args]) == 0
    return path


class TestDouble:
    def test_everything_is_in_float64_and_the_numbers_are_those_of_the_run(self, adam):
        run = gt.load(adam)
        wide, state = run.double(), run.optimizer.state_dict()
        assert wide.game.dtype == torch.float64 and run.game.dtype == torch.float32
        assert torch.equal(wide.game.vector(), run.game.vector().double())
        for name, value in wide.optimizer.state.memory.items():
            assert value.dtype == torch.float64 and torch.equal(value, run.optimizer.state.memory[name].double())
        assert wide.optimizer.state.counters == run.optimizer.state.counters
        assert torch.equal(wide.experiment.average.vector, run.experiment.average.vector.double())
        pairs = [(wide.batches[3], run.batches[3]), *zip(wide.batches, run.batches, strict=True)]
        pairs.append((wide.experiment.analysis_batch(), run.experiment.analysis_batch()))
        for ours, theirs in pairs:
            assert all(torch.equal(ours[key], value.double()) for key, value in theirs.items())
            assert {value.dtype for value in ours.values()} == {torch.float64}
        torch.testing.assert_close(wide.sample(3).float(), run.sample(3))
        wide.optimizer.step(wide.batches[6])
        assert identical(state, run.optimizer.state_dict())

    def test_the_update_operator_is_the_derivative_of_its_own_step(self, adam):
        run = gt.load(adam)
        wide = run.double()
        batch = wide.batches[6]
        U = gt.analysis.update_operator(wide.optimizer, batch)
        z = state_vector(wide.game, wide.optimizer)
        rng = torch.Generator().manual_seed(0)
        u = U.scales * torch.randn(U.n, generator=rng, dtype=torch.float64)
        for name in ("generator:exp_avg_sq", "discriminator:exp_avg_sq"):  # not below zero
            u[U.slices[name]] = z[U.slices[name]]
        expected = finite_product(period_map(wide.optimizer, [batch]), z, u, 1e-4)
        assert relative((U @ u) / U.scales, expected / U.scales) < 1e-6
        ours = gt.analysis.update_operator(run.optimizer, run.batches[6], dtype=torch.float64)
        torch.testing.assert_close(ours.dense(), U.dense(), rtol=1e-12, atol=1e-14)

    def test_another_checkpoint_of_it_is_in_float64_too(self, adam):
        wide = gt.load(adam).double().at(3)
        assert wide.step == 3 and wide.game.dtype == torch.float64
        assert torch.equal(wide.game.vector(), gt.load(adam, 3).game.vector().double())

    def test_a_game_of_the_users_own(self, tmp_path):
        path = tmp_path / "own"
        for name in ("batch_norm", "gan", "one_batch"):
            args = ["--steps", "2", *QUIET, "--optimizer", "simultaneous"]
            assert main(["train", f"{own_file(tmp_path)}:{name}", "--out", str(path / name), *args]) == 0
            run = gt.load(path / name)
            state = random_state()
            wide = run.double()
            assert identical(state, random_state())
            assert torch.equal(wide.game.vector(), run.game.vector().double())
            field = wide.game.field(wide.experiment.first)
            assert field.dtype == torch.float64
            torch.testing.assert_close(field.float(), run.game.field(run.experiment.first), rtol=1e-4, atol=1e-6)

    def test_a_loss_of_one_precision_is_refused(self, tmp_path):
        text = (
            "import torch\nfrom torch import nn\nimport gantools as gt\n\n\ndef build():\n"
            "    fixed = torch.ones(1, 3)\n"
            "    game = gt.minimization(nn.Linear(2, 3), lambda m, x: (m(x) @ fixed.T).square().mean())\n"
            "    return game, torch.ones(4, 2)\n"
        )
        (tmp_path / "one.py").write_text(text)
        path = tmp_path / "run"
        assert main(["train", f"{tmp_path / 'one.py'}:build", "--out", str(path), "--steps", "1", *QUIET]) == 0
        with pytest.raises(gt.GantoolsError, match="does not compute in float64"):
            gt.load(path).double()
