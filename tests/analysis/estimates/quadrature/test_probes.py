"""Probes with three vectors or a stored basis, what is known before them, and work that is interrupted or goes on."""

import dataclasses

import numpy as np
import pytest
import torch

from gantools.analysis import LinearOperator, index, spectral_density
from gantools.analysis.estimates.quadrature.known import find_known
from gantools.analysis.estimates.quadrature.plan import plan
from gantools.analysis.estimates.quadrature.probes import Probing
from gantools.errors import GantoolsError, GantoolsWarning
from tests import oracles
from tests.quick import few

DTYPES = [torch.float64, torch.float32]


def spectrum(n=300, seed=0):
    rng = np.random.default_rng(seed)
    return np.concatenate([0.05 * rng.standard_normal(n - 8), [-1.0, -0.7, 0.6, 0.8, 1.0, 1.3, 2.0, 3.0]])


def counted(A, limit):
    """Return the same operator that raises KeyboardInterrupt in the product after `limit` more."""
    left = [limit]

    def product(u):
        left[0] -= 1
        if left[0] < 0:
            raise KeyboardInterrupt
        return A @ u

    return LinearOperator(product, A.n, dtype=A.dtype, symmetric=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("leading", [3, 12])
def test_counts_of_the_parts_add_up_although_the_leading_pairs_are_inexact(dtype, leading, monkeypatch):
    """Sylvester: within the reach, the leading values and the complement's count the operator's own, at each point."""
    monkeypatch.setattr("gantools.analysis.estimates.quadrature.known.TOLERANCE", 1e-2)
    monkeypatch.setattr("gantools.analysis.estimates.quadrature.known.NEGLIGIBLE", 1e-3)
    values = np.sort(spectrum())
    A = oracles.symmetric(values, dtype)
    known = find_known(A, leading, seed=0)
    assert len(known.values) and known.residuals.max() > 1e-4
    X, matrix = known.vectors.double().numpy(), A.dense().double().numpy()
    P = np.eye(A.n) - X.T @ X
    rest = np.linalg.eigvalsh(P @ matrix @ P + 99 * X.T @ X)[: known.dimension(A.n)]
    np.testing.assert_allclose(X @ X.T, np.eye(len(X)), atol=1e-6 if dtype == torch.float32 else 1e-12)
    points = np.linspace(-1.5, 3.5, 201)
    reach = known.reach(points) + 1e-5
    (least, most), total = known.counts(points), np.searchsorted(values, points)
    assert (least + np.searchsorted(rest, points - reach) <= total).all()
    assert (total <= most + np.searchsorted(rest, points + reach)).all()
    assert np.median(reach) < 0.1 * known.coupling


@pytest.mark.parametrize("dtype", DTYPES)
def test_three_vectors_see_what_a_stored_basis_sees(dtype):
    A = oracles.symmetric(spectrum(), dtype)
    points = np.linspace(-0.2, 0.2, 41)
    short = [Probing(A, plan(A, 1, 12, leading), seed=3).run().brackets(points) for leading in (None, 0)]
    # Half a unit wide, and alike as far as Ritz pairs that have not converged are, whose last digits are the kernels.
    np.testing.assert_allclose(short[0], short[1], atol=3e-2)
    long = [Probing(A, plan(A, 1, 250, leading), seed=3).run().brackets(points) for leading in (None, 0)]
    assert (np.maximum(long[0][:, 0], long[1][:, 0]) <= np.minimum(long[0][:, 1], long[1][:, 1])).all()


def test_no_basis_is_kept():
    """Nothing of steps times n is allocated: the vectors that live at the end are a handful."""
    n, steps = 4000, 500
    A = oracles.symmetric(np.linspace(-1, 1, n), torch.float32)
    work = plan(A, 1, steps, leading=5)
    assert not work.stored and work.bytes < 40 * n * 4 < steps * n
    probing = Probing(A, work, seed=0)
    probing.run()
    (group,) = probing._groups
    held = [t for t in [*group._state[:2], group._basis, probing._known.vectors] if t is not None]
    assert sum(t.numel() for t in held) <= 7 * n


def test_zero_rows_are_counted_and_left_out():
    values = np.concatenate([np.zeros(120), np.linspace(-1, -0.5, 40), np.linspace(0.1, 2, 140)])
    diagonal = torch.as_tensor(values)
    A = LinearOperator(lambda u: diagonal * u, len(values), symmetric=True)
    for leading in (None, 10):
        i = index(A, tol=1e-3, method="estimate", probes=1, steps=60, leading=leading, confidence=0.9999)
        assert i.zero_rows == 120 and i.interval["zero"][0] >= 0.4
        assert i.interval["zero"][1] < 0.5 and i.interval["negative"][1] < 0.4
        for name, share in {"negative": 40 / 300, "zero": 0.4, "positive": 140 / 300}.items():
            assert i.interval[name][0] - 1e-9 <= share <= i.interval[name][1] + 1e-9
    d = spectral_density(A, probes=1, steps=60)
    assert d.atom == pytest.approx((0.4, 0.4), abs=5e-3) and d.weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("leading", [None, 6])
def test_interrupted_it_gives_the_interval_of_its_steps(leading):
    A = oracles.symmetric(spectrum())
    done = find_known(A, leading or 0, seed=0).products + 45
    i = index(counted(A, done), method="estimate", probes=1, steps=200, leading=leading, interruptible=True)
    assert i.interrupted and i.matvecs == done + 1 and "of 45 steps so far" in str(i)
    whole = index(A, i.tolerance, method="estimate", probes=1, steps=45, leading=leading)
    assert whole.interval == {name: pytest.approx(pair, abs=1e-9) for name, pair in i.interval.items()}
    with pytest.raises(KeyboardInterrupt):
        index(counted(A, done), method="estimate", probes=1, steps=200, leading=leading)
    with pytest.raises(KeyboardInterrupt):  # nothing can be said yet
        index(counted(A, 1), method="estimate", probes=1, steps=200, leading=leading, interruptible=True)


@pytest.mark.parametrize("leading", [None, 6])
@pytest.mark.parametrize("dtype", few(DTYPES, 1))
def test_it_goes_on_from_a_file(tmp_path, leading, dtype):
    A, store = oracles.symmetric(spectrum(), dtype), tmp_path / "steps.pt"
    work = {"tol": 1e-2, "method": "estimate", "probes": 2, "leading": leading}
    done = find_known(A, leading or 0, seed=0).products + 2 * 70
    with pytest.raises(KeyboardInterrupt):
        index(counted(A, done), steps=150, store=store, **work)
    A.matvecs = 0
    whole = index(A, steps=150, store=store, **work)
    assert A.matvecs < 2 * 150 - 2 * 70 + 6
    more = index(A, steps=220, store=store, **work)
    fresh = index(A, steps=150, **work)
    for name, pair in fresh.interval.items():
        assert whole.interval[name] == pytest.approx(pair, abs=2e-3)  # rounding decides which ghosts come
    assert np.ptp(more.interval["zero"]) <= np.ptp(whole.interval["zero"])


def test_files_that_do_not_fit_get_a_sentence(tmp_path):
    A, store = oracles.symmetric(spectrum()), tmp_path / "steps.pt"
    work = {"method": "estimate", "probes": 1, "steps": 20}
    index(A, store=store, **work)
    kept = store.read_bytes()
    for other, seed in ((A, 1), (oracles.symmetric(2 * spectrum()), 0), (oracles.symmetric(spectrum()[1:]), 0)):
        with pytest.raises(GantoolsError, match="another operator, seed or dtype"):
            index(other, store=store, seed=seed, **work)
        assert store.read_bytes() == kept
    store.write_text("something else")
    with pytest.raises(GantoolsError, match="holds no steps"):
        index(A, store=store, **work)
    with pytest.raises(GantoolsError, match="can be written to"):
        index(A, store=tmp_path / "no" / "steps.pt", **work)


def test_progress_and_plan_agree():
    A, told = oracles.symmetric(spectrum()), []
    work = plan(A, 1, 100, 10)
    index(A, method="estimate", probes=1, steps=100, leading=10, progress=lambda *counts: told.append(counts))
    assert told == sorted(told) and {planned for _, planned in told} == {work.products}
    assert told[-1][0] == A.matvecs <= work.products
    assert "1 probe of 100 steps, after 10 leading eigenvectors" in str(work)


def test_an_operator_of_low_rank_is_seen_to_the_end():
    for dtype in DTYPES:
        A = oracles.symmetric(np.concatenate([np.zeros(180), [-2.0, 1, 3, 4]]), dtype)
        for leading in (None, 0, 4):
            i = index(A, tol=1e-2, method="estimate", probes=1, steps=50, leading=leading, confidence=0.9999)
            assert i.interval["negative"][0] <= 1 / 184 <= i.interval["negative"][1]
            assert i.interval["zero"][0] <= 180 / 184 <= i.interval["zero"][1]
            assert leading != 4 or i.certain == {"negative": 1, "positive": 3}


def test_memory_decides_how_many_leading_pairs_are_computed(monkeypatch):
    A = oracles.symmetric(np.linspace(-1, 1, 10**5), torch.float32)
    usual = plan(A, 1, 400)
    assert usual.leading == 20 and not usual.stored
    monkeypatch.setattr("gantools.analysis.estimates.quadrature.plan._free_bytes", lambda device: 60 * 4 * 10**5)
    small = plan(A, 1, 400)
    assert 0 < small.leading < 20 and small.bytes <= 30 * 4 * 10**5
    monkeypatch.setattr("gantools.analysis.estimates.quadrature.plan._free_bytes", lambda device: 10**5)
    assert plan(A, 1, 400).leading == 0


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("CUDA out of memory"), MemoryError()])
def test_memory_that_runs_out_is_told_with_what_is_kept(error):
    def product(u):
        raise error

    A = LinearOperator(product, 50_000, dtype=torch.float32, symmetric=True)
    with pytest.raises(
        GantoolsError, match=r"Memory ran out on cpu, .* 1 probe of 1600 steps, after 20 leading .* 9.54 MiB"
    ):
        index(A)


