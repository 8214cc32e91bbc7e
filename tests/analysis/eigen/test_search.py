"""No wrong value is marked converged, and none is missed in silence: random operators with known spectra."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.spectral_cases import GENERAL, SELECTIONS, SYMMETRIC, complaint

NUMBERS = {"n": st.integers(30, 120), "k": st.integers(1, 7), "seed": st.integers(0, 2**31), "single": st.booleans()}


@settings(max_examples=25)
@given(st.sampled_from(SYMMETRIC), st.sampled_from(SELECTIONS[:3]), *NUMBERS.values())
def test_symmetric(family, which, n, k, seed, single):
    assert complaint(family, which, n, k, seed, single) == ""


@settings(max_examples=4)
@given(st.sampled_from(GENERAL), st.sampled_from(SELECTIONS), *NUMBERS.values())
def test_general(family, which, n, k, seed, single):
    assert complaint(family, which, n, k, seed, single) == ""


@pytest.mark.slow
@settings(max_examples=60)
@given(st.sampled_from(GENERAL), st.sampled_from(SELECTIONS), *NUMBERS.values())
def test_many_general(family, which, n, k, seed, single):
    assert complaint(family, which, n, k, seed, single) == ""


@pytest.mark.slow
@settings(max_examples=200)
@given(st.sampled_from(SYMMETRIC + GENERAL), st.sampled_from(SELECTIONS[:3]), *NUMBERS.values())
def test_many(family, which, n, k, seed, single):
    assert complaint(family, which, n, k, seed, single) == ""
