"""Dropout is off in looks, however it is called; the numbers are those of the net without it."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import gantools as gt
from gantools.watching.dropout import DropoutOff
from tests.game_oracles import finite_jacobian, match_distance

F64 = torch.float64


def attention(x, p):
    return F.scaled_dot_product_attention(x, x, x, None, p)


def heads(x, p, training=True):
    eye, zero = torch.eye(4, dtype=F64), torch.zeros(12, dtype=F64)
    given = (x, x, x, 4, 2, torch.cat([eye] * 3), zero, None, None, False, p, eye, zero[:4])
    return F.multi_head_attention_forward(*given, training=training)[0]


def recurrent(x, p):
    torch.manual_seed(0)
    net = nn.LSTM(4, 3, num_layers=2, dropout=p).to(F64)
    return net(x)[0]


CALLS = {
    "default": lambda x, p: F.dropout(x, p),
    "by name": lambda x, p: F.dropout(x, p=p, training=True),
    "in place": lambda x, p: F.dropout(x.clone(), p, True, True),
    "alpha": lambda x, p: F.alpha_dropout(x, p, training=True),
    "of features": lambda x, p: F.feature_alpha_dropout(x, p, True),
    "of channels": lambda x, p: F.dropout1d(x, p),
    "of torch": lambda x, p: torch.dropout(x, p, train=True),
    "in place of torch": lambda x, p: torch.dropout_(x.clone(), p, True),
    "native": lambda x, p: torch.native_dropout(x, p, True)[0],
    "attention": attention,
    "attention by name": lambda x, p: F.scaled_dot_product_attention(x, x, x, dropout_p=p),
    "heads": heads,
    "recurrent": recurrent,
    "module": lambda x, p: nn.Dropout(p)(x),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_of_every_call_is_off(call):
    x = torch.randn(5, 2, 4, dtype=F64, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(1)
    assert not torch.allclose(call(x, 0.5), call(x, 0.0))
    with DropoutOff() as off:
        assert torch.equal(call(x, 0.0), expected := call(x, 0.0)) and not off.met
        assert torch.equal(call(x, 0.5), expected) and off.met


@pytest.mark.parametrize(
    "call", [lambda x: F.dropout(x, 0.5, training=False), lambda x: F.alpha_dropout(x), lambda x: heads(x, 0.5, False)]
)
def test_that_is_off_anyway_is_not_met(call):
    with DropoutOff() as off:
        call(torch.ones(5, 2, 4, dtype=F64))
    assert not off.met


class Net(nn.Module):
    """A net as public code writes it: dropout is a function that is told the module's mode."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(2, 3, dtype=F64), nn.Linear(3, 1, dtype=F64)

    def forward(self, x):
        return self.last(F.dropout(torch.tanh(self.first(x)), 0.5, training=self.training))


@pytest.mark.parametrize("how", ["losses", "update"])
def test_a_look_is_at_the_net_without_it(how):
    net, x = Net(), torch.randn(6, 2, dtype=F64, generator=torch.Generator().manual_seed(3))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)

    def losses(players, x):
        return {"net": (net(x) - x.sum(1, keepdim=True)).square().mean()}

    def step(x):
        optimizer.zero_grad()
        losses(None, x)["net"].backward()
        optimizer.step()

    own = {"update": step} if how == "update" else {"losses": losses}
    options = {"optimizers": optimizer, "every": 1, "k": 13, "tol": 1e-8, "max_matvecs": 500, "budget": None}
    with pytest.warns(UserWarning, match="Dropout of (functions that your losses call|your step) is switched off"):
        look = gt.watch({"net": net}, **own, **options)(0, x)
    assert net.training and len(look.notes) == 1

    def field(w):
        nn.utils.vector_to_parameters(w, net.parameters())
        return nn.utils.parameters_to_vector(torch.autograd.grad(losses(None, x)["net"], list(net.parameters())))

    net.eval()
    H = np.linalg.eigvals(finite_jacobian(field, nn.utils.parameters_to_vector(net.parameters()).detach()).numpy())
    assert match_distance(look.spectra["game/update"].values.numpy(), 1 - 0.1 * H) < 1e-5
    if how == "losses":
        assert match_distance(look.spectra["game/jacobian"].values.numpy(), H) < 1e-8 * abs(H).max()
