"""Settings for every test: one thread a worker, no screen, GPU tests skipped unless `-m` asks for them alone."""

import os
import tempfile

import matplotlib
import pytest
import torch
from _pytest.mark.expression import Expression
from hypothesis import HealthCheck, settings

matplotlib.use("Agg")
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="gantools-state-")  # what was executed on this machine: nothing
torch.set_num_threads(1)
settings.register_profile("default", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("default")


def only_gpu(markexpr):
    """Say whether an expression given to -m selects tests marked gpu, and no others."""
    try:
        chosen = Expression.compile(markexpr or "not gpu")
    except SyntaxError:  # pytest says what is wrong with it
        return False
    fast, slow, *others = (
        chosen.evaluate(lambda n, of=of, **_: n in of) for of in (["gpu"], ["gpu", "slow"], [], ["slow"])
    )
    return (fast or slow) and not any(others)


def pytest_addoption(parser):
    parser.addoption("--shapes", action="store_true", help="check shapes of public functions in every test")


def pytest_configure(config):
    if config.option.shapes:
        from tests import shapes

        shapes.hold()
    if not only_gpu(config.option.markexpr):  # some tests fork, and what most expect is on the CPU
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    skip = pytest.mark.skip(reason="needs a CUDA device, and -m that selects gpu tests alone")
    for item in items:
        if "gpu" in item.keywords:
            item.add_marker(skip)


@pytest.fixture
def generator():
    """A seeded torch.Generator."""
    return torch.Generator().manual_seed(0)
