"""Runs of a user's own file: its success number, samples of its generator."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

import gantools as gt
from gantools.board import writer
from gantools.cli import main
from gantools.errors import GantoolsError
from tests.runs import QUIET

FILE = """
import torch
import gantools as gt

def build():
    torch.manual_seed(0)
    G, D = torch.nn.Linear(2, 3), torch.nn.Linear(3, 1)
    batches = [{"real": torch.randn(8, 3), "latent": torch.rand(8, 2)} for _ in range(3)]
    game = gt.gan(G, D, metrics=lambda players: {"norm": players.generator.weight.norm(), "lost": float("nan")})
    return game, batches

def bilinear():
    x, y = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    def losses(players, batch):
        product = x.weight * y.weight
        return {"x": product.sum(), "y": -product.sum()}
    return gt.Game({"x": x, "y": y}, losses, metrics=lambda players: {"distance": float(x.weight.abs())}), torch.ones(1)

def wrong():
    game, batches = bilinear()
    game.metrics = lambda players: 3
    return game, batches
"""
SHORT = ["--steps", "4", "--sample-every", "2", "--spectrum-every", "2", "--optimizer", "simultaneous"]


@pytest.fixture
def own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.py").write_text(FILE)
    return "own.py"


def records(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_metrics_of_a_game_are_logged_and_stand_beside_the_spectrum(own, monkeypatch, capsys):
    titles = []
    real = writer.spectrum_figure
    monkeypatch.setattr(writer, "spectrum_figure", lambda s, title, **k: titles.append(title) or real(s, title, **k))
    assert main(["train", f"{own}:bilinear", *QUIET, *SHORT, "--out", "run"]) == 0
    found = [(r["step"], r["metrics/distance"]) for r in records(Path("run/metrics.jsonl")) if "metrics/distance" in r]
    assert [step for step, _ in found] == [0, 2, 4]
    game = gt.load("run").game
    assert found[-1][1] == pytest.approx(float(game.players["x"].weight.abs().detach()), rel=1e-6)
    assert titles[-2:] == [f"game/{what}, step 4, distance {found[-1][1]:.3g}" for what in ("jacobian", "update")]
    assert "distance" in capsys.readouterr().out


def test_metrics_that_are_no_numbers_are_a_sentence(own, capsys):
    assert main(["train", f"{own}:wrong", *QUIET, *SHORT, "--out", "run"]) == 2
    assert "return numbers by name" in capsys.readouterr().err
    game = gt.minimization(torch.nn.Linear(1, 1), lambda m, x: m(x).sum())
    game.metrics = lambda players: {"a": "b"}
    with pytest.raises(GantoolsError, match="no number"):
        game.success()


@pytest.mark.slow
def test_samples_of_a_gan_of_ones_own_are_of_its_own_latents(own, capsys):
    assert main(["train", f"{own}:build", *QUIET, *SHORT, "--out", "run"]) == 0
    assert list(Path("run/samples").glob("*.png"))
    assert main(["sample", "run", "--n", "20"]) == 0
    samples = np.load("run/samples-4.npy")
    run = gt.load("run")
    latents = torch.cat([batch["latent"] for batch in run.batches])[:20]
    assert np.allclose(samples, run.game.players["generator"](latents).detach().numpy())
    assert len(run.sample(1000)) == 24 and "20 samples" in capsys.readouterr().out
    assert main(["train", f"{own}:bilinear", *QUIET, *SHORT, "--out", "other"]) == 0
    assert main(["sample", "other"]) == 2
    assert "gantools.gan" in capsys.readouterr().err


CHOOSING = """
import torch
import gantools as gt
from gantools.losses import LOSSES

def gan():
    torch.manual_seed(0)
    G, D = torch.nn.Linear(2, 3), torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    return gt.gan(G, D), [{"real": torch.randn(8, 3), "latent": torch.rand(8, 2)} for _ in range(3)]

def own(loss="hinge", regularizers=()):
    made, batches = gan()
    def losses(players, batch):
        fake = players.generator(batch["latent"])
        seen = gt.regularizers.regularized(regularizers, players.discriminator, batch["real"], fake, batch)
        one, other = LOSSES[loss](seen.real_scores, seen.fake_scores)
        return seen.added_to({"generator": one, "discriminator": other})
    return gt.Game(made.players, losses), batches

def plain():
    game, batches = own()
    return gt.Game(game.players, game.losses), batches
"""
CHOSEN = ["--loss", "wasserstein", "--regularizer", "wgan_gp", "r1", "--regularizer.wgan-gp.weight", "3"]


@pytest.fixture
def choosing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "choosing.py").write_text(CHOOSING)
    return "choosing.py"


@pytest.mark.parametrize("function", ["gan", "own"])
def test_loss_and_regularizers_are_chosen_for_a_file(choosing, function):
    argv = ["train", f"{choosing}:{function}", *QUIET, "--steps", "4", "--optimizer.lr", "0.1", *CHOSEN]
    assert main([*argv, "--out", "run"]) == 0
    run = gt.load("run")
    batch = run.experiment.first
    assert set(batch) == {"real", "latent", "wgan_gp.mix"} and len(list(run.batches)) == 3
    G, D = run.game.players["generator"], run.game.players["discriminator"]
    real = batch["real"].clone().requires_grad_()
    between = (batch["wgan_gp.mix"][:, None] * real + (1 - batch["wgan_gp.mix"][:, None]) * G(batch["latent"])).detach()
    norms = [torch.autograd.grad(D(x).sum(), x)[0].norm(dim=1) for x in (between.requires_grad_(), real)]
    expected = D(G(batch["latent"])).mean() - D(real).mean()
    expected = expected + 3 * (norms[0] - 1).square().mean() + 5 * norms[1].square().mean()
    found = run.game.losses(run.game.players, batch)["discriminator"]
    assert float(found.detach()) == pytest.approx(float(expected.detach()), rel=1e-5)


def test_a_run_with_choices_for_a_file_resumes_as_if_never_stopped(choosing):
    argv = ["train", f"{choosing}:gan", *QUIET, "--checkpoint-every", "2", *CHOSEN]
    assert main([*argv, "--steps", "5", "--out", "whole"]) == 0
    assert main([*argv, "--steps", "2", "--out", "parts"]) == 0
    assert main(["train", "--resume", "--out", "parts", "--steps", "5"]) == 0
    assert torch.equal(gt.load("whole").game.vector(), gt.load("parts").game.vector())


def test_choices_that_do_not_apply_are_a_sentence(choosing, capsys):
    assert main(["train", f"{choosing}:plain", *QUIET, "--steps", "1", "--loss", "hinge", "--out", "a"]) == 2
    assert "--loss does not apply" in capsys.readouterr().err
    assert main(["train", f"{choosing}:plain", *QUIET, "--steps", "1", "--regularizer", "r1", "--out", "b"]) == 2
    assert "parameter regularizers" in capsys.readouterr().err
