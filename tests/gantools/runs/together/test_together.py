"""Runs of several seeds stepped together: each folder holds what a run alone would hold."""

import dataclasses
import signal

import pytest
import torch

import gantools as gt
from gantools.errors import NonFiniteFieldError
from gantools.runs.config import Choice
from gantools.runs.configure import configure
from gantools.runs.store.folder import RunFolder
from gantools.runs.together.training import NotTogetherError, Together, prepare_together
from gantools.runs.training_loop import train
from tests.runs import cheapen_looks, checkpoint, own_file, records

SEEDS, STEPS = (0, 3, 4), 6
TINY = {"network": Choice("mlp", {"width": 4, "depth": 1}), "batch_size": 8, "latent_size": 2, "data": Choice("ring8")}
EVERY = {"log_every": 1, "checkpoint_every": 4, "sample_every": 0, "spectrum_every": 0}


@pytest.fixture(autouse=True)
def cheap_looks(monkeypatch):
    cheapen_looks(monkeypatch)


def configured(method="consensus", settings=None, **values):
    one = configure(Choice(method, settings or {}), **{**TINY, **EVERY, "steps": STEPS, **values})
    return [dataclasses.replace(one, seed=seed) for seed in SEEDS]


def own(path, function, method="simultaneous", **values):
    target = f"{own_file(path)}:{function}"
    one = configure(Choice(method, {"lr": 0.05}), target=target, **{**EVERY, "steps": STEPS, **values})
    return [dataclasses.replace(one, seed=seed) for seed in SEEDS]


def folders(path, name):
    return [path / f"{name}-{seed}" for seed in SEEDS]


def together(configs, paths):
    return prepare_together(configs, paths).run()


def assert_alike(one, other, rtol=2e-3):
    """Compare all that two run folders hold but times, up to rounding in float32."""
    assert RunFolder(one).steps() == RunFolder(other).steps()
    for step in RunFolder(one).steps():
        found, wanted = checkpoint(one, step), checkpoint(other, step)
        for part in ("parameters", "buffers"):
            for name, t in wanted[part].items():
                torch.testing.assert_close(found[part][name], t, rtol=rtol, atol=1e-5)
        assert found["optimizer"]["counters"] == wanted["optimizer"]["counters"]
        for name, t in wanted["optimizer"]["memory"].items():
            torch.testing.assert_close(found["optimizer"]["memory"][name], t, rtol=rtol, atol=1e-5)
        if "average" in wanted:
            torch.testing.assert_close(found["average"]["vector"], wanted["average"]["vector"], rtol=rtol, atol=1e-5)
        assert found["stream"].keys() == wanted["stream"].keys()
        assert torch.equal(found["random"]["torch"], wanted["random"]["torch"])
    timeless = [
        [{k: v for k, v in record.items() if k not in ("step_seconds", "check")} for record in records(path)]
        for path in (one, other)
    ]
    assert [record.keys() for record in timeless[0]] == [record.keys() for record in timeless[1]]
    for found, wanted in zip(*timeless, strict=True):
        assert found == pytest.approx(wanted, rel=rtol, abs=1e-5)


CASES = {
    "consensus": {"method": "consensus", "regularizers": (Choice("r1", {"gamma": 0.1}),)},
    "alternating, twice": {"method": "alternating", "settings": {"n_d": 2}, "average": Choice("ema")},
    "lookahead": {"method": "lookahead", "settings": {"k": 3}},
}


@pytest.mark.parametrize("case", CASES)
def test_each_run_is_what_it_is_alone(case, tmp_path):
    configs, paths, alone = configured(**CASES[case]), folders(tmp_path, "together"), folders(tmp_path, "alone")
    outcomes = together(configs, paths)
    assert [outcome.step for outcome in outcomes] == [STEPS] * len(SEEDS)
    for config, path, single in zip(configs, paths, alone, strict=True):
        train(config, single)
        assert_alike(path, single)
        assert RunFolder(path).record().config == config and "ended" in RunFolder(path).record().content
    assert records(paths[0])[0]["loss/generator"] != records(paths[1])[0]["loss/generator"]


def test_a_loader_draws_from_each_runs_own_random_state(tmp_path):
    configs, paths, alone = own(tmp_path, "augmented"), folders(tmp_path, "together"), folders(tmp_path, "alone")
    together(configs, paths)
    for config, path, single in zip(configs, paths, alone, strict=True):
        train(config, single)
        assert_alike(path, single)


def test_running_statistics_of_a_game_of_ones_own(tmp_path):
    configs, paths = own(tmp_path, "batch_norm"), folders(tmp_path, "together")
    together(configs, paths)
    train(configs[1], tmp_path / "alone")
    assert_alike(paths[1], tmp_path / "alone")


@pytest.mark.slow
def test_looks_are_taken_in_each(tmp_path):
    configs = configured(sample_every=3, spectrum_every=3, spectrum_k=2, steps=3)
    paths = folders(tmp_path, "together")
    together(configs, paths)
    for path in paths:
        assert len(list((path / "samples").glob("*.png"))) == 2
        steps = {f.stem[-8:] for f in (path / "spectra").glob("game-jacobian-*.npz")}
        assert steps == {"00000000", "00000003"}


