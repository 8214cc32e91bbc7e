"""Looks and their binary form: every number comes back, and nothing that is no number does harm."""

import json
import math
import struct

import numpy as np
import pytest
import torch

import gantools as gt
from gantools.board.live.looks import (
    decode,
    density_look,
    encode,
    index_look,
    padded,
    path_look,
    spectrum_look,
    stream,
)
from tests.gantools.board.live.logs import spectrum

NAN, INF = float("nan"), float("inf")


def there_and_back(look):
    facts, arrays = decode(encode(look))
    assert set(arrays) == set(look[1])
    for name, array in look[1].items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)
    return facts, arrays


def test_a_spectrum():
    values = np.array([1 + 2j, 1 - 2j, NAN, complex(INF, 1), -3])
    found = spectrum(values, converged=[1, 1, 0, 0, 1], n=40, shares={"G": np.arange(5) / 5})
    facts, arrays = there_and_back(spectrum_look(found, lr=0.5, beside={"modes": np.float32(8)}))
    assert facts["beside"] == {"modes": 8.0}
    assert facts["kind"] == "spectrum" and facts["operator"] == "field"
    assert (facts["n"], facts["complete"], facts["which"], facts["lr"]) == (40, False, "LM", 0.5)
    np.testing.assert_array_equal(arrays["real"], values.real)
    np.testing.assert_array_equal(arrays["imag"], values.imag)
    np.testing.assert_array_equal(arrays["converged"], [1, 1, 0, 0, 1])
    np.testing.assert_allclose(arrays["share G"], np.arange(5) / 5, rtol=1e-6)


def test_a_real_spectrum_has_no_imaginary_parts():
    assert "imag" not in spectrum_look(spectrum([1.0, -2.0], kind="hessian"))[1]


@pytest.mark.parametrize(
    ("values", "kind", "dtype"),
    [
        ([1.0, 2.0], "field", np.float32),
        ([1.0, 1e300], "field", np.float64),
        ([1.0, 1e-300], "field", np.float64),
        ([0.0, NAN, INF], "field", np.float32),
        ([1 - 1e-12, 1.0], "map", np.float64),
    ],
)
def test_single_precision_only_where_nothing_is_lost(values, kind, dtype):
    assert spectrum_look(spectrum(values, kind=kind))[1]["real"].dtype == dtype


@pytest.mark.parametrize("values", [[], [1 + 0j], [NAN], [1.0] * 7])
def test_any_length(values):
    there_and_back(spectrum_look(spectrum(values)))


def test_results_of_ours():
    matrix = torch.diag(torch.tensor([3.0, 1, 0, -2], dtype=torch.float64))
    A = gt.analysis.LinearOperator(lambda u: matrix @ u, 4, symmetric=True)
    density = gt.analysis.spectral_density(A, probes=2, steps=4)
    facts, arrays = there_and_back(density_look(density))
    assert facts["n"] == 4 and facts["confidence"] == density.confidence
    np.testing.assert_allclose(arrays["upper"], density.upper, rtol=1e-6)
    facts, _ = there_and_back(index_look(gt.analysis.index(A)))
    assert (facts["negative"], facts["zero"], facts["positive"]) == (0.25, 0.25, 0.5)
    assert facts["interval"]["positive"] == [0.5, 0.5]


def test_a_path():
    module = torch.nn.Linear(2, 1, bias=False).double()
    game = gt.minimization(module, lambda model, batch: model(batch).square().mean())
    batch = torch.eye(2, dtype=torch.float64)
    start, end = torch.ones(2, dtype=torch.float64), torch.zeros(2, dtype=torch.float64)
    path = gt.analysis.path_angle(game, start, end, batch, points=13)
    facts, arrays = there_and_back(path_look(path))
    np.testing.assert_allclose(arrays["alpha"], path.alpha, rtol=1e-6)
    assert facts["attraction"] is not None


def test_shares_are_those_of_the_eigenvectors():
    # Two uncoupled blocks: each eigenvector lies in one of them.
    matrix = torch.block_diag(torch.tensor([[1.0, 5], [-5, 1]]), torch.tensor([[2.0, 1], [-1, 3]])).double()
    A = gt.analysis.LinearOperator(lambda u: matrix @ u, 4, dtype=torch.float64)
    A.slices = {"G": slice(0, 2), "D": slice(2, 4)}
    for found in (gt.analysis.spectrum(A, vectors=True), gt.analysis.eigenvalues(A, k=4)):
        of_G = found.values.imag.abs() > 3
        np.testing.assert_allclose(found.shares["G"][of_G], 1, atol=1e-9)
        np.testing.assert_allclose(found.shares["G"][~of_G], 0, atol=1e-9)
        np.testing.assert_allclose(found.shares["G"] + found.shares["D"], 1)
        assert set(found.to_numpy()) >= {"share G", "share D"}
    assert gt.analysis.spectrum(A, vectors=False).shares == {}


def test_what_json_has_not_becomes_null():
    density = gt.analysis.spectral_density(
        gt.analysis.LinearOperator(lambda u: u, 2, symmetric=True, dtype=torch.float64), probes=1, steps=2
    )
    facts, arrays = density_look(density)
    data = encode((facts | {"width": NAN, "atom": (INF, np.float32(0.5))}, arrays))
    assert b"NaN" not in data and b"Infinity" not in data
    assert decode(data)[0]["width"] is None and decode(data)[0]["atom"] == [None, 0.5]


@pytest.mark.parametrize("data", [b"", b"abc", bytes(100), struct.pack("<I", 2) + b"[]", struct.pack("<I", 2) + b"{}"])
def test_bytes_that_are_no_look(data):
    with pytest.raises(ValueError, match="no look"):
        decode(data)


def test_a_later_version_is_refused():
    header = json.dumps({"version": 99, "arrays": []}).encode()
    with pytest.raises(ValueError, match="version 99"):
        decode(struct.pack("<I", len(header)) + header)


def test_a_stream_is_aligned():
    parts = [(3, 1.5, b"12345"), (9, 2.5, b"x" * 8), (10, 3.0, b"")]
    data, offset = stream(parts), 0
    for step, wall_time, content in parts:
        assert struct.unpack_from("<3d", data, offset) == (step, wall_time, len(content))
        assert data[offset + 24 : offset + 24 + len(content)] == content
        offset += 24 + 8 * math.ceil(len(content) / 8)
    assert offset == len(data) and len(padded(b"1")) == 8
