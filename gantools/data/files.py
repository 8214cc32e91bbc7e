"""Samples from a user's files: a folder of images, or a NumPy array."""

import dataclasses
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gantools.errors import GantoolsError

_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}
# Folders that macOS and Synology put beside the user's own; all others of this kind begin with a dot.
_SIDE_FOLDERS = {"__MACOSX", "@eaDir"}
_RANGES = ((0, 1), (-1, 1), (0, 255), (0, 65535))
_SLACK = 0.002  # of the top of a range: what rounding to float16 may add, and half a grey level of 255
_LEAST_SIDE = 8  # pixels: smaller pictures without a channel axis are taken for measurements


def value_range(low: float, high: float) -> tuple[int, int] | None:
    """Return the range that images with values from `low` to `high` use, or None where it cannot be told.

    The first of 0..1, [-1, 1], 0..255 and 0..65535 that holds them. Values above 1 must reach the upper half of their
    range: the same numbers up to 16 would be dark in 0..255 and bright in 0..16.
    """
    for bottom, top in _RANGES:
        if low >= bottom - _SLACK * max(high, -bottom) and high <= top * (1 + _SLACK):
            return (bottom, top) if top == 1 or high >= top / 2 else None
    return None


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _range_words(bottom: int, top: int) -> str:
    return f"[{bottom}, {top}]" if bottom < 0 else f"{bottom}..{top}"


@dataclasses.dataclass
class _Reading:
    """Record of how the images in a folder were read.

    Attributes:
        transparent: number of images with transparent pixels.
        sixteen: (lowest, highest) value of each image of 16-bit grey levels.
        deep: for Pillow's modes "F" and "I", the index of each image of 32-bit numbers, its lowest and highest value.
    """

    transparent: int = 0
    sixteen: list[tuple[float, float]] = dataclasses.field(default_factory=list)
    deep: dict[str, list[tuple[int, float, float]]] = dataclasses.field(default_factory=dict)


def load_images(folder: Path, size: int, grey: bool) -> tuple[Tensor, str]:
    """Return the images in a folder and below it, uint8 (N, C, size, size), and a sentence on how they were read.

    Each is cropped to its largest centred square and resized (Lanczos), in the order of paths. Transparent pixels are
    laid on white. 16-bit grey levels are scaled from 0..65535, 32-bit numbers (TIFF) from the `value_range` of all
    images of their type. Files without an image suffix, hidden files and those in hidden folders are passed over.

    No folder, no image, images that cannot be read, or 32-bit numbers of no known range raise `GantoolsError`.
    """
    if size < 1:
        raise GantoolsError(f"Images need a size of at least 1 pixel, not {size}.")
    if not folder.is_dir():
        raise GantoolsError(f"There is no folder {str(folder)!r}: give an existing one, as in folder:PATH.")
    paths, hidden = _image_paths(folder)
    reading, images, unreadable = _Reading(), [], []
    for path in paths:
        try:
            images.append(_load_image(path, size, grey, len(images), reading))
        # A damaged file makes Pillow's decoders raise nearly anything: OSError, SyntaxError, struct.error, bombs.
        except Exception:
            unreadable.append(path)
    if unreadable:
        raise GantoolsError(
            f"{len(unreadable)} of the {len(paths)} images in {str(folder)!r} cannot be read, the first is "
            f"{str(unreadable[0].relative_to(folder))!r}: repair or remove them."
        )
    eight = len(images) - len(reading.sixteen) - sum(len(found) for found in reading.deep.values())
    notes = [f"{eight} of 8 bits from 0..255"] if eight else []
    if reading.sixteen:
        low, high = min(low for low, _ in reading.sixteen), max(high for _, high in reading.sixteen)
        notes.append(f"{len(reading.sixteen)} of 16 bits from 0..65535 (found {low:g} to {high:g})")
    notes += [_scale_deep(images, mode, found, folder) for mode, found in reading.deep.items()]
    if reading.transparent:
        notes.append(f"{reading.transparent} with transparent pixels laid on white")
    if hidden:
        notes.append(f"{hidden} in hidden files or folders passed over")
    counted = f"{_counted(len(images), 'image')} {images[0].shape} scaled to [-1, 1]"
    return torch.from_numpy(np.stack(images)), f"{counted}: {'; '.join(notes)}."


