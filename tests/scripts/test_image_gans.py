"""The study of GANs on images: splits, measures, cells, and seeds that train together as each alone."""

import json
import math

import pytest
import torch
from cells import gan_steps
from claims.images import image_rows
from harness import study
from images import image_gans, splits, trained

from gantools.data.sources import FiniteSource
from gantools.metrics.distances import Thumbnail
from tests.draws import draw

SMALL = {"width": 6, "steps": 3, "every": 3, "spectra": 0, "at": (), "batch": 8, "lr": 1e-3}


@pytest.fixture
def faces():
    pytest.importorskip("skimage")
    return splits.split("faces", 3)


def test_a_split_divides_the_images_and_another_seed_divides_them_otherwise(faces):
    assert faces.training.samples.shape == (75, 1, 25, 25) and faces.held.shape == (25, 1, 25, 25)
    apart = torch.cdist(faces.held.flatten(1), faces.training.samples.flatten(1))
    assert apart.min() > 0.1  # no image is on both sides
    assert faces.samples == 200 and isinstance(faces.features, Thumbnail)
    splits.split.cache_clear()
    assert torch.equal(splits.split("faces", 3).held, faces.held)
    assert not torch.equal(splits.split("faces", 4).held, faces.held)


def test_of_each_class_the_same_part_is_held_out_and_features_see_the_others_alone(monkeypatch):
    labels = torch.arange(5000) % 10
    source = FiniteSource(
        "numbers", torch.arange(5000.0)[:, None, None, None] + labels[:, None, None, None] / 100, labels
    )
    seen = []
    monkeypatch.setattr(splits, "make_source", lambda name: source)
    monkeypatch.setattr(splits, "train_features", lambda training, seed: seen.append(training) or Thumbnail())
    parts = splits.split.__wrapped__("mnist5k", 0)
    whole = torch.cat([parts.held, parts.training.samples]).flatten().sort().values
    assert torch.equal(whole, source.samples.flatten().sort().values) and seen == [parts.training]
    digits = ((parts.held.flatten() % 1) * 100).round().long()
    assert digits.bincount().tolist() == [100] * 10 and parts.training.labels.bincount().tolist() == [400] * 10
    assert torch.equal(((parts.training.samples.flatten() % 1) * 100).round().long(), parts.training.labels)


def test_measures_tell_images_held_out_from_copies_and_from_one_image(faces):
    itself = splits.measured(faces.held, faces)
    assert itself["coverage"] == 1 and itself["copied"] == 1 and itself["log kernel"] == math.log10(splits.LEAST)
    copies = splits.measured(faces.training.samples[:50], faces)
    assert copies["copied"] < 0.01 and copies["coverage"] > 0.9
    one = splits.measured(torch.ones(25, 1, 25, 25), faces)
    assert one["coverage"] < 0.1 and one["log kernel"] > -1


def test_the_gaussian_of_the_yardsticks_has_mean_and_covariance_of_the_images(monkeypatch):
    images = 0.1 * draw(40, 6).reshape(40, 1, 2, 3).float() + 0.2
    parts = splits.Split(FiniteSource("x", images), images[:10], Thumbnail(), 20_000)
    seen = {}
    monkeypatch.setattr(splits, "split", lambda data, seed: parts)
    monkeypatch.setattr(splits, "measured", lambda samples, parts: seen.setdefault(len(seen), samples) is None or {})
    splits.yardsticks.__wrapped__("x", 0)
    assert torch.equal(seen[0].flatten(1).sort(0).values, images.flatten(1).sort(0).values)
    flat, fitted = images.flatten(1), seen[1].flatten(1)
    assert torch.allclose(fitted.mean(0), flat.mean(0), atol=5e-3)
    assert torch.allclose(fitted.T.cov(), flat.T.cov(), atol=5e-4)


@pytest.mark.parametrize("name", ["faces, consensus, esp", "faces, alternating", "faces, simultaneous, unitary"])
def test_seeds_that_train_together_are_each_what_they_are_alone(name, faces):
    cell = {**image_gans.STUDY.cells[name], **SMALL}
    both = trained.together(cell, [3, 4])
    alone = image_gans.run(cell, 4, None)
    for column in ("coverage", "log kernel", "copied"):
        assert both[4][column] == pytest.approx(alone[column], abs=1e-3)
    assert both[3]["copied"] != pytest.approx(both[4]["copied"], abs=1e-3)


