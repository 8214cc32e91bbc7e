"""Settings for every test: one thread a worker, no screen, GPU tests skipped where there is none."""

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


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device")
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(skip)


@pytest.fixture
def generator():
    """A seeded torch.Generator."""
    return torch.Generator().manual_seed(0)
