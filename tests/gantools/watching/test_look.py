"""What a look computes of losses as users write them, against differences of plain autograd in float64."""

import numpy as np
import pytest
import torch
from torch import nn

import gantools as gt
from gantools.errors import GantoolsError
from tests.game_oracles import finite_jacobian, match_distance
from tests.gantools.watching.loops import Loop


class Small(Loop):
    """The loop with few parameters, for looks at losses that are evaluated many times."""

    def __init__(self):
        super().__init__(torch.float64)
        self.G = nn.Linear(2, 2, bias=False).double()
        self.D = nn.Sequential(nn.Linear(2, 1, bias=False), nn.Tanh()).double()


def plain_eigenvalues(loop, losses, batch):
    """Eigenvalues of the field's Jacobian by differences of plain autograd; the loop's parameters are put back."""
    parameters = [p for module in loop.players.values() for p in module.parameters()]
    start = nn.utils.parameters_to_vector(parameters).detach().clone()

    def field(w):
        nn.utils.vector_to_parameters(w, parameters)
        found = losses(loop.players, batch)
        own = [
            torch.autograd.grad(found[name], list(module.parameters()), retain_graph=True)
            for name, module in loop.players.items()
        ]
        return torch.cat([g.reshape(-1) for gradients in own for g in gradients])

    J = finite_jacobian(field, start)
    nn.utils.vector_to_parameters(start, parameters)
    return np.linalg.eigvals(J.numpy())


def assert_right(spectrum, expected, rtol=1e-7):
    assert match_distance(spectrum.values.numpy(), expected) < rtol * abs(expected).max()


def test_a_field_that_autograd_cannot_differentiate_is_differenced():
    loop = Small()
    batch = loop.batch()

    def losses(players, batch):
        found = loop.losses(players, batch)
        return found | {"D": found["D"] * (1 + found["G"].item())}  # a number to autograd, and not to the field

    with pytest.warns(UserWarning, match="by central differences in looks. The derivative of the field of player 'D'"):
        look = gt.watch(loop.players, losses, every=1)(0, batch)
    assert len(look.notes) == 1 and "method=" not in look.notes[0]
    assert_right(look.spectra["game/jacobian"], plain_eigenvalues(loop, losses, batch))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is")
@pytest.mark.parametrize("how", ["losses", "update"])
def test_a_scripted_player_is_refused_with_what_serves_it(how):
    loop = Small()
    loop.D = torch.jit.script(loop.D)
    batch = loop.batch()
    optimizer = torch.optim.SGD([*loop.G.parameters(), *loop.D.parameters()], lr=0.1)
    own = {"losses": loop.losses} if how == "losses" else {"update": loop.step}
    with pytest.raises(GantoolsError, match="Player 'D' holds a module compiled by torch.jit.*update_operator"):
        gt.watch(loop.players, optimizers=optimizer, **own)
    if how == "losses":
        game, expected = gt.Game(loop.players, loop.losses), plain_eigenvalues(loop, loop.losses, batch)
        U = gt.analysis.update_operator(optimizer, batch, game=game, turns="together").dense()
        assert match_distance(np.linalg.eigvals(U.numpy()), 1 - 0.1 * expected) < 1e-7
