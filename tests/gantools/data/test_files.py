"""Images and arrays of every depth, range and layout that users save, and the files that lie beside them unasked."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from gantools.data.files import value_range
from gantools.data.sources import make_source
from gantools.errors import GantoolsError

RAMP = np.linspace(0, 1, 64).reshape(8, 8)
EXPECTED = torch.from_numpy(2 * RAMP - 1).float()
BYTES = np.uint8(RAMP * 255)


def folder(tmp_path, *images, suffix=".png", **options):
    """The source of these images, and the samples in the order of files."""
    for index, image in enumerate(images):
        image.save(tmp_path / f"{index}{suffix}", **options)
    source = make_source(f"folder:{tmp_path}", size=8)
    return source, source.select(torch.arange(source.size))


def array(tmp_path, values):
    """The source of this array, and the samples in their order."""
    np.save(tmp_path / "x.npy", values)
    source = make_source(str(tmp_path / "x.npy"))
    return source, source.select(torch.arange(source.size))


def spread(shape, low, high, dtype):
    """Values from `low` to `high`, both taken, in an order that no axis shares."""
    values = np.linspace(low, high, int(np.prod(shape)))
    return np.random.default_rng(0).permutation(values).reshape(shape).astype(dtype)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, (0, 1)),
        (0, 0.1, (0, 1)),
        (0, 0, (0, 1)),
        (-1, 1, (-1, 1)),
        (-0.001, 0.001, (-1, 1)),
        (-1, -0.5, (-1, 1)),
        (-1e-4, 1.0001, (0, 1)),
        (0, 255, (0, 255)),
        (3, 200, (0, 255)),
        (0, 65535, (0, 65535)),
        (0, 16, None),
        (0, 4095, None),
        (-1, 255, None),
        (0, 256, None),
        (-2.1, 2.6, None),
        (-1024, 3071, None),
        (0, 1e6, None),
        (float("nan"), 1, None),
    ],
)
def test_a_range_is_taken_where_values_tell_it(low, high, expected):
    assert value_range(low, high) == expected


# Folders


@pytest.mark.parametrize(
    ("scale", "shift", "dtype", "words"),
    [
        (1, 0, np.float32, "floating-point numbers from 0..1 (found 0 to 1)"),
        (2, -1, np.float32, "floating-point numbers from [-1, 1]"),
        (255, 0, np.float32, "floating-point numbers from 0..255"),
        (65535, 0, np.float32, "floating-point numbers from 0..65535"),
        (255, 0, np.int32, "32-bit integers from 0..255"),
        (65535, 0, np.int32, "32-bit integers from 0..65535"),
        (65535, 0, np.uint16, "of 16 bits from 0..65535 (found 0 to 65535)"),
    ],
)
def test_tiffs_of_every_depth_show_the_same_picture(tmp_path, scale, shift, dtype, words):
    image = Image.fromarray((RAMP * scale + shift).astype(dtype))
    source, samples = folder(tmp_path, image, suffix=".tif")
    assert source.shape == (3, 8, 8)
    assert (samples - EXPECTED).abs().max() < 0.02
    assert words in source.note
    grey = make_source(f"folder:{tmp_path}", size=8, grey=True)
    assert grey.shape == (1, 8, 8)
    assert torch.equal(grey.samples[:, 0], source.samples[:, 0])


def test_the_range_is_that_of_all_images_of_a_folder(tmp_path):
    dark = Image.fromarray((RAMP * 0.9).astype(np.float32))
    source, samples = folder(tmp_path, dark, Image.fromarray((RAMP * 255).astype(np.float32)), suffix=".tif")
    assert samples[0].max() < -0.98
    assert (samples[1] - EXPECTED).abs().max() < 0.02
    assert "2 of floating-point numbers from 0..255 (found 0 to 255)" in source.note


def test_depths_may_be_mixed(tmp_path):
    Image.fromarray((RAMP * 255).astype(np.int32)).save(tmp_path / "a.tif")
    Image.fromarray(RAMP.astype(np.float32)).save(tmp_path / "b.tif")
    Image.fromarray((RAMP * 65535).astype(np.uint16)).save(tmp_path / "c.pgm")
    Image.frombytes("I;16B", (8, 8), (RAMP * 65535).astype(">u2").tobytes()).save(tmp_path / "d.tif")
    _, samples = folder(tmp_path, Image.fromarray(BYTES))
    assert samples.shape == (5, 3, 8, 8)
    assert (samples - EXPECTED).abs().max() < 0.02


def test_32_bit_images_are_cropped_and_resized_as_others(tmp_path):
    wide = np.repeat(np.repeat(BYTES, 2, 0), 4, 1)
    Image.fromarray(wide).save(tmp_path / "a.png")
    Image.fromarray(wide.astype(np.float32)).save(tmp_path / "b.tif")
    samples = make_source(f"folder:{tmp_path}", size=5).samples.int()
    assert (samples[0] - samples[1]).abs().max() <= 1


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (RAMP * 16, r"1 image of floating-point numbers .* values from 0 to 16: rescale them to 0..1"),
        (RAMP * 6 - 3, "values from -3 to 3"),
        (np.where(RAMP > 0.5, np.nan, RAMP), "NaN or infinite"),
        ((RAMP * 3000 - 1000).astype(np.int32), "32-bit integers .* values from -1000 to 2000"),
    ],
)
def test_32_bit_numbers_of_no_known_range_are_refused(tmp_path, values, words):
    image = Image.fromarray(values if values.dtype == np.int32 else values.astype(np.float32))
    with pytest.raises(GantoolsError, match=words):
        folder(tmp_path, image, suffix=".tif")


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "RGB", "L", "1"])
def test_invisible_pixels_are_white_whatever_colour_they_hide(tmp_path, mode):
    images = [Image.new("RGBA", (8, 8), (v, v, v, 0)).convert(mode) for v in (0, 255)]
    for index, image in enumerate(images):
        keyed = {"transparency": image.getpixel((0, 0))} if mode in ("P", "RGB", "L", "1") else {}
        image.save(tmp_path / f"{index}.png", **keyed)
    source = make_source(f"folder:{tmp_path}", size=8)
    assert (source.samples == 255).all()
    assert "2 with transparent pixels laid on white" in source.note


def test_half_transparent_pixels_are_mixed_with_white(tmp_path):
    _, samples = folder(tmp_path, Image.new("RGBA", (8, 8), (255, 0, 0, 128)))
    assert samples[0, :, 4, 4].tolist() == pytest.approx([1, 0, 0], abs=0.01)


def test_opaque_images_are_as_they_were(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (8, 8, 3)).astype(np.uint8)
    rgb = Image.fromarray(colours)
    source, samples = folder(tmp_path, rgb, rgb.convert("RGBA"), rgb.convert("P"), rgb.convert("L").convert("LA"))
    assert "transparent" not in source.note
    assert torch.equal(source.samples[0], torch.from_numpy(colours.transpose(2, 0, 1)))
    assert torch.equal(source.samples[1], source.samples[0])
    assert (samples[3] == samples[3, :1]).all()


@pytest.mark.parametrize(("mode", "suffix"), [("CMYK", ".jpg"), ("CMYK", ".tif"), ("1", ".tif"), ("YCbCr", ".jpg")])
def test_other_modes_come_as_colours(tmp_path, mode, suffix):
    _, samples = folder(tmp_path, Image.new("RGB", (8, 8), "white").convert(mode), suffix=suffix)
    assert (samples - 1).abs().max() < 0.02


@pytest.mark.parametrize("place", ["._a.png", ".ipynb_checkpoints/a.png", "__MACOSX/a.png", "sub/@eaDir/a.png"])
def test_hidden_files_are_no_data(tmp_path, place):
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_bytes(b"\0\5\x16\7")
    with pytest.raises(GantoolsError, match="Found no image .* 1 in hidden files or folders were passed over"):
        make_source(f"folder:{tmp_path}")
    source, _ = folder(tmp_path, Image.fromarray(BYTES))
    assert source.size == 1
    assert source.note == (
        "1 image (3, 8, 8) scaled to [-1, 1]: 1 of 8 bits from 0..255; 1 in hidden files or folders passed over."
    )


def test_a_hidden_folder_may_be_asked_for(tmp_path):
    (tmp_path / ".cache").mkdir()
    assert folder(tmp_path / ".cache", Image.fromarray(BYTES))[0].size == 1


# Arrays


@pytest.mark.parametrize("shape", [(5, 9, 9), (5, 1, 9, 7), (5, 9, 7, 1), (5, 3, 9, 7), (5, 9, 7, 3), (5, 9, 7, 4)])
@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        (0, 1, np.float32),
        (0, 1, np.float64),
        (-1, 1, np.float32),
        (0, 255, np.float32),
        (0, 255, np.uint8),
        (0, 255, np.int16),
        (0, 255, np.int64),
        (0, 65535, np.uint16),
        (0, 65535, np.float64),
    ],
)
def test_images_of_every_range_and_layout_are_scaled(tmp_path, shape, low, high, dtype):
    values = spread(shape, low, high, dtype)
    expected = (values.astype(np.float64) - low) * 2 / (high - low) - 1
    expected = expected[:, None] if len(shape) == 3 else expected if shape[1] < 4 else expected.transpose(0, 3, 1, 2)
    source, samples = array(tmp_path, values)
    assert source.shape == expected.shape[1:]
    assert np.abs(samples.numpy() - expected).max() < 1e-5
    assert f"found {low:g} to {high:g}" in source.note
    assert ("channels moved" in source.note) == (len(shape) == 4 and shape[1] == 9)


def test_values_in_the_range_of_tanh_keep_every_bit(tmp_path):
    values = spread((5, 3, 8, 8), -1, 1, np.float32)
    source, samples = array(tmp_path, values)
    assert torch.equal(samples, torch.from_numpy(values))
    assert source.note == "5 images (3, 8, 8), values in [-1, 1] kept (found -1 to 1)."


def test_the_same_bytes_come_out_of_every_type(tmp_path):
    values = spread((5, 1, 8, 8), 0, 255, np.uint8)
    _, expected = array(tmp_path, values)
    for dtype in (np.float32, np.float64, np.int32, np.uint16):
        assert torch.equal(array(tmp_path, values.astype(dtype))[1], expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.bool_])
def test_masks_are_black_and_white(tmp_path, dtype):
    values = np.random.default_rng(0).integers(0, 2, (5, 8, 8))
    source, samples = array(tmp_path, values.astype(dtype))
    assert source.shape == (1, 8, 8)
    assert torch.equal(samples[:, 0], torch.from_numpy(2.0 * values - 1).float())


@pytest.mark.parametrize(
    ("shape", "expected"),
    [
        ((5, 4, 4, 3), (3, 4, 4)),
        ((5, 3, 4, 4), (3, 4, 4)),
        ((5, 3, 3, 1), (1, 3, 3)),
        ((5, 3, 3, 3), (3, 3, 3)),
        ((5, 2, 9, 3), (2, 9, 3)),
        ((5, 16, 16, 8), (8, 16, 16)),
        ((5, 16, 8, 8), (16, 8, 8)),
        ((5, 16, 9, 8), (16, 9, 8)),
    ],
)
def test_square_pictures_tell_channels_from_pixels(tmp_path, shape, expected):
    assert array(tmp_path, spread(shape, -1, 1, np.float32))[0].shape == expected


@pytest.mark.parametrize("high", [1, 3, 255, 65535])
@pytest.mark.parametrize("shape", [(5, 9), (5, 784), (64, 64), (9, 24, 6), (9, 4, 4), (2, 3, 4, 5, 6)])
@pytest.mark.parametrize("low", [0, -3])
def test_measurements_stay_as_they_are(tmp_path, shape, low, high):
    values = spread(shape, low, high, np.float32)
    source, samples = array(tmp_path, values)
    assert torch.equal(samples, torch.from_numpy(values))
    assert "kept as they are" in source.note


def test_sequences_of_standard_scores_stay_as_they_are(tmp_path):
    values = spread((9, 24, 12), -3, 3, np.float32)
    source, samples = array(tmp_path, values)
    assert torch.equal(samples, torch.from_numpy(values))
    assert "images need a channel axis" in source.note


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (spread((5, 1, 8, 8), 0, 16, np.float32), r"from 0 to 16: rescale them to \[-1, 1\], or save 0..255 as uint8"),
        (spread((5, 8, 8), 0, 16, np.int64), r"from 0 to 16: rescale .* Measurements are saved flat, \(N, d\)"),
        (spread((5, 8, 8, 3), -2.1, 2.6, np.float32), "from -2.1 to 2.6: rescale"),
        (spread((5, 8, 8), -32768, 32767, np.int16), "from -32768 to 32767: rescale"),
        (spread((5, 8, 8), 0, 4095, np.uint16), "from 0 to 4095: rescale"),
        (spread((5, 28, 20), 0, 255, np.float32), r"images as \(5, 1, 28, 20\) and measurements as \(5, 560\)"),
    ],
)
def test_images_of_no_known_range_are_refused(tmp_path, values, words):
    with pytest.raises(GantoolsError, match=words):
        array(tmp_path, values)


def test_what_was_refused_is_taken_as_the_sentence_says(tmp_path):
    values = spread((5, 28, 20), 0, 255, np.float32)
    with pytest.raises(GantoolsError) as refused:
        array(tmp_path, values)
    for shape in re.findall(r"as \(([\d, ]+)\)", str(refused.value)):
        source, _ = array(tmp_path, values.reshape([int(n) for n in shape.split(",")]))
        assert source.size == 5


def test_16_bit_colours_keep_their_high_bytes(tmp_path):
    """Pillow writes no 16-bit colours: a PPM by hand."""
    pixels = (np.repeat(RAMP[..., None], 3, 2) * 65535).astype(">u2")
    (tmp_path / "a.ppm").write_bytes(b"P6 8 8 65535\n" + pixels.tobytes())
    source = make_source(f"folder:{tmp_path}", size=8)
    assert (source.select(torch.tensor([0]))[0] - EXPECTED).abs().max() < 0.02