def test_one_goes_on_alone_and_all_go_on_together(tmp_path):
    long, short = configured(), configured(steps=4)
    whole, cut = folders(tmp_path, "whole"), folders(tmp_path, "cut")
    together(long, whole)
    together(short, cut)
    train(long[0], cut[0], resume=True)
    assert_alike(cut[0], whole[0])
    with pytest.raises(NotTogetherError, match="different steps"):
        together(long, cut)
    runs = prepare_together(long[1:], cut[1:])
    assert runs.first == 4
    runs.run()
    for one, other in zip(cut[1:], whole[1:], strict=True):
        assert_alike(one, other)


def test_a_signal_stops_all_and_keeps_each(tmp_path, monkeypatch):
    step = Together._step

    def stopping(self, number):
        step(self, number)
        if number == 2:
            signal.raise_signal(signal.SIGINT)

    configs, paths, whole = configured(), folders(tmp_path, "cut"), folders(tmp_path, "whole")
    together(configs, whole)
    monkeypatch.setattr(Together, "_step", stopping)
    assert {outcome.stopped_by for outcome in together(configs, paths)} == {signal.SIGINT}
    assert RunFolder(paths[0]).steps() == [3]
    monkeypatch.setattr(Together, "_step", step)
    together(configs, paths)
    train(configs[2], tmp_path / "alone")
    assert checkpoint(paths[2], STEPS)["optimizer"]["counters"] == {"generator": STEPS, "discriminator": STEPS}
    for name, t in checkpoint(tmp_path / "alone", STEPS)["parameters"].items():
        torch.testing.assert_close(checkpoint(paths[2], STEPS)["parameters"][name], t, rtol=2e-3, atol=1e-5)


def test_a_run_that_becomes_nan_stops_alone(tmp_path, monkeypatch):
    """Its batch of step 3 holds NaN: it says where that arose, keeps the state before, and the others go on."""
    from gantools.data.sources import Mixture

    original = Mixture.batch

    def spoilt(self, step, batch_size, seed):
        batch = original(self, step, batch_size, seed)
        return batch * float("nan") if (seed, step) == (SEEDS[1], 3) else batch

    monkeypatch.setattr(Mixture, "batch", spoilt)
    configs, paths = configured(), folders(tmp_path, "together")
    outcomes = together(configs, paths)
    assert isinstance(outcomes[1], NonFiniteFieldError) and outcomes[1].step == 3
    assert "the data is not finite, batch['real']" in str(outcomes[1])
    assert gt.load(paths[1], 3).game.vector().isfinite().all() and RunFolder(paths[1]).steps() == []
    assert [record["step"] for record in records(paths[1])] == [0, 1, 2]
    for place in (0, 2):
        train(configs[place], tmp_path / f"alone-{place}")
        assert_alike(paths[place], tmp_path / f"alone-{place}")


def test_the_first_of_those_that_go_on_shows_how_far_they_are(tmp_path, monkeypatch):
    from gantools.runs.store.recorder import Recorder

    shown, progress = [], Recorder.progress

    def noted(self, step, values):
        shown.append((step, self._progress.shown, self.folder.path.name))
        progress(self, step, values)

    monkeypatch.setattr(Recorder, "progress", noted)
    configs, paths = configured(), folders(tmp_path, "together")
    runs = prepare_together(configs, paths)
    assert [trainer.recorder._progress.shown for trainer in runs.trainers] == [True, False, False]
    step = Together._step

    def ending(self, number):
        if number == 3 and 0 in self._going:
            self._going.remove(0)
            self._stack(again=True)
            self._lead()
        step(self, number)

    monkeypatch.setattr(Together, "_step", ending)
    runs.run()
    assert all(visible for _, visible, _ in shown) and [name for _, _, name in shown][2:4] == [
        "together-0",
        "together-3",
    ]


def test_all_runs_may_become_nan(tmp_path):
    configs, paths = own(tmp_path, "nan_later", steps=20), folders(tmp_path, "together")
    assert [error.step for error in together(configs, paths)] == [5, 5, 5]


@pytest.mark.parametrize("function", ["dropout", "noisy_loss"])
def test_losses_that_draw_are_left_to_runs_alone(function, tmp_path):
    configs, paths = own(tmp_path, function), folders(tmp_path, "together")
    with pytest.raises(NotTogetherError, match="draw random numbers"):
        prepare_together(configs, paths)
    train(configs[0], paths[0], resume=True)  # the folders are free, and nothing is lost
    assert RunFolder(paths[0]).steps()[-1] == STEPS


def test_methods_that_couple_are_left_to_runs_alone(tmp_path):
    with pytest.raises(NotTogetherError, match="competitive would couple"):
        prepare_together(configured("competitive"), folders(tmp_path, "together"))
    with pytest.raises(NotTogetherError, match="parts"):
        prepare_together(configured(accumulate=2), folders(tmp_path, "together"))
    assert not any(path.exists() for path in folders(tmp_path, "together"))
