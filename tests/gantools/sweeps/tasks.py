"""Tasks for tests of sweeps, in a module that other processes import."""

import os
import signal

import torch

from gantools.errors import NonFiniteFieldError


def squared(number):
    return number**2


def told(number):
    """Return the process and its number of threads beside the number."""
    return number, os.getpid(), torch.get_num_threads()


def killed_once(folder, number):
    """End the process of task 1 the first time, as the system does where memory runs out."""
    mark = folder / "killed"
    if number == 1 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number


def killed(number):
    os.kill(os.getpid(), signal.SIGKILL)


def failing(number):
    raise NonFiniteFieldError("The field is NaN", "lower the rate", "generator", 3)
