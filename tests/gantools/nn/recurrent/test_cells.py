"""Cells against explicit products, plain loops and the counts of the papers; they are held to torch's calls."""

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence

from gantools.errors import GantoolsError
from gantools.nn import ModReLU
from gantools.nn.complex.activations import apply_modrelu
from gantools.nn.recurrent import (
    EUNN,
    KRU,
    URNN,
    AssociativeLSTM,
    FactoredUnitary,
    FullUnitaryRNN,
    KroneckerMap,
    RotationProduct,
    SequenceModel,
)
from tests.draws import draw, seeded
from tests.gantools.nn.recurrent.cells import CELLS, F64, as_numpy, make, moved, state_tensors


def count(module):
    return sum(p.numel() for p in module.parameters())


# Counts of the papers -----------------------------------------------------------------------------------------------


def test_parameter_counts_are_those_of_the_papers():
    n = 128
    assert count(FactoredUnitary(n, rng=seeded())) == 7 * n
    assert count(SequenceModel(URNN(10, 128, rng=seeded()), 9)) == 6153  # arXiv:1511.06464: "about 6500"
    assert count(SequenceModel(URNN(2, 512, rng=seeded()), 1)) == 8193  # "almost 9K"
    assert [count(KroneckerMap(size, rng=seeded())) for size in (128, 512)] == [56, 72]  # 8 log2 n
    assert count(FullUnitaryRNN(1, 16, rng=seeded()).recurrent) == 16**2
    assert count(RotationProduct(16, 16, rng=seeded())) == 16**2
    assert count(RotationProduct(16, 4, rng=seeded())) == 4 * 15 + 16
    assert count(RotationProduct(16, style="fft", rng=seeded())) == 16 * 4 + 16
    assert count(RotationProduct(16, 16, is_complex=False, rng=seeded())) == 16 * 15 // 2
    for copies in (1, 4):
        assert count(AssociativeLSTM(10, 128, copies, rng=seeded())) == 576 * (10 + 128 + 1)


# Steps against plain loops ------------------------------------------------------------------------------------------


def plain_modrelu(z, b):
    size = np.abs(z)
    return np.where(size + b > 0, (size + b) * z / np.where(size == 0, 1, size), 0)


def test_modrelu_is_that_of_the_layer_and_has_finite_derivatives_at_zero():
    z = torch.tensor([[0, 3 - 4j, -0.1j, 2]], dtype=torch.complex128, requires_grad=True)
    b = torch.tensor([0.5, -1.0, -0.5, 0.2], dtype=F64, requires_grad=True)
    layer = ModReLU(4).double()
    with torch.no_grad():
        layer.bias.copy_(b)
    expected = torch.from_numpy(plain_modrelu(z.detach().numpy(), b.detach().numpy()))
    assert torch.allclose(apply_modrelu(z, b), expected) and torch.allclose(layer(z), expected)
    assert torch.allclose(apply_modrelu(z, b)[0, 1], torch.tensor(4 / 5 * (3 - 4j), dtype=torch.complex128))
    first = torch.autograd.grad(apply_modrelu(z, b).abs().square().sum(), (z, b), create_graph=True)
    second = torch.autograd.grad(sum(g.abs().square().sum() for g in first), (z, b))
    assert all(g.isfinite().all() for g in (*first, *second))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def plain_unitary(cell, x):
    w, b = cell.recurrent.matrix().detach().numpy(), cell.bias.detach().numpy()
    is_complex = cell.recurrent.is_complex
    v = as_numpy(cell.weight) if is_complex else cell.weight.detach().numpy()
    h0 = as_numpy(cell.h0) if is_complex else cell.h0.detach().numpy()
    h, outputs = np.tile(h0, (x.shape[1], 1)), []
    for x_t in x.numpy():
        h = plain_modrelu(h @ w.T + x_t @ v.T, b)
        outputs.append(np.concatenate([h.real, h.imag], 1) if is_complex else h)
    return np.stack(outputs)


@pytest.mark.parametrize("name", [name for name in CELLS if "GORU" not in name and "Associative" not in name])
def test_unitary_cells_are_their_plain_loop(name):
    cell, x = moved(make(name)), draw(6, 4, 3)
    assert np.abs(cell(x)[0].detach().numpy() - plain_unitary(cell, x)).max() < 1e-12


