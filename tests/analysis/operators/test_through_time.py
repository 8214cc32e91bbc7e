"""The recurrent Jacobian against products of known matrices and finite differences."""

import numpy as np
import pytest
import torch
from torch import nn

import gantools as gt
from gantools.errors import GantoolsError
from gantools.nn import GORU, URNN, AssociativeLSTM
from tests.draws import draw, seeded

F64 = torch.float64


def test_a_urnn_at_its_start_turns_the_state_by_powers_of_its_map():
    """modReLU is then the identity, so the Jacobian is W^10 as a real matrix; its spectrum lies on the unit circle."""
    cell = URNN(3, 6, dtype=F64, rng=seeded())
    jacobian = gt.analysis.recurrent_jacobian(cell, draw(11, 3))
    power = np.linalg.matrix_power(cell.recurrent.matrix().detach().numpy(), 10)
    expected = np.block([[power.real, -power.imag], [power.imag, power.real]])
    assert np.abs(jacobian.dense().numpy() - expected).max() < 1e-12
    assert (gt.analysis.spectrum(jacobian).values.abs() - 1).abs().max() < 1e-12
    assert "on the unit circle" in str(gt.analysis.stability(gt.analysis.spectrum(jacobian)))


@pytest.mark.parametrize("kind", ["goru", "alstm", "rnn", "lstm"])
def test_it_is_the_derivative_of_the_last_state_by_the_first(kind):
    cell = {
        "goru": lambda: GORU(3, 4, dtype=F64, rng=seeded()),
        "alstm": lambda: AssociativeLSTM(3, 4, 2, dtype=F64, rng=seeded()),
        "rnn": lambda: nn.RNN(3, 4, dtype=F64),
        "lstm": lambda: nn.LSTM(3, 4, dtype=F64),
    }[kind]()
    with torch.no_grad():
        for p in cell.parameters():
            p.copy_(0.5 * draw(*p.shape, seed=p.numel()))
    x = draw(5, 3)
    _, state = cell(x[:2])
    jacobian = gt.analysis.recurrent_jacobian(cell, x[2:], state)
    parts = state if isinstance(state, tuple) else (state,)
    flat = torch.cat([p.detach().flatten() for p in parts])

    def last(flat):
        pieces = [p.view_as(s) for p, s in zip(flat.split([s.numel() for s in parts]), parts, strict=True)]
        _, end = cell(x[2:], tuple(pieces) if isinstance(state, tuple) else pieces[0])
        return torch.cat([p.detach().flatten() for p in (end if isinstance(end, tuple) else (end,))])

    h = 1e-6
    eye = torch.eye(len(flat), dtype=F64)
    expected = torch.stack([(last(flat + h * e) - last(flat - h * e)) / (2 * h) for e in eye], 1)
    assert (jacobian.dense() - expected).abs().max() < 1e-8
    assert (jacobian.T.dense() - expected.T).abs().max() < 1e-8
    assert list(jacobian.slices) == (["h", "c"] if isinstance(state, tuple) else ["h"])
    before = jacobian.dense()
    with torch.no_grad():
        for p in cell.parameters():
            p.zero_()
    assert torch.allclose(jacobian.dense(), before, rtol=0, atol=1e-14)


def test_batches_and_single_steps_are_refused():
    cell = URNN(3, 4)
    with pytest.raises(GantoolsError, match="one sequence"):
        gt.analysis.recurrent_jacobian(cell, torch.zeros(5, 2, 3))
    with pytest.raises(GantoolsError, match="two steps"):
        gt.analysis.recurrent_jacobian(cell, torch.zeros(1, 3))
