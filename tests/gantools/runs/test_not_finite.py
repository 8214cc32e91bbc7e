"""Runs that meet NaN: where it arose, what is kept of it, what is said."""

import torch

import gantools as gt
from gantools.cli import main
from gantools.runs.training_loop import Trainer
from tests.runs import QUIET, RING, checkpoint, own_file, records


def run(path, *args, expect=0):
    assert main(["train", "--out", str(path), *args]) == expect


class TestNotFinite:
    def test_a_loss_that_becomes_nan(self, tmp_path, capsys):
        args = [f"{own_file(tmp_path)}:nan_later", *QUIET, "--optimizer", "simultaneous", "--checkpoint-every", "2"]
        run(tmp_path / "a", *args, "--steps", "20", expect=2)
        err = capsys.readouterr().err
        assert "field of player 'y' is NaN or infinite at step 5" in err and "step-00000004.pt" in err
        assert "Traceback" not in err and err.count("\n") == 1
        assert checkpoint(tmp_path / "a", 4)["parameters"]["x.w"].isfinite().all()
        assert [record["step"] for record in records(tmp_path / "a")] == [0, 1, 2, 3, 4]
        # Nothing is lost: the run opens, and it stops at the same step again.
        assert main(["spectrum", str(tmp_path / "a"), "--k", "2"]) == 0
        run(tmp_path / "a", "--resume", expect=2)
        assert "at step 5" in capsys.readouterr().err

    def test_before_any_checkpoint(self, tmp_path, capsys):
        args = [f"{own_file(tmp_path)}:nan_later", *QUIET, "--optimizer", "simultaneous"]
        run(tmp_path / "a", *args, expect=2)
        err = capsys.readouterr().err
        assert "before any checkpoint" in err and "loss of player 'y', forward through" in err and "own.py, line" in err
        # What there was before is opened all the same, and so is the batch.
        assert main(["spectrum", str(tmp_path / "a"), "--k", "2"]) == 0
        assert "step 5" in capsys.readouterr().out and gt.load(tmp_path / "a").game.vector().isfinite().all()
        ((batch,),) = torch.load(tmp_path / "a" / "not-finite" / "batch-step-00000005.pt")
        assert torch.equal(batch, torch.zeros(2))

    def test_the_state_before_is_a_point_beside_the_checkpoints(self, tmp_path, capsys):
        args = [f"{own_file(tmp_path)}:nan_later", *QUIET, "--optimizer", "simultaneous", "--checkpoint-every", "2"]
        run(tmp_path / "a", *args, expect=2)
        assert gt.load(tmp_path / "a").step == 4 and gt.load(tmp_path / "a").steps == [2, 4, 5]
        assert gt.load(tmp_path / "a", 5).step == gt.load(tmp_path / "a").at(5).step == 5
        # It is no checkpoint to go on from, and is set aside when the run goes on.
        run(tmp_path / "a", "--resume", "--steps", "5")
        assert gt.load(tmp_path / "a").steps == [2, 4, 5] and not list((tmp_path / "a" / "not-finite").iterdir())

    def test_data_that_is_not_finite(self, tmp_path, capsys):
        args = [f"{own_file(tmp_path)}:nan_in_data", *QUIET, "--optimizer", "simultaneous"]
        run(tmp_path / "a", *args, expect=2)
        err = capsys.readouterr().err
        assert "step 2: the data is not finite, batch[0]: 1 of 6 entry is NaN, the first at [1, 2]" in err
        assert "Mend the data" in err

    def test_a_finite_field_with_an_infinite_step(self, tmp_path, capsys):
        args = [f"{own_file(tmp_path)}:infinite_step", *QUIET, "--optimizer", "consensus", "--checkpoint-every", "1"]
        run(tmp_path / "a", *args, "--steps", "9", expect=2)
        assert "step of player 'model' is NaN or infinite at step 4" in capsys.readouterr().err
        assert all(t.isfinite().all() for t in checkpoint(tmp_path / "a", 4)["parameters"].values())

    def test_with_checks_held_back_as_on_a_gpu(self, tmp_path, monkeypatch, capsys):
        original = Trainer.__init__

        def lazy(self, *args):
            original(self, *args)
            self._check_every = 50

        monkeypatch.setattr(Trainer, "__init__", lazy)
        args = [f"{own_file(tmp_path)}:nan_later", *QUIET, "--log-every", "0", "--optimizer", "simultaneous"]
        run(tmp_path / "a", *args, "--steps", "20", "--checkpoint-every", "3", expect=2)
        assert "player 'y' is NaN or infinite at step 5" in capsys.readouterr().err
        assert [f.name for f in (tmp_path / "a/checkpoints").iterdir()] == ["step-00000003.pt"]

    def test_a_learning_rate_that_diverges(self, tmp_path, capsys):
        args = [*RING, *QUIET, "--optimizer", "simultaneous", "--optimizer.base", "sgd", "--optimizer.lr", "1e30"]
        run(tmp_path / "a", *args, "--steps", "50", "--checkpoint-every", "1", expect=2)
        err = capsys.readouterr().err
        assert "--optimizer.lr" in err
        for file in (tmp_path / "a" / "checkpoints").iterdir():
            assert all(t.isfinite().all() for t in torch.load(file, weights_only=True)["parameters"].values())
