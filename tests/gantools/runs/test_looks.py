"""The searches that a run makes: what they answer, from where they start, and that resuming changes nothing."""

import numpy as np
import pytest
import torch

import gantools as gt
from gantools.cli.closing import about_gradient_descent, about_spectrum, about_step
from gantools.runs import looks
from gantools.runs.config import Choice, TrainConfig
from gantools.runs.experiment import build
from gantools.runs.store import progress
from gantools.runs.store.checkpoint import load_checkpoint, read_checkpoint, save_checkpoint
from tests.quick import few


def experiment_of(method, steps=0, **settings):
    config = TrainConfig(
        Choice(method, settings),
        data=Choice("ring8"),
        network=Choice("mlp", {"width": 8, "depth": 2}),
        spectrum_k=3,
        latent_size=4,
    )
    experiment = build(config)
    for _ in range(steps):
        experiment.optimizer.step(*experiment.stream.take(experiment.optimizer.batches_per_step))
    return experiment


@pytest.fixture(scope="module")
def trained():
    return {
        method: experiment_of(method, 30, lr=2e-3, base=Choice("rmsprop")) for method in ("simultaneous", "consensus")
    }


@pytest.mark.parametrize("method", few(["simultaneous", "consensus"], 1))
def test_a_look_answers_what_it_logs(method, trained):
    experiment = trained[method]
    found = looks.spectra(experiment, 30, last=True)
    assert list(found) == ["game/jacobian/LM", "game/jacobian/SR", "game/jacobian/LR"]
    dense = gt.analysis.jacobian(experiment.game, experiment.analysis_batch(step=30)).dense().double().numpy()
    truth = np.linalg.eigvals(dense)
    expected = {"LM": ("spectral_radius", abs(truth).max()), "SR": ("min_real", truth.real.min())}
    expected["LR"] = ("max_real", truth.real.max())
    for which, (name, value) in expected.items():
        scalars = gt.board.spectrum_scalars(found[f"game/jacobian/{which}"])
        assert scalars == {name: pytest.approx(value, rel=1e-2, abs=1e-3 * abs(truth).max())}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["simultaneous", "consensus"])
def test_the_step_is_judged_by_its_own_spectral_radius(method, trained):
    experiment = trained[method]
    found = looks.step_spectrum(experiment, 30)
    U = gt.analysis.update_operator(experiment.optimizer, experiment.analysis_batch(step=30), dtype=torch.float64)
    radius = abs(np.linalg.eigvals(U.dense().numpy())).max()
    assert gt.board.spectrum_scalars(found)["spectral_radius"] == pytest.approx(radius, rel=2e-3)
    words = about_step({looks.UPDATE: found}, experiment.config.optimizer)
    assert words.startswith(f"One more step of {method} over rmsprop on a fixed batch") and "of the update" in words
    assert ("Unstable" in words) == (radius > 1)


def test_a_search_starts_from_what_the_last_one_found(trained, monkeypatch):
    experiment, given = trained["simultaneous"], []
    real = looks.analysis.eigenvalues
    monkeypatch.setattr(looks.analysis, "eigenvalues", lambda *a, **k: given.append(k.get("start")) or real(*a, **k))
    experiment.starts.clear()
    first = looks.spectra(experiment, 30)["game/jacobian/SR"]
    again = looks.spectra(experiment, 30)["game/jacobian/SR"]
    *before, start = given
    assert before == [None, None, None]
    vector = first.vectors[:, 0].real.double()
    assert abs(start.double() @ vector) > 0.5 * vector.norm()
    torch.testing.assert_close(again.values[:1].real, first.values[:1].real, rtol=1e-2, atol=1e-4)