@pytest.mark.parametrize("name", ["GORU", "GORU factored"])
def test_goru_is_its_plain_loop(name):
    cell, x, n = moved(make(name)), draw(6, 4, 3), 8
    q = cell.recurrent.matrix().detach().numpy()
    u_r, u_z, u_c = np.split(cell.weight.detach().numpy(), 3)
    w_r, w_z = np.split(cell.gate_weight.detach().numpy(), 2)
    b_r, b_z = np.split(cell.gate_bias.detach().numpy(), 2)
    h = np.zeros((4, n))
    for x_t, output in zip(x.numpy(), cell(x)[0].detach().numpy(), strict=True):
        r = sigmoid(h @ w_r.T + x_t @ u_r.T + b_r)
        z = sigmoid(h @ w_z.T + x_t @ u_z.T + b_z)
        c = plain_modrelu(x_t @ u_c.T + r * (h @ q.T), cell.bias.detach().numpy())
        h = z * h + (1 - z) * c
        assert np.abs(output - h).max() < 1e-12


def plain_bound(z):
    return z / np.maximum(1, np.abs(z))


@pytest.mark.parametrize(("copies", "sees"), [(1, True), (3, True), (2, False)])
def test_the_associative_lstm_is_its_plain_loop(copies, sees):
    cell = AssociativeLSTM(3, 8, copies, sees, dtype=F64, rng=seeded())
    x, m = draw(6, 5, 3), 4
    moved(cell)
    w_x, w_h, b = (p.detach().numpy() for p in (cell.weight, cell.state_weight, cell.bias))
    if not sees:
        assert w_h.shape == (7 * m, 2 * m)
        w_h = np.concatenate([w_h, np.zeros((2 * m, 2 * m))])
    h, c = np.zeros((5, m), dtype=complex), np.zeros((copies, 5, m), dtype=complex)
    outputs, (last_h, last_c) = cell(x)
    for x_t, output in zip(x.numpy(), outputs.detach().numpy(), strict=True):
        total = x_t @ w_x.T + np.concatenate([h.real, h.imag], 1) @ w_h.T + b
        gates, numbers = sigmoid(total[:, : 3 * m]), total[:, 3 * m :]
        g_f, g_i, g_o = gates[:, :m], gates[:, m : 2 * m], gates[:, 2 * m :]
        r_i, r_o, u = (plain_bound(p[:, :m] + 1j * p[:, m:]) for p in np.split(numbers, 3, 1))
        read = 0
        for s, order in enumerate(cell.permutations.numpy()):
            c[s] = g_f * c[s] + r_i[:, order] * (g_i * u)
            read = read + r_o[:, order] * c[s] / copies
        h = g_o * plain_bound(read)
        assert np.abs(output - np.concatenate([h.real, h.imag], 1)).max() < 1e-12
    assert np.abs(last_h[0].detach().numpy() - output).max() < 1e-12
    assert np.abs(last_c.detach().numpy() - np.concatenate([c.real, c.imag], -1)).max() < 1e-12


# The calls of torch.nn.RNN ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CELLS)
def test_shapes_are_those_of_torch(name):
    cell, x = moved(make(name)), draw(6, 4, 3)
    outputs, state = cell(x)
    h = state_tensors(state)[0]
    assert outputs.shape == (6, 4, cell.output_size)
    assert h.shape == (1, 4, cell.output_size)
    assert torch.equal(outputs[-1], h[0])
    turned = moved(make(name, batch_first=True))
    assert torch.allclose(turned(x.transpose(0, 1))[0], outputs.transpose(0, 1), rtol=0, atol=1e-13)
    alone, last = cell(x[:, 1])
    assert torch.allclose(alone, outputs[:, 1], rtol=0, atol=1e-13)
    assert state_tensors(last)[0].shape == (1, cell.output_size)