def test_products_are_announced_and_a_full_disk_loses_no_result(tmp_path, monkeypatch):
    A, store = oracles.symmetric(spectrum()), tmp_path / "steps.pt"
    announced = []
    monkeypatch.setattr(A, "prepare", announced.append)

    def full(*_):
        raise OSError("no space left")

    monkeypatch.setattr(torch, "save", full)
    with pytest.warns(GantoolsWarning, match="no space left"):
        assert index(A, method="estimate", probes=1, steps=30, store=store).matvecs == 32
    assert announced == [32, 30]


def test_fewer_steps_of_a_measure_bracket_it_as_well():
    A = oracles.symmetric(spectrum())
    found = Probing(A, plan(A, 1, 80), seed=0).run()
    points = np.linspace(-0.2, 0.2, 11)
    half = dataclasses.replace(found, measures=(found.measures[0].shortened(40),))
    np.testing.assert_array_equal(found.brackets(points, steps=40), half.brackets(points))
    whole, part = (np.ptp(brackets.brackets(points), axis=1) for brackets in (found, half))
    assert (whole <= part + 1e-9).all() and whole.mean() < 0.7 * part.mean()


@pytest.mark.parametrize("leading", [None, 2])
def test_it_ends_where_nothing_is_left(leading):
    """Not after all its steps: an operator of rank 4 has nothing more to tell after five."""
    A = oracles.symmetric(np.concatenate([np.zeros(400), [-2.0, 1, 3, 4]]))
    i = index(A, tol=1e-6, method="estimate", probes=2, steps=300, leading=leading)
    assert A.matvecs < 200 and i.certain["negative"] + i.certain["positive"] >= (leading or 4)


def test_products_that_are_not_finite_are_told_and_not_kept(tmp_path):
    A, left = oracles.symmetric(spectrum()), iter(range(10**6))
    broken = LinearOperator(lambda u: (A @ u) * (float("nan") if next(left) > 20 else 1.0), A.n, symmetric=True)
    with pytest.raises(GantoolsError, match="NaN or infinite"):
        index(broken, method="estimate", probes=1, steps=200, store=tmp_path / "steps.pt")
    assert not list(tmp_path.iterdir()) and next(left) < 60


def test_few_rows_that_are_not_zero_leave_something_to_probe():
    diagonal = torch.cat([torch.zeros(300), torch.tensor([-1.0, 2, 3])]).double()
    A = LinearOperator(lambda u: diagonal * u, 303, symmetric=True)
    i = index(A, tol=1e-6, method="estimate", probes=1, steps=40, leading=20)
    assert i.zero_rows == 300 and i.interval["zero"][0] == pytest.approx(300 / 303)
    assert i.interval["negative"][1] <= 3 / 303 + 1e-9
