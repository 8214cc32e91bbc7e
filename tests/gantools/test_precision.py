"""TF32 is off in an analysis on a GPU, and afterwards as the user had it."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from gantools.analysis import hessian

# PyTorch keeps what was once chosen by its newer switches, so every choice has a process of its own.
PROGRAM = """
import torch
from gantools.precision import whole_float32

def read():
    found = []
    for value in ("cudnn.allow_tf32", "cuda.matmul.allow_tf32", "cudnn.conv.fp32_precision",
                  "cudnn.rnn.fp32_precision", "cuda.matmul.fp32_precision"):
        try:
            found.append(eval("torch.backends." + value))
        except RuntimeError:
            found.append(None)
    return found

CHOICE
before = read()
for _ in range(2):
    with whole_float32(torch.device("cuda")):
        inside = read()
        with whole_float32(torch.device("cuda")):
            assert read() == inside
    assert read() == before, (before, read())
assert not {"tf32", True} & set(inside), inside
"""


@pytest.mark.parametrize(
    "choice",
    [
        "pass",
        "torch.backends.cuda.matmul.allow_tf32 = True",
        "torch.set_float32_matmul_precision('medium')",
        "torch.backends.cudnn.allow_tf32 = False",
        "torch.backends.fp32_precision = 'tf32'",
        "torch.backends.cudnn.conv.fp32_precision = 'ieee'",
        "torch.backends.cuda.matmul.fp32_precision = 'tf32'",
    ],
)
def test_whatever_was_chosen_is_off_inside_and_back_afterwards(choice):
    done = subprocess.run([sys.executable, "-c", PROGRAM.replace("CHOICE", choice)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


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
