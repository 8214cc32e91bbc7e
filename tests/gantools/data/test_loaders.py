"""Ordinary loaders as the batches of a GAN."""

import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import gantools as gt
from gantools.errors import GantoolsError

X, Y = torch.randn(10, 3, generator=torch.Generator().manual_seed(0)), torch.arange(10) % 4


def loader(*tensors, **options):
    return DataLoader(TensorDataset(*tensors), batch_size=4, **options)


def test_of_samples_and_labels_repeat_their_latents():
    batches = gt.batches(loader(X, Y), latent=5)
    first, second = list(batches), list(batches)
    assert len(batches) == 3 and [len(b["latent"]) for b in first] == [4, 4, 2]
    assert all(torch.equal(a["latent"], b["latent"]) for a, b in zip(first, second, strict=True))
    assert torch.equal(torch.cat([b["real"] for b in first]), X) and set(first[0]) == {"real", "latent"}
    assert not torch.equal(first[0]["latent"], first[1]["latent"])
    other = next(iter(gt.batches(loader(X, Y), latent=5, seed=1)))
    assert not torch.equal(other["latent"], first[0]["latent"])


def test_labels_shapes_and_draws_of_ones_own():
    batch = next(iter(gt.batches(loader(X, Y), latent=(2, 1, 1), labels=True, device="cpu")))
    assert batch["latent"].shape == (4, 2, 1, 1) and torch.equal(batch["label"], Y[:4])
    drawn = gt.batches([(X,), (X,)], latent=lambda n, rng: torch.rand(n, 2, generator=rng))
    assert all(b["latent"].min() >= 0 and b["latent"].shape == (10, 2) for b in drawn)
    assert torch.equal(next(iter(gt.batches([{"pixels": X, "classes": Y}], 2)))["real"], X)


def test_train_and_analyse_a_gan():
    game = gt.gan(nn.Linear(5, 3), nn.Linear(3, 1))
    batches = gt.batches(loader(X, Y), latent=5)
    optimizer = gt.trainers.make("simultaneous", game, lr=0.1)
    for batch in batches:
        optimizer.step(batch)
    whole, parts = gt.analysis.jacobian(game, batches), []
    for batch in batches:
        parts.append(len(batch["real"]) * gt.analysis.jacobian(game, batch).dense())
    assert torch.allclose(whole.dense(), sum(parts) / 10, atol=1e-6)
    assert "every product walks over 3 batches" in repr(whole) and "walks" not in repr(parts)


def test_mistakes_are_sentences():
    for wrong in (X, iter([X]), (X, Y)):
        with pytest.raises(GantoolsError, match="no loader"):
            gt.batches(wrong, latent=2)
    with pytest.raises(GantoolsError, match="no labels"):
        next(iter(gt.batches([(X,)], latent=2, labels=True)))
    with pytest.raises(GantoolsError, match="gives a str"):
        next(iter(gt.batches(["a"], latent=2)))


@pytest.mark.slow
@pytest.mark.parametrize("before", ["gt.split", "gt.batches"])
def test_the_name_is_a_function_whatever_was_imported_before(before):
    code = f"import gantools as gt; {before}; import gantools.batches; print(callable(gt.batches))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