def test_spectra_are_those_of_the_point_and_the_memory_where_training_stands(monkeypatch, faces):
    found = []
    monkeypatch.setattr(
        gan_steps, "spectra_of", lambda optimizer, batch: found.append((optimizer, batch)) or {"radius": 1.5}
    )
    monkeypatch.setattr(trained, "yardsticks", lambda data, seed: {})
    cell = {**image_gans.STUDY.cells["faces, alternating"], **SMALL, "spectra": 1, "at": (3,)}
    results = trained.together(cell, [3, 4])
    assert results[3]["radius at 3"] == results[3]["radius"] == 1.5 and "radius" not in results[4]
    ((optimizer, batch),) = found
    game = trained.game_of(cell, (1, 25, 25), 3)
    own = trained.optimizer_of(cell, game)
    batches = trained.GanBatches(faces.training, 8, trained.LATENT, 3)
    for step in range(3):
        own.step(batches[step])
    assert optimizer.game.vector().dtype == batch["real"].dtype == torch.float64
    assert torch.allclose(optimizer.game.vector(), game.vector().double(), atol=1e-4)
    assert torch.equal(batch["real"].float(), batches[3]["real"])
    assert all(
        key in own.state.memory and value.dtype == torch.float64 for key, value in optimizer.state.memory.items()
    )
    assert optimizer.state.counters == own.state.counters


def test_a_training_that_diverges_is_stopped_in_a_sentence(faces):
    cell = {**image_gans.STUDY.cells["faces, simultaneous"], **SMALL, "lr": 1e38}
    assert all("diverged" in result["failed"] for result in trained.together(cell, [3, 4]).values())


def test_every_cell_has_as_many_settings_and_generators_are_of_about_equal_size():
    sizes = {}
    for name, cell in image_gans.STUDY.cells.items():
        tried = image_gans.grid(cell)
        assert len(tried) == 6 and tried[0].items() <= cell.items()
        game = trained.game_of({**cell, **tried[-1]}, (1, 28, 28), 0)
        optimizer = trained.optimizer_of({**cell, **tried[-1]}, game)
        assert set(optimizer.rates.values()) == {tried[-1]["lr"]}
        assert getattr(optimizer, "gamma", None) == tried[-1].get("gamma")
        assert [r.gamma for r in game.regularizers] == ([tried[-1]["r1"]] if "r1" in tried[-1] else [])
        sizes[name] = sum(p.numel() for p in game.players["generator"].parameters())
    real = sizes["digits, simultaneous"]
    assert all(0.88 * real < size < 1.01 * real for size in sizes.values()), sizes


def test_pictures_are_grey_levels():
    cell = {**image_gans.STUDY.cells["faces, simultaneous"], **SMALL}
    pictures = torch.tensor(trained._pictures(trained.game_of(cell, (1, 25, 25), 0), 0))
    assert pictures.shape == (trained.PICTURES, 25, 25) and pictures.min() >= 0 and pictures.max() <= 255


def test_the_page_and_the_rows_of_the_table_come_from_the_numbers_beside_it(tmp_path):
    """Consensus is better than every baseline in both measures; a unitary generator is worse."""
    better = {"consensus": 0.1, "simultaneous, unitary": -0.1}
    numbers, tried = {}, {}
    for name, cell in image_gans.STUDY.cells.items():
        by = better.get(name.partition(", ")[2], 0.0)
        yardsticks = {f"{kind} {column}": 0.5 for kind in ("data", "Gaussian") for column in image_gans.QUALITY}
        own = {
            seed: {"coverage": 0.5 + by * (1 + seed / 100), "log kernel": -1 - by * (1 + seed / 100), **yardsticks}
            for seed in image_gans.STUDY.seeds
        }
        numbers[name] = own
        tried[name] = [
            {"settings": settings, "scores": [0.1, 0.2], "chosen": place == 2}
            for place, settings in enumerate(image_gans.grid(cell))
        ]
    (tmp_path / "image_gans.json").write_text(json.dumps(numbers))
    (tmp_path / "image_gans-tuning.json").write_text(json.dumps(tried))
    rows = {row.claim: row.verdict for row in image_rows(tmp_path)}
    assert image_rows(tmp_path / "elsewhere") == []
    assert len(rows) == 10
    for claim, verdict in rows.items():  # players with ESP are compared with consensus, which is better
        assert verdict == ("does not hold" if "unitary" in claim or "ESP" in claim else "holds"), claim
    page = image_gans.PAGE.render(study.stored(image_gans.STUDY, tmp_path), "command")
    assert "{" not in page and "Holm's adjustment for all 18 comparisons" in " ".join(page.split())
    assert page.count("chosen from 6") == 1 and "Yardsticks, faces" in page
