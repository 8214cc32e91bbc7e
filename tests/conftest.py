"""Settings for every test: one thread a worker, no screen, GPU tests skipped unless `-m gpu` asks for them."""

import os
import tempfile

import matplotlib
import pytest
import torch
from hypothesis import HealthCheck, settings

matplotlib.use("Agg")
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="gantools-state-")  # what was executed on this machine: nothing
torch.set_num_threads(1)
settings.register_profile("default", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")


def pytest_configure(config):
    if config.option.markexpr != "gpu":  # some tests fork, and what most expect is on the CPU
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device, and -m gpu")
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(skip)


@pytest.fixture
def generator():
    """A seeded torch.Generator."""
    return torch.Generator().manual_seed(0)