def test_starts_are_resumed_to_the_last_bit(trained, tmp_path):
    experiment = trained["consensus"]
    looks.spectra(experiment, 30)
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, 30, experiment)
    other = experiment_of("consensus", lr=2e-3, base=Choice("rmsprop"))
    load_checkpoint(path, read_checkpoint(path), other)
    ours, theirs = (looks.spectra(one, 30)["game/jacobian/SR"] for one in (experiment, other))
    assert torch.equal(ours.values, theirs.values) and ours.matvecs == theirs.matvecs


def test_a_small_game_is_looked_at_whole():
    config = TrainConfig(Choice("simultaneous"), data=Choice("ring8"), network=Choice("mlp", {"width": 2, "depth": 1}))
    experiment = build(TrainConfig(**{**vars(config), "spectrum_k": 0, "latent_size": 2}))
    found = looks.spectra(experiment, 0, last=True)
    assert list(found) == ["game/jacobian"]
    assert set(gt.board.spectrum_scalars(found["game/jacobian"])) == {
        "max_real", "min_real", "max_imaginary", "spectral_radius",
    }  # fmt: skip
    words = about_spectrum(found)
    real = found["game/jacobian"].values.real
    assert f"{real.min():.3g} is the smallest real part, {real.max():.3g} is the largest" in words


def test_both_ends_are_in_the_closing_words(trained):
    found = looks.spectra(trained["consensus"], 30, last=True)
    words = about_spectrum(found)
    least, most = found["game/jacobian/SR"].values.real[0], found["game/jacobian/LR"].values.real[0]
    assert f"{least:.3g} is the smallest real part (SR), {most:.3g} is the largest real part (LR)" in words
    assert about_step({}, Choice("consensus")) == about_spectrum({}) == about_gradient_descent({}, "x") == ""


@pytest.mark.parametrize(
    ("eigenvalues", "verdict"),
    [
        ([2 + 1j, 2 - 1j, 0.5], "would converge, for learning rates below 0.8."),  # min 2 Re / |lambda|^2: 4 / 5
        ([2 + 1j, 2 - 1j, -0.5], "would drift away"),
        ([3j, -3j, 1.0], "no stable learning rate"),
    ],
)
def test_what_gradient_descent_would_do_is_that_of_the_closed_form(eigenvalues, verdict):
    blocks = torch.zeros(3, 3, dtype=torch.float64)
    pair, last = complex(eigenvalues[0]), eigenvalues[2]
    blocks[:2, :2] = torch.tensor([[pair.real, pair.imag], [-pair.imag, pair.real]])
    blocks[2, 2] = last
    spectrum = gt.analysis.spectrum(gt.analysis.LinearOperator(lambda u: blocks @ u, 3))
    assert verdict in about_gradient_descent({"game/jacobian": spectrum}, "simultaneous gradient descent")
    repels = int(last < 0) + 2 * (pair.real == 0)
    words = about_spectrum({"game/jacobian": spectrum})
    assert f"{repels or 'none'} repel" in words
    assert ("only rotate" in words) == (pair.real == 0)


def test_an_end_that_was_not_found_decides_nothing():
    leading = gt.analysis.eigenvalues(gt.analysis.LinearOperator(lambda u: torch.arange(1, 61.0) * u, 60), 3, "LM")
    assert "is undecided" in about_gradient_descent({"game/jacobian/LM": leading}, "gradient descent")
    everything = {f"game/jacobian/{which}": leading for which in ("LM", "SR", "LR")}
    assert "below 0.0333 only" in about_gradient_descent(everything, "gradient descent")  # 2 / 60


def test_a_look_says_what_it_searches_for(trained, monkeypatch):
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0.0)
    said = []
    looks.spectra(trained["consensus"], 30, working=progress.Working(said.append))
    looks.step_spectrum(trained["consensus"], 30, progress.Working(said.append))
    for limit, what in ((50 * 26, "LM"), (looks.END_PRODUCTS, "SR"), (looks.STEP_PRODUCTS, "the update")):
        assert any(f"of at most {limit} products for {what}, at most" in line for line in said)
