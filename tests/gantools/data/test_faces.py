"""The faces of scikit-image, and what is said where they cannot be had."""

import sys

import pytest
import torch

from gantools.data import sources
from gantools.data.sources import make_source
from gantools.errors import GantoolsError


def test_faces_are_the_first_hundred_images_of_the_subset():
    subset = pytest.importorskip("skimage.data").lfw_subset()
    source = make_source("faces")
    assert (source.name, source.shape, source.size, source.labels) == ("faces", (1, 25, 25), 100, None)
    images = source.select(torch.arange(100))
    assert images.dtype == torch.float32 and -1 <= images.min() < -0.9 and 0.9 < images.max() <= 1
    assert torch.allclose(images[:, 0].double(), torch.from_numpy(2.0 * subset[:100] - 1), atol=1e-6)


class Without:
    """A module of data sets whose faces cannot be had."""

    def __init__(self, error):
        self.error = error

    def lfw_subset(self):
        raise self.error


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (None, r"gantools\[faces\]"),
        (Without(ModuleNotFoundError("No module named 'pooch'", name="pooch")), "pip install pooch"),
        (Without(ModuleNotFoundError("requires the optional dependency, pooch.")), "pip install pooch"),
        (Without(ConnectionError("no internet")), "once with a network"),
    ],
    ids=["no scikit-image", "no pooch", "no pooch, unnamed", "no network"],
)
def test_without_the_faces_it_is_said_how_to_get_them(monkeypatch, there, words):
    monkeypatch.setitem(sys.modules, "skimage", None if there is None else type(sys)("skimage"))
    monkeypatch.setitem(sys.modules, "skimage.data", there)
    sources._faces.cache_clear()
    with pytest.raises(GantoolsError, match=words):
        make_source("faces")
    sources._faces.cache_clear()