def _image_paths(folder: Path) -> tuple[list[Path], int]:
    """Return the paths of the images in a folder, sorted, and the number of hidden ones that were left out."""

    def is_hidden(path: Path) -> bool:
        return any(part.startswith(".") or part in _SIDE_FOLDERS for part in path.relative_to(folder).parts)

    found = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
    paths = [path for path in found if not is_hidden(path)]
    if not paths:
        suffixes = ", ".join(sorted(_SUFFIXES))
        hidden = f" {len(found)} in hidden files or folders were passed over." if found else ""
        raise GantoolsError(f"Found no image in {str(folder)!r} or its sub-folders: looked for {suffixes}.{hidden}")
    return paths, len(found) - len(paths)


def _load_image(path: Path, size: int, grey: bool, index: int, reading: _Reading) -> np.ndarray:
    """Return an image, uint8 (C, size, size); one of 32-bit numbers as float32, unscaled, noted in `reading.deep`."""
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        # PNG and PGM have no 32-bit numbers: Pillow uses its mode "I" for their 16 bits.
        deep = image.mode == "F" or (image.mode == "I" and image.format == "TIFF")
        image = ImageOps.exif_transpose(image)
        mode = image.mode
        if mode == "F" or mode.startswith("I"):
            values = np.asarray(image)
            low, high = float(values.min()), float(values.max())
            if deep:
                reading.deep.setdefault(mode, []).append((index, low, high))
                image = Image.fromarray(values.astype(np.float32))
            else:
                # Pillow clips 16-bit grey to 255 on conversion, which turns such images white.
                reading.sixteen.append((low, high))
                image = Image.fromarray((values.clip(0, 65535) / 257).round().astype(np.uint8))
        elif mode in ("P", "PA", "LA", "RGBA", "RGBa") or "transparency" in image.info:
            image = image.convert("RGBA")
            if image.getchannel("A").getextrema()[0] != 255:
                # Invisible pixels have colours too, whatever the program that wrote them left there.
                reading.transparent += 1
                image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        if not deep:
            image = image.convert("L" if grey else "RGB")
        pixels = np.asarray(ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS))
    if pixels.ndim == 2:
        return np.repeat(pixels[None], 1 if grey else 3, axis=0)
    return pixels.transpose(2, 0, 1)


def _scale_deep(images: list[np.ndarray], mode: str, found: list[tuple[int, float, float]], folder: Path) -> str:
    """Replace the images of 32-bit numbers of one mode by bytes, from the range of all of them; say which it is."""
    kind = "floating-point numbers" if mode == "F" else "32-bit integers"
    named = f"{_counted(len(found), 'image')} of {kind} in {str(folder)!r} with"
    # NumPy's min and max pass NaN on, Python's do not.
    low, high = float(np.min([low for _, low, _ in found])), float(np.max([high for _, _, high in found]))
    if not np.isfinite([low, high]).all():
        raise GantoolsError(f"Cannot use {named} NaN or infinite values: replace those values.")
    chosen = value_range(low, high)
    if chosen is None:
        raise GantoolsError(
            f"Cannot tell black and white of {named} values from {low:g} to {high:g}: rescale them to 0..1, or save "
            "them with 8 or 16 bits."
        )
    bottom, top = chosen
    for index, _, _ in found:
        levels = (images[index] - np.float32(bottom)) * np.float32(255 / (top - bottom))
        images[index] = levels.clip(0, 255).round().astype(np.uint8)
    return f"{len(found)} of {kind} from {_range_words(bottom, top)} (found {low:g} to {high:g})"


