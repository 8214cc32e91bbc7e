"""Samples from a user's files: a folder of images, or a NumPy array."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gantools.errors import GantoolsError

_SUFFIXES = {".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"}


def load_images(folder: Path, size: int, grey: bool) -> Tensor:
    """Return the images in a folder and its sub-folders as uint8 (N, C, size, size), in the order of their paths.

    Each is cropped to its largest centred square and resized (Lanczos). Files without an image suffix are passed over.
    No folder, no image, or images that cannot be read raise `GantoolsError`.
    """
    if size < 1:
        raise GantoolsError(f"Images need a size of at least 1 pixel, not {size}.")
    if not folder.is_dir():
        raise GantoolsError(f"There is no folder {str(folder)!r}: give an existing one, as in folder:PATH.")
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _SUFFIXES and path.is_file())
    if not paths:
        suffixes = ", ".join(sorted(_SUFFIXES))
        raise GantoolsError(f"Found no image in {str(folder)!r} or its sub-folders: looked for {suffixes}.")
    images, unreadable = [], []
    for path in paths:
        try:
            images.append(_load_image(path, size, grey))
        # A damaged file makes Pillow's decoders raise nearly anything: OSError, SyntaxError, struct.error, bombs.
        except Exception:
            unreadable.append(path)
    if unreadable:
        raise GantoolsError(
            f"{len(unreadable)} of the {len(paths)} images in {str(folder)!r} cannot be read, the first is "
            f"{str(unreadable[0].relative_to(folder))!r}: repair or remove them."
        )
    return torch.from_numpy(np.stack(images))


def _load_image(path: Path, size: int, grey: bool) -> np.ndarray:
    from PIL import Image, ImageOps

    with Image.open(path) as image:
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):
            # Pillow clips 16-bit grey to 255 on conversion, which turns such images white.
            image = Image.fromarray((np.asarray(image).clip(0, 65535) / 257).round().astype(np.uint8))
        if image.mode == "P":
            image = image.convert("RGBA")  # a palette with transparency warns on direct conversion
        image = ImageOps.fit(image.convert("L" if grey else "RGB"), (size, size), Image.Resampling.LANCZOS)
        pixels = np.asarray(image)
    return pixels[None] if grey else pixels.transpose(2, 0, 1)


def load_npy(path: Path) -> Tensor:
    """Return the samples in a .npy file (N, ...) as a uint8 or float32 tensor.

    uint8 samples are images, kept as bytes: (N, H, W) becomes (N, 1, H, W), channels last (N, H, W, 1|3) become
    channels first, flat ones stay (N, d). Other numbers become float32 as they are: rescaling measurements is the
    user's choice. Booleans become -1 and 1; a vector (N,) becomes (N, 1).

    No such file, not an array of real numbers, no samples, NaN or infinite values, or floating-point images
    (N, C, H, W) outside [-1, 1] raise `GantoolsError`.
    """
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
    if array.dtype == np.uint8:
        return torch.from_numpy(np.ascontiguousarray(_channels_first(array)))
    return _checked_floats(array, path)


def _channels_first(array: np.ndarray) -> np.ndarray:
    if array.ndim == 1:
        return array[:, None]
    if array.ndim == 3:
        return array[:, None]
    if array.ndim == 4 and array.shape[3] in (1, 3) and array.shape[1] not in (1, 3):
        return array.transpose(0, 3, 1, 2)
    return array


def _checked_floats(array: np.ndarray, path: Path) -> Tensor:
    if array.dtype == np.bool_:
        array = 2 * array.astype(np.float32) - 1
    bad = int(array.size - np.isfinite(array).sum())
    if bad:
        raise GantoolsError(
            f"{str(path)!r} holds {bad} NaN or infinite values among {array.size}: remove or replace those samples."
        )
    with np.errstate(over="ignore"):
        values = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    if not values.isfinite().all():
        raise GantoolsError(f"{str(path)!r} holds values beyond the range of float32: rescale them.")
    if values.ndim == 4 and values.abs().max() > 1:
        low, high = float(values.min()), float(values.max())
        raise GantoolsError(
            f"{str(path)!r} holds images with values from {low:g} to {high:g}: rescale them to [-1, 1], or save 0..255 "
            "as uint8."
        )
    return values.unsqueeze(1) if values.ndim == 1 else values
