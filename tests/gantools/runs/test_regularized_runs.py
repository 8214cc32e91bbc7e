"""Runs with regularizers: stopped and resumed they equal the run never stopped, and what is looked at is what ran."""

import dataclasses

import pytest
import torch

import gantools as gt
from gantools.cli import main
from gantools.regularizers import REGULARIZERS
from gantools.runs.config import Choice, TrainConfig
from gantools.runs.experiment import build
from gantools.runs.load import Run, load
from gantools.runs.looks import spectra
from gantools.runs.store.checkpoint import load_checkpoint, read_checkpoint, save_checkpoint
from gantools.runs.store.folder import RunFolder
from gantools.schedules import Linear
from tests.quick import few
from tests.runs import QUIET, RING, checkpoint, identical, records

METHODS = [["consensus", "--optimizer.gamma", "0.5"], ["simultaneous", "--optimizer.base", "adam"]]


@pytest.mark.parametrize("name", few(REGULARIZERS, 2))
@pytest.mark.parametrize("method", few(METHODS, 1), ids=lambda method: method[0])
def test_every_regularizer_resumes_bit_for_bit(tmp_path, name, method):
    words = [*RING, *QUIET, "--optimizer", *method, "--regularizer", name, "--checkpoint-every", "2"]
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    assert main(["train", *words, "--steps", "6", "--out", str(straight)]) == 0
    assert main(["train", *words, "--steps", "4", "--out", str(stopped)]) == 0
    assert main(["train", "--resume", "--steps", "6", "--out", str(stopped)]) == 0
    assert identical(checkpoint(straight, 6), checkpoint(stopped, 6))
    assert records(straight) == records(stopped)
    assert not identical(checkpoint(straight, 6)["parameters"], checkpoint(straight, 4)["parameters"])
    run = load(straight, step=4)
    gt.analysis.update_operator(run.optimizer, run.batches[4])
    assert gt.analysis.jacobian(run.game, run.experiment.analysis_batch()).dense().isfinite().all()
    state = dataclasses.replace(run.optimizer.state, buffers=run.game.buffers())
    w, _ = run.optimizer.update(run.game.vector(), state, run.batches[4])
    run.optimizer.step(run.batches[4])
    assert torch.equal(run.game.vector(), w)


def scheduled(optimizer="simultaneous", **settings):
    return TrainConfig(
        Choice(optimizer, {"lr": 1e-3, **settings}),
        data=Choice("ring8"),
        network=Choice("mlp", {"width": 4, "depth": 1}),
        regularizers=(
            Choice("r1", {"gamma": Linear(2.0, 0.5, 6)}),
            Choice("instance_noise", {"std": Linear(0.5, 0.0, 6)}),
            Choice("wgan_gp"),
        ),
        latent_size=2,
        batch_size=8,
        device="cpu",
    )


@pytest.mark.parametrize(("optimizer", "settings"), [("simultaneous", {}), ("alternating", {"n_d": 3})])
def test_a_schedule_goes_on_where_it_was(tmp_path, optimizer, settings):
    config = scheduled(optimizer, **settings)

    def walk(experiment, count):
        for _ in range(count):
            experiment.optimizer.step(*experiment.stream.take(experiment.optimizer.batches_per_step))

    straight, first, second = (build(config) for _ in range(3))
    walk(straight, 6)
    walk(first, 4)
    save_checkpoint(tmp_path / "c.pt", 4, first)
    load_checkpoint(tmp_path / "c.pt", read_checkpoint(tmp_path / "c.pt"), second)
    assert all(batch["step"] == 4 for batch in first.stream.take(first.optimizer.batches_per_step))
    walk(second, 2)
    assert torch.equal(second.game.vector(), straight.game.vector())


def test_a_run_is_looked_at_with_the_weights_of_its_point(tmp_path):
    experiment = build(dataclasses.replace(scheduled(), spectrum_k=0))
    game = experiment.game
    values = {}
    for step in (0, 3, 6):
        batch = experiment.analysis_batch(step=step)
        assert batch["step"] == step and len(batch["real"]) == 256
        by_hand = build(scheduled()).game
        fixed = gt.gan(
            *by_hand.players.values(),
            regularizers=[
                gt.regularizers.R1(2.0 - step / 4),
                gt.regularizers.InstanceNoise(0.5 - step / 12),
                gt.regularizers.WganGP(),
            ],
        )
        jacobian = gt.analysis.jacobian(game, batch).dense()
        torch.testing.assert_close(jacobian, gt.analysis.jacobian(fixed, batch).dense())
        values[step] = spectra(experiment, step)["game/jacobian"].values
    assert not torch.equal(values[0], values[3]) and not torch.equal(values[3], values[6])


def test_an_opened_run_has_the_weights_of_its_checkpoint(tmp_path):
    experiment = build(scheduled())
    folder = RunFolder(tmp_path / "run")
    run = Run(folder.path, experiment.config, experiment, 3, [3])
    assert [batch["step"].item() for batch in list(run.batches)[:3]] == [3, 3, 3]
    assert len(run.batches) == 10 and run.batches[7]["step"] == 3
