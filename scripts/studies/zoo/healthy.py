"""Entries of ten games that train well; their games are in games/healthy.py."""

from zoo import measures
from zoo.entry import MOMENTUM, RMSPROP, SGD, Entry, adam


def _entry(name: str, flags: str, measure: measures.Measure) -> Entry:
    return Entry(f"healthy {name}", f"healthy.py:{name}", flags, measure)


ENTRIES = [
    _entry("quadratic", SGD.format("simultaneous", 0.05, 1000), measures.from_origin(0.05)),
    _entry("dirac_r1", SGD.format("alternating", 0.1, 1000), measures.from_origin(0.05)),
    _entry("bilinear", SGD.format("optimistic", 0.1, 1500), measures.from_origin(0.05)),
    _entry("gaussian_r1", RMSPROP.format("simultaneous", "1e-3", 1500), measures.distance(0.05)),
    _entry("ring8", RMSPROP.format("consensus --optimizer.gamma 10", "1e-3", 3000), measures.missing_modes(8, 0.2)),
    _entry("blobs_hinge", adam("2e-3", 2000), measures.distance(0.05)),
    _entry("blobs_least_squares", adam("1e-3", 2000, "extragradient"), measures.distance(0.05)),
    _entry("r3gan", adam("2e-3", 2000), measures.distance(0.05)),
    _entry("columns", adam("1e-3", 1500, "simultaneous"), measures.distance(0.05)),
    _entry("classifier", MOMENTUM.format("simultaneous", 0.1, 1000), measures.errors(0.05)),
]