def load_npy(path: Path) -> tuple[Tensor, str]:
    """Return the samples in a .npy file (N, ...), uint8 or float32, and a sentence on how they were read.

    Images are uint8 samples (N, H, W), those of other numbers (N, H, W) where H = W >= 8, and all with four axes. They
    become (N, C, H, W); channels are the last axis where it alone has 1 to 4 entries, else where H = W tells it. uint8
    images are kept as bytes (masks of 0 and 1 become 0 and 255); other numbers become float32 in [-1, 1] from the
    `value_range` of all.

    All else are measurements, float32 as they are: rescaling them is the user's choice. uint8 (N, d) stays
    bytes. Booleans become -1 and 1; a vector (N,) becomes (N, 1).

    No such file, not an array of real numbers, no samples, NaN or infinite values, or images of no known range raise
    `GantoolsError`.
    """
    array = _read_array(path)
    if array.dtype == np.bool_:
        array = 2 * array.astype(np.int8) - 1
    is_bytes = array.dtype == np.uint8
    square = array.ndim == 3 and array.shape[1] == array.shape[2] >= _LEAST_SIDE
    is_images = array.ndim == 4 or square or (array.ndim == 3 and is_bytes)
    _check_finite(array, path)
    low, high = float(array.min()), float(array.max())
    moved = ""
    if is_images:
        array, moved = _channels_first(array)
    elif array.ndim == 1:
        array = array[:, None]
    if is_bytes:
        mask = array.ndim > 2 and high == 1
        samples = torch.from_numpy(np.ascontiguousarray(array * np.uint8(255) if mask else array))
        taken = f"bytes 0..{1 if mask else 255} scaled to [-1, 1]"
    else:
        with np.errstate(over="ignore"):
            samples = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
        if not samples.isfinite().all():
            raise GantoolsError(f"{str(path)!r} holds values beyond the range of float32: rescale them.")
        samples, taken = _scaled(samples, low, high, path) if is_images else _measured(samples, low, high, path)
    counted = _counted(len(samples), "image" if is_images else "sample")
    return samples, f"{counted} {tuple(samples.shape[1:])}, {taken} (found {low:g} to {high:g}){moved}."


def _read_array(path: Path) -> np.ndarray:
    """Return a file's array of real numbers, which holds at least one sample."""
    if not path.is_file():
        raise GantoolsError(f"There is no file {str(path)!r}: give an existing .npy file.")
    try:
        array = np.load(path, allow_pickle=False)
    except (OSError, EOFError, ValueError):
        raise GantoolsError(
            f"Cannot read {str(path)!r} as a NumPy array of numbers: write it with numpy.save(path, array)."
        ) from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "buif":
        kind = getattr(array, "dtype", type(array).__name__)
        raise GantoolsError(f"{str(path)!r} holds {kind}, not real numbers: save a float or uint8 array.")
    if array.size == 0 or array.ndim == 0:
        raise GantoolsError(f"{str(path)!r} has shape {array.shape} and so no samples: save an array (N, ...).")
    return array


def _check_finite(array: np.ndarray, path: Path) -> None:
    bad = int(array.size - np.isfinite(array).sum())
    if bad:
        raise GantoolsError(
            f"{str(path)!r} holds {bad} NaN or infinite values among {array.size}: remove or replace those samples."
        )


def _channels_first(array: np.ndarray) -> tuple[np.ndarray, str]:
    """Return images (N, H, W), (N, H, W, C) or (N, C, H, W) as (N, C, H, W), and words on what was moved."""
    if array.ndim == 3:
        return array[:, None], ""
    _, a, b, c = array.shape
    first, last = 1 <= a <= 4, 1 <= c <= 4
    # More than four channels, or 1 to 4 on both sides: only a square picture tells them from pixels.
    moves = last if first != last else a == b != c and (last or c < a)
    return (array.transpose(0, 3, 1, 2), "; channels moved from the last axis to the first") if moves else (array, "")


def _scaled(images: Tensor, low: float, high: float, path: Path) -> tuple[Tensor, str]:
    """Scale images in place to [-1, 1] and return them, and words on the range from which they were scaled."""
    chosen = value_range(low, high)
    if chosen is None:
        flat = "" if images.shape[1] > 1 else " Measurements are saved flat, (N, d)."
        raise GantoolsError(
            f"{str(path)!r} holds images with values from {low:g} to {high:g}: rescale them to [-1, 1], or save 0..255 "
            f"as uint8.{flat}"
        )
    if chosen == (-1, 1):
        return images.clamp_(-1, 1), "values in [-1, 1] kept"
    bottom, top = chosen
    return images.div_(top / 2).sub_(1).clamp_(-1, 1), f"values {_range_words(bottom, top)} scaled to [-1, 1]"


def _measured(samples: Tensor, low: float, high: float, path: Path) -> tuple[Tensor, str]:
    """Return measurements as they are; refuse (N, H, W) that may as well be images of bytes."""
    if samples.ndim != 3:
        return samples, "values kept as they are"
    chosen = value_range(low, high)
    if min(samples.shape[1:]) >= _LEAST_SIDE and chosen is not None and chosen[1] > 1:
        n, height, width = samples.shape
        raise GantoolsError(
            f"{str(path)!r} has shape {tuple(samples.shape)} and values from {low:g} to {high:g}: save images as "
            f"({n}, 1, {height}, {width}) and measurements as ({n}, {height * width})."
        )
    return samples, "values kept as they are, as measurements (images need a channel axis, (N, 1, H, W))"
