"""Data sets, and the batches drawn from them."""

from gantools.argument_kinds import public as _public
from gantools.data.seeds import derive_seed, latent, random_stream
from gantools.data.sources import (
    DATA,
    Digits,
    FiniteSource,
    Folder,
    Grid25,
    Mixture,
    Npy,
    Ring8,
    Source,
    make_source,
    parse_spec,
)

__all__ = [
    "DATA",
    "Digits",
    "FiniteSource",
    "Folder",
    "Grid25",
    "Mixture",
    "Npy",
    "Ring8",
    "Source",
    "derive_seed",
    "latent",
    "make_source",
    "parse_spec",
    "random_stream",
]

_public(globals(), __all__)
