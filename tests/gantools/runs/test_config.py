"""The configuration: what is refused, and that it survives its file."""

import dataclasses
import json

import pytest

from gantools.errors import GantoolsError
from gantools.runs.config import RESUMABLE, Choice, TrainConfig, changed_settings
from gantools.runs.record import read_record, write_record

FULL = TrainConfig(
    optimizer=Choice(
        "consensus", {"lr": {"generator": 1e-4}, "gamma": 3.0, "base": Choice("adam", {"betas": [0, 0.9]})}
    ),
    data=Choice("ring8", {"sigma": 0.02}),
    network=Choice("mlp", {"width": 4}),
    regularizers=(Choice("r1", {"gamma": 1.0}), Choice("r2")),
    steps=7,
)


def test_survives_json():
    assert TrainConfig.from_dict(json.loads(json.dumps(FULL.to_dict()))) == FULL


def test_survives_its_file(tmp_path):
    path = tmp_path / "config.json"
    write_record(path, {"config": FULL.to_dict(), "versions": {}})
    assert read_record(path).config == FULL


def test_what_may_change_the_run_is_named_with_both_values():
    slower = dataclasses.replace(FULL, optimizer=Choice("consensus", {**FULL.optimizer.settings, "lr": 1e-6}))
    changed = {"optimizer.lr": [None, 1e-6], "optimizer.lr.generator": [1e-4, None]}
    assert changed_settings(FULL, slower) == changed


@pytest.mark.parametrize("name", ["latent_size", "batch_size"])
def test_at_least_one(name):
    with pytest.raises(GantoolsError, match=f"--{name.replace('_', '-')} is 0"):
        dataclasses.replace(FULL, **{name: 0})


@pytest.mark.parametrize("name", ["steps", "seed", "threads", "log_every", "sample_every", "spectrum_k"])
def test_not_negative(name):
    with pytest.raises(GantoolsError, match=f"--{name.replace('_', '-')} is -1"):
        dataclasses.replace(FULL, **{name: -1})
    assert dataclasses.replace(FULL, **{name: 0})


def test_which():
    with pytest.raises(GantoolsError, match="LM, LR, SR, LI"):
        dataclasses.replace(FULL, spectrum_which="SM")


@pytest.mark.parametrize("name", RESUMABLE)
def test_what_may_change_when_resuming(name):
    value = {"device": "cuda", "spectrum_which": "LR"}.get(name, 99)
    assert changed_settings(FULL, dataclasses.replace(FULL, **{name: value})) == {}


def test_what_may_not_is_named_as_its_flag():
    base = Choice("adam", {"betas": [0.5, 0.9]})
    changed = dataclasses.replace(FULL, optimizer=Choice("consensus", {**FULL.optimizer.settings, "base": base}))
    with pytest.raises(GantoolsError, match=r"optimizer\.base\.betas = \[0, 0\.9\], not \[0\.5, 0\.9\]"):
        changed_settings(FULL, changed)
    with pytest.raises(GantoolsError, match="seed = 0, not 1"):
        changed_settings(FULL, dataclasses.replace(FULL, seed=1))


def test_every_field_is_compared_or_resumable():
    names = {f.name for f in dataclasses.fields(TrainConfig)}
    assert set(RESUMABLE) < names and set(FULL.to_dict()) == names