@pytest.mark.parametrize("name", CELLS)
def test_a_sequence_may_be_run_in_parts(name):
    cell, x = moved(make(name)), draw(7, 4, 3)
    whole, last = cell(x)
    first, state = cell(x[:3])
    second, end = cell(x[3:], state)
    assert torch.allclose(torch.cat([first, second]), whole, rtol=0, atol=1e-12)
    for a, b in zip(state_tensors(end), state_tensors(last), strict=True):
        assert torch.allclose(a, b, rtol=0, atol=1e-12)
    single, state = cell(x[:3, 2])
    rest, _ = cell(x[3:, 2], state)
    assert torch.allclose(torch.cat([single, rest]), whole[:, 2], rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", CELLS)
def test_packed_sequences_are_run_as_if_each_were_alone(name):
    cell = moved(make(name))
    sequences = [draw(length, 3, seed=length) for length in (2, 5, 1, 5, 3)]
    packed = pack_sequence(sequences, enforce_sorted=False)
    outputs, state = cell(packed)
    padded, lengths = pad_packed_sequence(outputs)
    assert lengths.tolist() == [2, 5, 1, 5, 3]
    for k, sequence in enumerate(sequences):
        alone, last = cell(sequence)
        assert torch.allclose(padded[: len(sequence), k], alone, rtol=0, atol=1e-12)
        for a, b in zip(state_tensors(state), state_tensors(last), strict=True):
            assert torch.allclose(a[:, k], b, rtol=0, atol=1e-12)
    # A given state is in the caller's order, and the next part goes on from the one returned.
    again, _ = cell(packed, state)
    later, _ = cell(sequences[1], tuple(s[:, 1] for s in state) if isinstance(state, tuple) else state[:, 1])
    assert torch.allclose(pad_packed_sequence(again)[0][:5, 1], later, rtol=0, atol=1e-12)


def test_sorted_packed_sequences_keep_their_order():
    cell, x = moved(make("URNN")), draw(4, 3, 3)
    outputs, state = cell(pack_padded_sequence(x, [4, 2, 1]))
    padded, _ = pad_packed_sequence(outputs)
    whole, _ = cell(x)
    assert torch.allclose(padded[:2, 1], whole[:2, 1], rtol=0, atol=1e-13)
    assert torch.allclose(state[0, 2], whole[0, 2], rtol=0, atol=1e-13)


@pytest.mark.parametrize("name", CELLS)
def test_weights_come_from_the_generator_alone_and_in_any_precision(name):
    before = torch.get_rng_state()
    cell = make(name, dtype=torch.float32)
    assert torch.equal(torch.get_rng_state(), before)
    for one, two, other in zip(
        cell.parameters(), make(name).parameters(), make(name, seed=1).parameters(), strict=True
    ):
        assert torch.equal(one, two.float())
        assert one.dtype == torch.float32
        assert one.unique().numel() <= 2 or not torch.equal(two, other)


def test_the_first_state_of_a_urnn_has_unit_norm_on_average():
    squares = [URNN(1, 64, rng=seeded(seed)).h0.square().sum().item() for seed in range(200)]
    assert np.mean(squares) == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: URNN(0, 4), "at least 1"),
        (lambda: EUNN(3, 6, style="fft"), "power of two, not 6"),
        (lambda: EUNN(3, 6, style="ftt"), "Unknown style 'ftt'"),
        (lambda: EUNN(3, 6, capacity=7), "from 1 to 6"),
        (lambda: KRU(3, 8, factors=(2, 2)), "multiply to 4: make it 8"),
        (lambda: AssociativeLSTM(3, 7), "even number"),
        (lambda: AssociativeLSTM(3, 8, copies=0), "copies >= 1"),
        (lambda: URNN(3, 4)(torch.zeros(5, 2, 4)), "4 features, but input_size is 3"),
        (lambda: URNN(3, 4)(torch.zeros(5)), r"pass \(T, B, 3\)"),
        (lambda: URNN(3, 4)(torch.zeros(0, 2, 3)), "empty"),
        (lambda: URNN(3, 4)(torch.zeros(5, 2, 3), torch.zeros(1, 3, 8)), r"pass \[\(1, 2, 8\)\]"),
        (lambda: AssociativeLSTM(3, 4, 2)(torch.zeros(5, 2, 3), torch.zeros(1, 2, 4)), r"\(2, 2, 4\)"),
    ],
)
def test_what_does_not_fit_is_one_sentence(call, message):
    with pytest.raises(GantoolsError, match=message):
        call()
