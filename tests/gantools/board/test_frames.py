"""The axes of a run's pictures: they hold every eigenvalue so far, and stand still while these move within them."""

from types import SimpleNamespace

import numpy as np
import pytest

from gantools.board.frames import Frame
from gantools.board.writer import add_spectrum
from tests.gantools.board.live.logs import spectrum

NAN, INF = float("nan"), float("inf")


def axes_of(frame):
    return frame.threshold, frame.real, frame.imaginary


@pytest.mark.parametrize("seed", range(5))
def test_all_that_was_included_lies_inside(seed):
    rng, frame = np.random.default_rng(seed), Frame()
    for _ in range(5):
        values = rng.normal(size=9) * 10.0 ** rng.integers(-6, 6) + 1j * rng.normal(size=9)
        frame.include(values)
        (left, right), (bottom, top) = frame.real, frame.imaginary
        assert left < values.real.min() and values.real.max() < right and left < 0 < right
        assert bottom < values.imag.min() and values.imag.max() < top


def test_what_moves_within_the_axes_does_not_move_them():
    frame = Frame().include([3 + 2j, 3 - 2j, *[-0.01] * 9])
    before = axes_of(frame)
    for values in ([2.9 + 1j, 2.9 - 1j], [-0.01, 1], [0j], [], [NAN, INF, complex(NAN, 1)]):
        assert axes_of(frame.include(values)) == before


def test_axes_only_grow():
    frame, sizes = Frame(), [1.0, 30.0, 0.5, 1e4, 1e-3]
    thresholds, limits = [], []
    for size in sizes:
        frame.include([size, -size / 2, 1j * size, -1j * size])
        limits.append((*np.abs(frame.real), frame.imaginary[1]))
        thresholds.append(frame.threshold)
    assert (np.diff(np.array(limits), axis=0) >= 0).all()
    assert thresholds == [0.0, 0.1, 0.1, 0.1, 0.1]  # five decades below the largest, 1e4, and not to 1e-3


def test_the_scale_is_linear_until_sizes_differ_and_never_again():
    frame = Frame()
    assert frame.include([1j, -1j]).threshold == 0
    assert frame.include([0.01]).threshold == 0.01
    assert frame.include([1j, -1j]).threshold == 0.01


def test_nothing_yet_and_zeros_have_axes():
    for values in ([], [0.0], [NAN], [1e308]):
        (left, right), (bottom, top) = Frame().include(values).real, Frame().include(values).imaginary
        assert left < 0 < right and bottom < 0 < top and np.isfinite([left, right, bottom, top]).all()


def test_pictures_of_one_log_and_tag_share_their_axes():
    class Writer:
        def __init__(self):
            self.seen = []

        def add_figure(self, tag, figure, step):
            axes = figure.axes[0]
            self.seen.append((axes.get_xlim(), axes.get_ylim(), axes.get_xscale()))
            assert axes.get_xlabel().endswith("axes: the largest so far in this run")

    writer, other = Writer(), Writer()
    for step, size in enumerate([3.0, 0.1, 2.0]):
        values = [size + 1j * size, size - 1j * size, *[-0.01] * 9]
        add_spectrum(writer, "x", spectrum(values), step, scalars=False)
    add_spectrum(writer, "y", spectrum([0.01j, -0.01j]), 0, scalars=False)
    add_spectrum(other, "x", spectrum([0.01j, -0.01j]), 0, scalars=False)
    assert writer.seen[0] == writer.seen[1] == writer.seen[2] != writer.seen[3]
    assert writer.seen[3] == other.seen[0]


def test_a_writer_that_cannot_be_a_key_has_its_pictures():
    seen = []
    writer = SimpleNamespace(add_figure=lambda tag, figure, step: seen.append(figure))
    add_spectrum(writer, "x", spectrum([1.0]), 0, scalars=False)
    assert len(seen) == 1
