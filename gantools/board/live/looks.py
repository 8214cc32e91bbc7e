"""Looks: what was found at one step, as named arrays and facts, and their binary form.

A look is a header in JSON and the arrays behind it, so that a server passes it on without reading it and a browser
reads it without copying. Little-endian; every array begins at a multiple of eight bytes:

    4 bytes   length of the header
    header    {"version": 1, "kind": ..., facts ..., "arrays": [[name, type, length], ...]}, padded with spaces
    arrays    in that order, padded with zeros

A stream is a row of looks, each behind its step, wall time and length in bytes as three float64.
"""

import json
import math
import struct
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

VERSION = 1
LARGEST_SINGLE, SMALLEST_SINGLE = 3e38, 1e-37

Look = tuple[dict[str, Any], dict[str, np.ndarray]]


def spectrum_look(spectrum: Any, lr: float | None = None, beside: Mapping[str, float] | None = None) -> Look:
    """Return a spectrum as facts and arrays.

    Args:
        spectrum: has `values` (k,), and may have what `gantools.analysis.Spectrum` has.
        lr: the step size to show the stable disc of first.
        beside: numbers by name to show with it.
    """
    values: Any = np.asarray(spectrum.values)
    operator = str(getattr(spectrum, "kind", "field"))
    arrays = {"real": np.asarray(values.real, float)}
    if np.iscomplexobj(values):
        arrays["imag"] = np.asarray(values.imag, float)
    if operator != "map":  # whose distance to the unit circle is less than the rounding of single precision
        arrays = {name: _single(array) for name, array in arrays.items()}
    for name, attribute in (("residual", "residuals"), ("error", "errors")):
        if hasattr(spectrum, attribute):
            arrays[name] = _rounded(getattr(spectrum, attribute))
    converged = getattr(spectrum, "converged", np.ones(len(values), bool))
    arrays["converged"] = np.asarray(converged, np.uint8)
    for part, share in (getattr(spectrum, "shares", None) or {}).items():
        arrays[f"share {part}"] = _rounded(share)
    facts = {"operator": operator, "n": int(getattr(spectrum, "n", len(values))), "lr": lr, "beside": beside or {}}
    for name in ("which", "complete", "tol", "matvecs", "message", "doubt"):
        facts[name] = getattr(spectrum, name, None)
    return {"kind": "spectrum"} | facts, arrays


def density_look(density: Any) -> Look:
    """Return a spectral density and the bounds on its distribution function as facts and arrays."""
    names = ("grid", "density", "lower", "upper")
    facts = {name: getattr(density, name) for name in ("n", "width", "confidence", "atom", "matvecs")}
    return {"kind": "density"} | facts, {name: _single(np.asarray(getattr(density, name))) for name in names}


def index_look(index: Any) -> Look:
    """Return an index, its fractions with their intervals, as facts."""
    names = ("negative", "zero", "positive", "interval", "tolerance", "method", "confidence", "n", "gradient_norm")
    facts = {name: getattr(index, name, None) for name in names}
    return {"kind": "index"} | facts, {}


def path_look(path: Any) -> Look:
    """Return a path-angle as facts and arrays."""
    facts = {name: getattr(path, name) for name in ("distance", "attraction", "rotation", "n", "message")}
    return {"kind": "path"} | facts, {
        name: _single(np.asarray(getattr(path, name))) for name in ("alpha", "cosine", "norm")
    }


def _single(array: np.ndarray) -> np.ndarray:
    """Return an array in single precision where its range allows."""
    sizes = np.abs(array[np.isfinite(array) & (array != 0)])
    fits = sizes.max(initial=1.0) < LARGEST_SINGLE and sizes.min(initial=1.0) > SMALLEST_SINGLE
    return np.asarray(array, np.float32 if fits else float)


def _rounded(array: Any) -> np.ndarray:
    """Return an array in single precision, infinite where that has no larger number."""
    with np.errstate(over="ignore"):
        return np.asarray(array, np.float32)


def plain(value: Any) -> Any:
    """Return a value that JSON has: NaN and infinity become null."""
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(inner) for inner in value]
    if isinstance(value, (bool, int, str)) or value is None:
        return value
    number = float(value)
    return number if math.isfinite(number) else None


def encode(look: Look) -> bytes:
    """Return the binary form of a look."""
    facts, arrays = look
    little = {name: np.ascontiguousarray(a, a.dtype.newbyteorder("<")) for name, a in arrays.items()}
    layout = [[name, array.dtype.str, len(array)] for name, array in little.items()]
    header = json.dumps({"version": VERSION} | plain(facts) | {"arrays": layout}, allow_nan=False).encode()
    header += b" " * (-(len(header) + 4) % 8)
    return b"".join([struct.pack("<I", len(header)), header, *(padded(array.tobytes()) for array in little.values())])


def decode(data: bytes) -> Look:
    """Return the look of a binary form; the inverse of `encode`.

    Raises:
        ValueError: for bytes that are no look of this version.
    """
    try:
        (length,) = struct.unpack_from("<I", data)
        facts = json.loads(data[4 : 4 + length])
        layout, version = facts.pop("arrays"), facts.pop("version")
    except (struct.error, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"these {len(data)} bytes are no look: {error}") from None
    if version != VERSION:
        raise ValueError(f"a look of version {version}; this gantools reads version {VERSION}")
    arrays, offset = {}, 4 + length
    for name, kind, count in layout:
        arrays[name] = np.frombuffer(data, kind, count, offset)
        offset += len(padded(arrays[name].tobytes()))
    return facts, arrays


def padded(data: bytes) -> bytes:
    """Return bytes with zeros behind, up to a multiple of eight."""
    return data + bytes(-len(data) % 8)


def stream(looks: Iterable[tuple[int, float, bytes]]) -> bytes:
    """Return encoded looks as one stream, each given as its step, wall time and bytes."""
    parts = []
    for step, wall_time, data in looks:
        parts += [struct.pack("<3d", step, wall_time, len(data)), padded(data)]
    return b"".join(parts)
