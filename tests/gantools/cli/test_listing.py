"""`gantools list`: read from the sources, equal to the registries that running them fills."""

import subprocess
import sys

import pytest

from gantools.cli import main
from gantools.cli.commands.listing import AXES
from gantools.cli.registered import registered
from gantools.data import DATA
from gantools.losses import LOSSES
from gantools.networks import NETWORKS
from gantools.nn import ACTIVATIONS
from gantools.regularizers import REGULARIZERS
from gantools.schedules import SCHEDULES
from gantools.trainers import AVERAGES, BASES, OPTIMIZERS

REGISTRIES = {
    "optimizers": OPTIMIZERS,
    "losses": LOSSES,
    "data": DATA,
    "networks": NETWORKS,
    "activations": ACTIVATIONS,
    "regularizers": REGULARIZERS,
    "bases": BASES,
    "schedules": SCHEDULES,
    "averages": AVERAGES,
}


def test_every_axis_has_its_registry():
    assert list(AXES) == list(REGISTRIES)


@pytest.mark.parametrize("axis", AXES)
def test_entries_are_those_of_the_registry(axis):
    registry, entries = REGISTRIES[axis], registered(*AXES[axis])
    assert list(entries) == list(registry)
    for name, entry in entries.items():
        found = registry[name]
        assert entry.described == registry.describe(name)
        assert entry.paper == getattr(found, "paper", "")
        assert entry.cost == getattr(found, "cost", "")


def test_the_lines(capsys):
    assert main(["list"]) == 0
    everything = capsys.readouterr().out
    for axis, registry in REGISTRIES.items():
        assert f"{axis}:" in everything
        assert main(["list", axis]) == 0
        one = capsys.readouterr().out
        assert one in everything
        assert [line.split()[0] for line in one.splitlines()] == list(registry)
        assert all(len(line.split()) > 3 for line in one.splitlines())


@pytest.mark.parametrize("command", ["--help", "list"])
def test_no_torch_is_loaded(command):
    heavy = "('torch', 'numpy', 'scipy', 'matplotlib', 'tensorboard', 'gantools.games.game')"
    code = (
        f"import sys, gantools.cli; gantools.cli.main([{command!r}]);"
        f"sys.exit(', '.join(name for name in {heavy} if name in sys.modules) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 0, done.stderr
