"""Recurrent cells of every kind, small, with weights of a seed."""

import torch

from gantools.nn.recurrent import EUNN, GORU, KRU, URNN, AssociativeLSTM, FullUnitaryRNN
from tests.draws import seeded

F64 = torch.float64
CELLS = {
    "URNN": lambda n_in, n, **options: URNN(n_in, n, **options),
    "FullUnitaryRNN": lambda n_in, n, **options: FullUnitaryRNN(n_in, n, **options),
    "EUNN": lambda n_in, n, **options: EUNN(n_in, n, **options),
    "EUNN fft": lambda n_in, n, **options: EUNN(n_in, n, style="fft", **options),
    "EUNN factored": lambda n_in, n, **options: EUNN(n_in, n, capacity=3, factored=True, **options),
    "EUNN real": lambda n_in, n, **options: EUNN(n_in, n, capacity=4, is_complex=False, **options),
    "KRU": lambda n_in, n, **options: KRU(n_in, n, **options),
    "GORU": lambda n_in, n, **options: GORU(n_in, n, **options),
    "GORU factored": lambda n_in, n, **options: GORU(n_in, n, style="fft", factored=True, **options),
    "AssociativeLSTM": lambda n_in, n, **options: AssociativeLSTM(n_in, n, **options),
    "AssociativeLSTM 3 copies": lambda n_in, n, **options: AssociativeLSTM(
        n_in, n, copies=3, value_sees_state=False, **options
    ),
}


def make(name, n_in=3, n=8, seed=0, **options):
    return CELLS[name](n_in, n, rng=seeded(seed), **{"dtype": F64, **options})


def moved(cell, seed=5):
    """Away from the start, where modReLU is the identity and many weights are zero."""
    rng = seeded(seed)
    with torch.no_grad():
        for p in cell.parameters():
            p += 0.3 * torch.randn(p.shape, generator=rng, dtype=p.dtype)
    return cell


def as_numpy(pairs):
    pairs = pairs.detach().numpy()
    return pairs[..., 0] + 1j * pairs[..., 1]


def state_tensors(state):
    return state if isinstance(state, tuple) else (state,)
