"""Cells against explicit products, plain loops and the counts of the papers; they are held to torch's calls."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence

import gantools as gt
from gantools.errors import GantoolsError
from gantools.nn import ModReLU
from gantools.nn.complex.activations import apply_modrelu
from gantools.nn.recurrent import (
    EUNN,
    GORU,
    KRU,
    URNN,
    AssociativeLSTM,
    FactoredUnitary,
    FullUnitaryRNN,
    KroneckerMap,
    RotationProduct,
    SequenceModel,
    factor_sizes,
    kronecker_matvec,
)
from tests.quick import few

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


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def make(name, n_in=3, n=8, seed=0, **options):
    return CELLS[name](n_in, n, rng=seeded(seed), **{"dtype": F64, **options})


def moved(cell, seed=5):
    """Away from the start, where modReLU is the identity and many weights are zero."""
    rng = seeded(seed)
    with torch.no_grad():
        for p in cell.parameters():
            p += 0.3 * torch.randn(p.shape, generator=rng, dtype=p.dtype)
    return cell


def draw(*shape, seed=1):
    return torch.randn(*shape, generator=seeded(seed), dtype=F64)


def as_numpy(pairs):
    pairs = pairs.detach().numpy()
    return pairs[..., 0] + 1j * pairs[..., 1]


def count(module):
    return sum(p.numel() for p in module.parameters())


def state_tensors(state):
    return state if isinstance(state, tuple) else (state,)


# The maps -----------------------------------------------------------------------------------------------------------


def unitarity_error(w):
    return float(np.abs(w.conj().T @ w - np.eye(len(w))).max())


def test_the_factored_map_is_the_explicit_product_and_unitary():
    n = 12
    map_ = moved(FactoredUnitary(n, dtype=F64, rng=seeded()))
    d1, d2, d3 = (np.diag(np.exp(1j * angles)) for angles in map_.angles.detach().numpy())
    reflections = []
    for v in as_numpy(map_.vectors):
        reflections.append(np.eye(n) - 2 * np.outer(v, v.conj()) / np.sum(np.abs(v) ** 2))
    r1, r2 = reflections
    fourier = np.exp(-2j * np.pi * np.outer(np.arange(n), np.arange(n)) / n) / math.sqrt(n)
    order = np.eye(n)[map_.permutation.numpy()]
    expected = d3 @ r2 @ fourier.conj().T @ d2 @ order @ r1 @ fourier @ d1
    assert np.abs(map_.matrix().detach().numpy() - expected).max() < 1e-12
    assert unitarity_error(map_.matrix().detach().numpy()) < 1e-12


def rotations(map_):
    """The layers, each multiplied out from its 2 x 2 blocks."""
    n = map_.size
    dtype = complex if map_.is_complex else float
    theta = iter(map_.theta.tolist())
    phi = iter([0.0] * len(map_.theta) if map_.phi is None else map_.phi.tolist())
    w = np.eye(n, dtype=dtype)
    for partner in map_.partner.tolist():
        layer = np.eye(n, dtype=dtype)
        for p in range(n):
            if (q := partner[p]) > p:
                t, turn = next(theta), np.exp(1j * next(phi)) if map_.is_complex else 1.0
                layer[p, p], layer[p, q] = turn * np.cos(t), -turn * np.sin(t)
                layer[q, p], layer[q, q] = np.sin(t), np.cos(t)
        w = layer @ w
    return w if map_.omega is None else np.diag(np.exp(1j * map_.omega.detach().numpy())) @ w


@pytest.mark.parametrize("is_complex", [True, False])
@pytest.mark.parametrize(
    ("n", "capacity", "style"), [(8, 2, "tunable"), (7, 5, "tunable"), (6, 6, "tunable"), (8, 2, "fft"), (2, 1, "fft")]
)
def test_rotations_are_the_explicit_product_and_unitary(n, capacity, style, is_complex):
    map_ = RotationProduct(n, capacity, style, is_complex, dtype=F64, rng=seeded())
    w = map_.matrix().detach().numpy()
    assert np.abs(w - rotations(map_)).max() < 1e-12
    assert unitarity_error(w) < 1e-12
    if not is_complex:
        assert np.linalg.det(w) == pytest.approx(1)


def test_the_layers_pair_neighbours_in_turn_or_as_a_butterfly():
    tunable = RotationProduct(6, 3, rng=seeded())
    assert tunable.partner.tolist() == [[1, 0, 3, 2, 5, 4], [0, 2, 1, 4, 3, 5], [1, 0, 3, 2, 5, 4]]
    butterfly = RotationProduct(8, style="fft", rng=seeded())
    assert butterfly.partner.tolist() == [[k ^ d for k in range(8)] for d in (4, 2, 1)]


@pytest.mark.parametrize(("capacity", "dimension"), [(2, 7), (4, 14), (8, 28)])
def test_full_capacity_reaches_all_of_the_rotation_group(capacity, dimension):
    """The rank of the derivative by the angles: 28 is the dimension of SO(8)."""
    map_ = RotationProduct(8, capacity, is_complex=False, dtype=F64, rng=seeded())

    def entries(theta):
        return torch.func.functional_call(map_, {"theta": theta}, (torch.eye(8, dtype=F64),)).flatten()

    jacobian = torch.autograd.functional.jacobian(entries, map_.theta.detach())
    assert torch.linalg.matrix_rank(jacobian, rtol=1e-8) == dimension


def test_kronecker_products_are_those_of_torch_for_any_factors():
    rng = seeded()
    shapes = [(2, 3), (4, 2), (1, 3), (3, 1)]
    factors = [torch.randn(*shape, generator=rng, dtype=torch.complex128) for shape in shapes]
    product = torch.kron(torch.kron(torch.kron(factors[0], factors[1]), factors[2]), factors[3])
    x = torch.randn(5, 2, product.shape[1], generator=rng, dtype=torch.complex128)
    assert torch.allclose(kronecker_matvec(factors, x), x @ product.T, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("n", "factors"), [(8, None), (12, None), (12, (3, 4)), (12, (12,)), (6, (1, 6)), (30, None)])
def test_the_kronecker_map_is_the_product_of_its_factors_and_starts_unitary(n, factors):
    map_ = KroneckerMap(n, factors, dtype=F64, rng=seeded())
    product = np.eye(1)
    for stored in map_.factors:
        product = np.kron(product, as_numpy(stored))
    assert np.abs(map_.matrix().detach().numpy() - product).max() < 1e-12
    assert unitarity_error(product) < 1e-12
    assert map_.penalty().item() < 1e-24


def test_the_penalty_is_the_distance_of_the_factors_from_the_unitary_group():
    map_ = moved(KroneckerMap(12, (2, 6), dtype=F64, rng=seeded()))
    expected = 0.0
    for stored in map_.factors:
        w = as_numpy(stored)
        expected += np.sum(np.abs(w.conj().T @ w - np.eye(len(w))) ** 2)
    assert map_.penalty().item() == pytest.approx(expected)


def test_sizes_are_merged_from_the_smallest():
    assert factor_sizes(512) == (2,) * 9
    assert factor_sizes(360) == (2, 2, 2, 3, 3, 5)
    assert factor_sizes(360, 3) == (5, 6, 12)
    assert factor_sizes(1) == (1,)


def test_the_full_map_is_unitary_wherever_its_weights_are_and_its_step_is_a_geodesic():
    cell = make("FullUnitaryRNN")
    start = cell.recurrent.matrix().detach()
    moved(cell)
    w = cell.recurrent.matrix().detach()
    assert unitarity_error(w.numpy()) < 1e-12
    # W W_0^H = exp(A) with A skew-Hermitian: its logarithm, from the eigenvalues, is the weight.
    values, vectors = np.linalg.eig((w @ start.mH).numpy())
    a = vectors @ np.diag(np.log(values)) @ np.linalg.inv(vectors)
    weight = cell.recurrent.linear.weight.detach().numpy()
    below, above = np.tril(weight, -1), np.triu(weight)
    assert np.abs(a - (below - below.T + 1j * (above + above.T))).max() < 1e-10


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


# Gradients through time ---------------------------------------------------------------------------------------------


def gradient_ratio(cell, steps=100):
    """|dC/dh_1| / |dC/dh_T| at the start, for a random linear cost of the last state."""
    x = draw(steps, 2, 3)
    _, first = cell(x[:1])
    first = [s.detach().requires_grad_() for s in state_tensors(first)]
    _, last = cell(x[1:], tuple(first) if len(first) > 1 else first[0])
    last = state_tensors(last)[0]
    by_last = draw(*last.shape, seed=9)
    (by_first, *_) = torch.autograd.grad((last * by_last).sum(), first)
    return (by_first.norm() / by_last.norm()).item()


@pytest.mark.parametrize("name", ["URNN", "KRU", "FullUnitaryRNN", "EUNN", "EUNN fft", "EUNN real"])
def test_gradients_neither_vanish_nor_explode_over_a_hundred_steps(name):
    assert gradient_ratio(make(name, n=64)) == pytest.approx(1, abs=1e-12)


def test_gradients_of_gated_nets_vanish():
    assert 1e-5 < gradient_ratio(make("GORU", n=64)) < 0.05
    torch_lstm = nn.LSTM(3, 64, dtype=F64)
    with torch.no_grad():
        for p in torch_lstm.parameters():
            p.uniform_(-1 / 8, 1 / 8, generator=seeded())
    assert gradient_ratio(torch_lstm) < 1e-10


# Games --------------------------------------------------------------------------------------------------------------


def sequence_loss(model, batch):
    outputs, state = model(batch["input"])
    total = (outputs[-1] * batch["target"]).sum(-1).square().mean()
    return total + sum(s.square().mean() for s in state_tensors(state))


def small_problem(name):
    cell = moved(make(name, 2, 4))
    return cell, {"input": draw(2, 3, 2).transpose(0, 1).contiguous(), "target": draw(2, cell.output_size, seed=3)}


def directions(n):
    return torch.linalg.qr(draw(n, 2, seed=8))[0]


def finite_differences(function, point, h=1e-6):
    """Central differences along the directions, (n, 2)."""
    return torch.stack(
        [(function(point + h * u) - function(point - h * u)) / (2 * h) for u in directions(len(point)).T], 1
    )


@pytest.mark.parametrize("name", few(CELLS, 4))
def test_hessians_are_those_of_finite_differences_in_both_modes(name):
    cell, batch = small_problem(name)
    game = gt.minimization(cell, sequence_loss)
    expected = finite_differences(lambda w: game.field_at(w, game.buffers(), batch).vector, game.vector())
    for method in ("reverse", "forward"):
        got = gt.analysis.hessian(cell, sequence_loss, batch, method=method) @ directions(game.num_parameters)
        assert (got - expected).abs().max() < 1e-7 * expected.abs().max()


@pytest.mark.parametrize("name", CELLS)
def test_second_derivatives_are_finite_where_the_state_is_exactly_zero(name):
    """No input, and every bias and first state zero: each modulus is then 0."""
    cell = make(name, 2, 4)
    with torch.no_grad():
        for label, p in cell.named_parameters():
            if label in ("bias", "h0"):
                p.zero_()
    batch = {"input": torch.zeros(3, 2, 2, dtype=F64), "target": draw(2, cell.output_size)}
    assert cell(batch["input"])[0].abs().max() == 0
    hessian = gt.analysis.hessian(cell, sequence_loss, batch, method="reverse")
    assert (hessian @ draw(hessian.n)).isfinite().all()


@pytest.mark.parametrize("name", few(CELLS, 4))
def test_a_game_of_cells_has_its_jacobian_and_update_operator(name):
    """A cell against a critic of its last output. Consensus differentiates the field, so the cell is here thrice."""
    cell, batch = small_problem(name)
    critic = nn.Linear(cell.output_size, 1, bias=False, dtype=F64)
    with torch.no_grad():
        critic.weight.copy_(draw(1, cell.output_size, seed=4))

    def losses(players, batch):
        score = players.critic(players.cell(batch["input"])[0][-1]).square().mean()
        return {"cell": score, "critic": 0.05 * players.critic.weight.square().sum() - score}

    game = gt.Game({"cell": cell, "critic": critic}, losses)
    w, u = game.vector(), directions(game.num_parameters)
    field = finite_differences(lambda w: game.field_at(w, game.buffers(), batch).vector, w)
    jacobian = gt.analysis.jacobian(game, batch, method="reverse")
    assert (jacobian @ u - field).abs().max() < 1e-7 * field.abs().max()
    assert (jacobian.T @ u - field).abs().max() > 1e-3 * field.abs().max()

    optimizer = gt.trainers.make("consensus", game, lr=0.01, gamma=1.0, base="sgd")
    state = optimizer.state
    expected = finite_differences(lambda w: optimizer.update(w, state, batch)[0], w, h=1e-5)
    got = gt.analysis.update_operator(optimizer, batch) @ u
    # Second derivatives of torch.matrix_exp carry ten digits, which the differences divide by h.
    assert (got - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.gpu
@pytest.mark.parametrize("name", CELLS)
def test_cells_compute_the_same_on_a_gpu(name):
    cell, x = moved(make(name)), draw(6, 4, 3)
    expected, _ = cell(x)
    got, _ = cell.cuda()(x.cuda())
    assert torch.allclose(got.cpu(), expected, rtol=0, atol=1e-10)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch's own, where it breaks a graph
@pytest.mark.parametrize("name", CELLS)
def test_cells_compute_the_same_when_compiled(name):
    cell, x = moved(make(name, 2, 4)), draw(3, 2, 2)
    torch.compiler.reset()
    compiled = torch.compile(cell, backend="aot_eager", dynamic=False)
    expected, _ = cell(x)
    got, _ = compiled(x)
    assert torch.allclose(got, expected, rtol=0, atol=1e-12)
    gradients = [torch.autograd.grad(o.square().sum(), list(cell.parameters())) for o in (expected, got)]
    for a, b in zip(*gradients, strict=True):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-12)
