"""TF32 is off in an analysis on a GPU, and afterwards as the user had it."""

import multiprocessing

import pytest
import torch
from torch import nn

from gantools.analysis import hessian
from gantools.precision import whole_float32

CHOICES = {
    "nothing": lambda backends: None,
    "matmul by the older switch": lambda backends: setattr(backends.cuda.matmul, "allow_tf32", True),
    "matmul by its precision": lambda backends: torch.set_float32_matmul_precision("medium"),
    "no TF32": lambda backends: setattr(backends.cudnn, "allow_tf32", False),
    "all by the newer switch": lambda backends: setattr(backends, "fp32_precision", "tf32"),
    "convolutions by the newer switch": lambda backends: setattr(backends.cudnn.conv, "fp32_precision", "ieee"),
    "matmul by the newer switch": lambda backends: setattr(backends.cuda.matmul, "fp32_precision", "tf32"),
}


def switches():
    """Return what PyTorch says of every switch, None where it refuses to."""
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    found = []
    for where, name in [
        *((where, "allow_tf32") for where in (cudnn, matmul)),
        *((where, "fp32_precision") for where in (cudnn.conv, cudnn.rnn, matmul)),
    ]:
        try:
            found.append(getattr(where, name))
        except RuntimeError:
            found.append(None)
    return found


def examine(choice):
    CHOICES[choice](torch.backends)
    before = switches()
    for _ in range(2):
        with whole_float32(torch.device("cuda")):
            inside = switches()
            with whole_float32(torch.device("cuda")):
                assert switches() == inside
        assert switches() == before, (before, switches())
        assert not {"tf32", True} & set(inside), inside


@pytest.mark.parametrize("choice", CHOICES)
def test_whatever_was_chosen_is_off_inside_and_back_afterwards(choice):
    # PyTorch remembers what was once chosen by its newer switches, so every choice has a process of its own.
    child = multiprocessing.get_context("fork").Process(target=examine, args=(choice,))
    child.start()
    child.join()
    assert child.exitcode == 0


@pytest.mark.gpu
def test_products_of_convolutions_are_those_of_float64(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", True)
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(16, 32, 3), nn.Tanh(), nn.Conv2d(32, 32, 3), nn.Tanh(), nn.Flatten())
    x = torch.randn(64, 16, 16, 16)
    u = torch.randn(sum(p.numel() for p in net.parameters()))
    found = {}
    for dtype in (torch.float64, torch.float32):
        net, data, along = net.to("cuda", dtype), x.to("cuda", dtype), u.to("cuda", dtype)
        for method in ("reverse", "forward"):
            H = hessian(net, lambda m, batch: m(batch).square().mean(), data, method=method)
            found[dtype, method] = (H @ along).double()
    right = found[torch.float64, "reverse"]
    for product in found.values():
        assert (product - right).norm() < 2e-5 * right.norm()
